"""The part of a run's page on barriers: how much worse a model is on the way between two hospitals' models."""

from brainct.study.page import Section, Table
from brainct.study.pictures import Line, Picture, curves, picture, rows_high, strips
from brainct.study.runfolder import Barriers, RunFolder

ORDERS = {"top": "from the output", "bottom": "from the input", "random": "in random order"}


def barriers(run: RunFolder) -> Section | None:
    """What barriers.json says, if it lies in the run's folder."""
    found = run.barriers
    if not found.layers:
        return None
    highest = max(found.layers, key=lambda layer: layer.barrier)
    full = "" if found.full.barrier is None else f"The whole network's barrier is {found.full.barrier:.3g}. "
    text = [
        "Two hospitals' models, and the models on the straight line between them: a barrier is how far the loss rises "
        "above the line between the two losses. Where there is none, averaging costs nothing.",
        f"{full}Of single layers, {highest.path} has the highest, {highest.barrier:.3g}.",
    ]
    rows = [(layer.path, f"{layer.base_a:.3g}", f"{layer.base_b:.3g}") for layer in found.layers]
    return Section(
        "Why averaging works, or fails",
        text,
        [Table("Barrier of one layer alone", ("layer", "the rest is model A", "the rest is model B"), rows[:80])],
        [*(one for base in "ab" if (one := _strip(found, base))), *_cumulative(found)],
    )


def _strip(found: Barriers, base: str) -> Picture | None:
    rows = [("all layers", found.full.excess), *((one.path, one.excess(base)) for one in found.layers)]
    if any(len(values) != len(found.alphas) for _, values in rows):
        return None
    ticks = [f"{alpha:g}" if at % 5 == 0 else "" for at, alpha in enumerate(found.alphas)]
    spoken = "; ".join(f"{path} {max(values):.2g}" for path, values in rows[:40])
    return picture(
        f"barriers-{base}",
        f"Heat strips of the loss above the straight line, a row a layer, the rest is model {base.upper()}: {spoken}.",
        f"From model A (0) to model B (1): only the row's layer moves, the rest is model {base.upper()}.",
        strips(rows, ticks, "loss above the line"),
        rows_high(len(rows), 1.5),
    )


def _cumulative(found: Barriers) -> list[Picture]:
    lines = [
        Line(words, [(float(at), value) for at, value in enumerate(found.cumulative[name], 1)], True)
        for name, words in ORDERS.items()
        if found.cumulative.get(name)
    ]
    if not lines:
        return []
    spoken = "; ".join(f"{line.label} at last {line.points[-1][1]:.3g}" for line in lines)
    return [
        picture(
            "barriers-cumulative",
            f"Barrier of a growing number of layers in three orders: {spoken}.",
            "Barrier of the first 1, 2, ... layers together, in three orders.",
            curves(lines, "layers", "barrier"),
        )
    ]
