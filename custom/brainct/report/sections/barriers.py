"""Barriers between models in pictures, and the section of a run's page on them; see barriers.measure."""

from collections.abc import Iterable

from brainct.pages.charts import Line, curves, rows_high, strips
from brainct.pages.drawing import Draw, picture
from brainct.pages.page import Section, Table
from brainct.pages.picture import Picture
from brainct.pages.wording import counted
from brainct.report.barriers_file import Barriers, LayerBarrier, Rises
from brainct.report.ct.definitions import outputs_in_words
from brainct.report.run_folder import RunFolder

ORDERS = {"top": "from the output", "bottom": "from the input", "random": "in random order"}
KINDS = {"interpolation": "other model", "random": "random", "training": "training", "null": "null space"}

MOST = 80
"""Layers in a table."""


def barriers(run: RunFolder) -> Section | None:
    """The section on barriers.json; None for a run folder without one."""
    found = run.barriers
    if not found.layers:
        return None
    highest = max(found.layers, key=lambda layer: layer.barrier)
    full = "" if found.full.barrier is None else f"The whole network's barrier is {found.full.barrier:.3g}. "
    text = [
        "Two hospitals' models, and the models on the straight line between them: a barrier is how far the loss rises "
        "above the line between the two losses. Where there is none, averaging costs nothing.",
        f"{full}Of single layers, {highest.path} has the highest, {highest.barrier:.3g}.",
        _measured(found),
    ]
    rises = {row.path: row for row in found.perturbations.layers}
    rows = [_row(layer, rises.get(layer.path, Rises())) for layer in found.layers[:MOST]]
    head = ("layer", "the rest is A", "the rest is B", *(f"moved: {kind}" for kind in KINDS.values()))
    return Section(
        "Why averaging works, or fails",
        text,
        [Table("Barrier of one layer alone; rise of A's loss with one layer moved as far as B's", head, rows)],
        pictures(found),
        terms=_TERMS,
    )


def _measured(found: Barriers) -> str:
    output = outputs_in_words(found.loss.finding)
    pairs = counted(len(found.pairs), "pair")
    return (
        f"The loss is the mean binary cross-entropy of {output} on {counted(found.loss.scans, 'scan')} of the "
        f"{found.loss.fold} fold; all numbers are means over {pairs} of models."
    )


_TERMS = {
    "Barrier of one layer": "Only this layer goes from model A's to model B's, the rest stays A or stays B; what is "
    "taken off is the line between the losses of the two whole models.",
    "Moved": "A's layer is moved by the length of the way to B's: straight towards it, in a random direction, in a "
    "random direction within the span of what training changed (the training subspace), or in one at right angles to "
    "that (its null space). The last three are means over draws.",
}


def _row(layer: LayerBarrier, rises: Rises) -> tuple[str, ...]:
    moved = (getattr(rises, kind) for kind in KINDS)
    return (layer.path, *(f"{value:.3g}" for value in (layer.base_a, layer.base_b)),
            *(f"{values[-1]:.3g}" if values else "–" for values in moved))  # fmt: skip


def pictures(found: Barriers) -> list[Picture]:
    """All that can be drawn: the path, heat strips in both bases, cumulative barriers, perturbations."""
    strips_of_layers = (_strip(found, base) for base in "ab")
    drawn = [_path(found), *strips_of_layers, _cumulative(found), _perturbed(found), _perturbed_layers(found)]
    return [one for one in drawn if one is not None]


def _path(found: Barriers) -> Picture | None:
    if len(found.full.excess) != len(found.alphas):
        return None
    thin = [(layer.path, layer.excess(base)) for layer in found.layers for base in "ab"]
    lines = [Line(path, _points(found.alphas, values)) for path, values in thin if len(values) == len(found.alphas)]
    lines.append(Line("all layers", _points(found.alphas, found.full.excess), True))
    highest = max((value for line in lines[:-1] for _, value in line.points if value is not None), default=0.0)
    return picture(
        "barriers-path",
        f"Loss above the straight line on the way from model A to model B: at most {max(found.full.excess):.3g} with "
        f"all layers, {highest:.3g} with a single one.",
        "Thick: all layers go from model A (0) to model B (1). Thin: one layer alone, the rest is A or B.",
        curves(lines, "from model A (0) to model B (1)", "loss above the line", whole=False),
    )


def _points(xs: Iterable[float], ys: Iterable[float]) -> list[tuple[float, float | None]]:
    return list(zip(xs, ys, strict=True))


def _strip(found: Barriers, base: str) -> Picture | None:
    rows = [("all layers", found.full.excess), *((one.path, one.excess(base)) for one in found.layers)]
    if any(len(values) != len(found.alphas) for _, values in rows):
        return None
    ticks = [f"{alpha:g}" if alpha in (0, 0.5, 1) else "" for alpha in found.alphas]
    return _strips(
        f"barriers-{base}",
        f"Heat strips of the loss above the straight line, a row a layer, the rest is model {base.upper()}",
        f"From model A (0) to model B (1): only the row's layer moves, the rest is model {base.upper()}.",
        rows,
        strips(rows, ticks, "loss above the line"),
    )


def _strips(name: str, says: str, caption: str, rows: list[tuple[str, list[float]]], draw: Draw) -> Picture:
    spoken = "; ".join(f"{path} {max(values):.2g}" for path, values in rows[:40])
    return picture(name, f"{says}: at most {spoken}.", caption, draw, rows_high(len(rows), 1.5))


def _cumulative(found: Barriers) -> Picture | None:
    lines = [
        Line(words, _points(range(1, len(values) + 1), values), True)
        for name, words in ORDERS.items()
        if (values := found.cumulative.get(name))
    ]
    return _lines(
        "barriers-cumulative",
        "Barrier of a growing number of layers in three orders",
        "Barrier of the first 1, 2, ... layers together, in three orders; the mean of both bases.",
        lines,
        curves(lines, "layers", "barrier"),
    )


def _perturbed(found: Barriers) -> Picture | None:
    moved = found.perturbations
    lines = [
        Line(words, _points(moved.scales, values), True)
        for kind, words in KINDS.items()
        if (values := getattr(moved.whole, kind))
    ]
    return _lines(
        "barriers-perturbed",
        "Rise of the loss with the whole network moved, by direction",
        "Rise of A's loss with the whole network moved, by the length as a share of the way to B; logarithmic "
        "beyond 0.1.",
        lines,
        curves(lines, "length, in ways to B", "rise of A's loss", whole=False, linear=0.1),
    )


def _perturbed_layers(found: Barriers) -> Picture | None:
    rows = [
        (layer.path, [(getattr(layer, kind) or [float("nan")])[-1] for kind in KINDS])
        for layer in found.perturbations.layers
    ]
    if not rows:
        return None
    return _strips(
        "barriers-perturbed-layers",
        "Heat strips of the rise of the loss, a row a layer, a column a direction",
        "Rise of A's loss with one layer moved as far as B's is away: towards it, in a random direction, in the "
        "training subspace, in its null space.",
        rows,
        strips(rows, list(KINDS.values()), "rise of A's loss"),
    )


def _lines(name: str, says: str, caption: str, lines: list[Line], draw: Draw) -> Picture | None:
    spoken = "; ".join(f"{line.label} at last {line.points[-1][1]:.3g}" for line in lines)
    return picture(name, f"{says}: {spoken}.", caption, draw) if lines else None
