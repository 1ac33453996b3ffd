"""Pictures of barriers.json: the way between two models, heat strips of layers, cumulative curves, perturbations."""

import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1d2430", "#8a94a3", "#d5dae1"
SERIES = ("#0072b2", "#d55e00", "#00805d", "#a0508c")
"""Told apart with any kind of colour vision (Okabe and Ito, 2008), and by their markers."""

MARKERS = ("o", "s", "^", "D")
ROWS = 60
"""Layers with a name beside their strip; in a deeper network every second, third, ... is named."""

Content = Mapping[str, Any]


def write(content: Content, folder: Path) -> list[Path]:
    """Draw all pictures as SVG and PNG into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (draw, says) in PICTURES.items():
        figure = draw(content)
        with rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        svg, png = folder / f"{name}.svg", folder / f"{name}.png"
        svg.write_text(_told(text.getvalue(), says(content)))
        figure.savefig(png, dpi=150, metadata={"Software": None})
        written += [svg, png]
    return written


def _told(svg: str, says: str) -> str:
    """The picture with what it shows, for those who don't see it; lines end without a blank."""
    title, _, _ = says.partition(": ")
    head, tag, rest = svg.partition("<svg ")
    opening, _, body = rest.partition(">")
    words = f"<title>{escape(title)}</title><desc>{escape(says)}</desc>"
    told = f'{head}{tag}role="img" aria-label="{escape(says)}" {opening}>{words}{body}'
    return "\n".join(line.rstrip() for line in told.splitlines()) + "\n"


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    found = figure.subplots(1, columns, squeeze=False)[0]
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GRID)
        axes.tick_params(colors=INK, labelsize=8, length=0)
        axes.title.set(color=INK, fontsize=9)
    return figure, list(found)


def _grid(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, color=INK, fontsize=8.5)
    axes.set_ylabel(y, color=INK, fontsize=8.5)
    axes.grid(color=GRID, linewidth=0.6)
    axes.axhline(0, color=MUTED, linewidth=0.8)


def path(content: Content) -> Figure:
    """Loss over the straight line between both ends: the whole network, and each layer alone in either base."""
    figure, (axes,) = _figure(5.2, 3.2)
    alphas = content["alphas"]
    for at, base in enumerate("ab"):
        for number, layer in enumerate(content["layers"]):
            label = f"one layer, the rest is {base.upper()}" if not number else None
            axes.plot(alphas, layer[f"excess_{base}"], color=SERIES[at], linewidth=0.8, alpha=0.7, label=label)
    axes.plot(alphas, content["full"]["excess"], color=INK, linewidth=2.2, marker="o", markersize=3.5, label="all")
    _grid(axes, "from A (0) to B (1)", "loss over the line between both")
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    return figure


def layers(content: Content) -> Figure:
    """Heat strips: a row a layer, a column a point of the path, one panel a base."""
    rows = content["layers"]
    figure, panels = _figure(7.2, 1.3 + 0.17 * min(len(rows) + 1, ROWS), columns=2)
    strips = {base: [content["full"]["excess"], *(row[f"excess_{base}"] for row in rows)] for base in "ab"}
    most = max(abs(value) for panel in strips.values() for strip in panel for value in strip) or 1.0
    every = -(-(len(rows) + 1) // ROWS)
    names = ["all layers", *(row["path"] for row in rows)][::every]
    for axes, base in zip(panels, "ab", strict=True):
        drawn = axes.imshow(strips[base], cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
        axes.set_title(f"the rest is {base.upper()}", color=INK, fontsize=9)
        axes.set_xlabel("from A (0) to B (1)", color=INK, fontsize=8.5)
        last = len(content["alphas"]) - 1
        axes.set_xticks([0, last / 2, last], ["0", "0.5", "1"])
        axes.set_yticks(range(0, len(rows) + 1, every), names if base == "a" else [])
    bar = figure.colorbar(drawn, ax=list(panels), shrink=0.8)
    bar.set_label("loss over the line between both", color=INK, fontsize=8)
    bar.ax.tick_params(labelsize=7, colors=INK)
    return figure


def cumulative(content: Content) -> Figure:
    """The barrier of the first k layers in three orders."""
    figure, (axes,) = _figure(5.2, 3.2)
    words = {"top": "from the top (output)", "bottom": "from the bottom (input)", "random": "in random order"}
    for at, (name, label) in enumerate(words.items()):
        values = content["cumulative"][name]
        numbers = range(1, len(values) + 1)
        axes.plot(numbers, values, marker=MARKERS[at], markersize=3.5, color=SERIES[at], linewidth=1.6, label=label)
    _grid(axes, "layers taken from the other model's side", "barrier")
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)
    return figure


def perturbations(content: Content) -> Figure:
    """Rises of the loss under perturbations: of the whole network by length, of each layer at the last length."""
    found = content["perturbations"]
    figure, (whole, each) = _figure(7.6, max(3.2, 1.0 + 0.15 * min(len(found["layers"]), ROWS)), columns=2)
    for at, kind in enumerate(KINDS):
        look: dict[str, Any] = {"marker": MARKERS[at], "color": SERIES[at], "markersize": 3.5}
        if found["whole"][kind]:
            whole.plot(found["scales"], found["whole"][kind], linewidth=1.5, label=KINDS[kind], **look)
        rises = [row[kind][-1] if row[kind] else float("nan") for row in found["layers"]]
        each.plot(rises, range(len(rises)), linestyle="none", **look)
    _grid(whole, "length, of the way from A to B", "rise of A's loss")
    whole.set_title("whole network", color=INK, fontsize=9)
    whole.legend(fontsize=8, frameon=False, labelcolor=INK)
    each.set_title(f"one layer, length {found['scales'][-1]:g}", color=INK, fontsize=9)
    each.set_xlabel("rise of A's loss", color=INK, fontsize=8.5)
    each.grid(color=GRID, linewidth=0.6)
    each.axvline(0, color=MUTED, linewidth=0.8)
    every = -(-len(found["layers"]) // ROWS)
    each.set_yticks(range(0, len(found["layers"]), every), [row["path"] for row in found["layers"]][::every])
    each.tick_params(labelsize=7 if len(found["layers"]) <= 20 else 5)
    each.invert_yaxis()
    return figure


KINDS = {
    "interpolation": "towards the other model",
    "random": "random",
    "training": "in the training subspace",
    "null": "outside the training subspace",
}


def _says_path(content: Content) -> str:
    full, highest = content["full"]["barrier"], _highest(content)
    return (
        f"Loss on the way between two models: the full barrier is {full:.3g}; the highest of a single layer is "
        f"{_height(highest):.3g}, of {highest['path']}"
    )


def _says_layers(content: Content) -> str:
    listed = ", ".join(f"{row['path']} {_height(row):.2g}" for row in content["layers"])
    return f"Heat strips of the loss, a row a layer: barriers, the larger of both bases: {listed}"


def _says_cumulative(content: Content) -> str:
    half = {name: values[len(values) // 2 - 1] for name, values in content["cumulative"].items()}
    return (
        f"Cumulative barriers: of half of the layers {half['top']:.3g} from the top, {half['bottom']:.3g} from the "
        f"bottom, {half['random']:.3g} in random order"
    )


def _says_perturbations(content: Content) -> str:
    whole = content["perturbations"]["whole"]
    listed = ", ".join(f"{words} {whole[kind][-1]:.3g}" for kind, words in KINDS.items() if whole[kind])
    return f"Rise of the loss under perturbations as long as the way to the other model: {listed}"


def _height(row: Content) -> float:
    return float(max(row["base_a"], row["base_b"]))


def _highest(content: Content) -> Content:
    highest: Content = max(content["layers"], key=_height)
    return highest


PICTURES: dict[str, tuple[Callable[[Content], Figure], Callable[[Content], str]]] = {
    "path": (path, _says_path),
    "layers": (layers, _says_layers),
    "cumulative": (cumulative, _says_cumulative),
    "perturbations": (perturbations, _says_perturbations),
}
