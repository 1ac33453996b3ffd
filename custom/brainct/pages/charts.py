"""The report's pictures: each is drawn for light and for dark pages, as SVG, with a text that says what it shows."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from brainct.core import serialization

WIDTH = 4.4
"""Inches of a picture: 9-point letters stay readable on a screen 400 pixels wide."""

MOST_ROWS = 40
"""Rows of one picture; a longer list shows the lowest."""


@dataclass(frozen=True)
class Palette:
    """Colours by what they mean; the series are told apart with any kind of colour vision (Okabe and Ito, 2008)."""

    ground: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]

    @property
    def good(self) -> str:
        """What is as wanted."""
        return self.series[0]

    @property
    def bad(self) -> str:
        """What is not."""
        return self.series[1]


LIGHT = Palette(
    "#ffffff", "#1d2430", "#5d6778", "#d5dae1", ("#0072b2", "#d55e00", "#00805d", "#a0508c", "#8a6d00", "#4a90c2")
)
DARK = Palette(
    "#12161c", "#e6e9ee", "#a3adbb", "#3a4250", ("#56b4e9", "#f0925a", "#4fc3a1", "#d98fbd", "#e6cf5c", "#9ad0f5")
)


@dataclass(frozen=True)
class Picture:
    """A picture of a page: file name without ending, what it shows in words, its caption, and its bytes.

    kind: `svg` (with a dark twin, and a PNG for slides) or `png` (the same on every page).
    """

    name: str
    alt: str
    caption: str
    kind: str
    light: bytes
    dark: bytes = b""
    slide: bytes = b""


@dataclass(frozen=True)
class Dot:
    """A row of a dot plot: a value, None where there is none, and the ends of its whisker."""

    label: str
    value: float | None
    interval: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A curve: (x, y) points, a gap where y is None. strong: drawn thick, coloured and in the legend."""

    label: str
    points: Sequence[tuple[float, float | None]]
    strong: bool = False


Draw = Callable[[Axes, Palette], None]


def picture(name: str, alt: str, caption: str, draw: Draw, height: float = 2.6) -> Picture:
    """Draw on the ground of the page; height in inches. The SVG says `alt` too."""
    light, dark = (_saved(draw, palette, height, "svg", alt) for palette in (LIGHT, DARK))
    return Picture(name, alt, caption, "svg", light, dark, _saved(draw, LIGHT, height, "png"))


def write(pictures: Iterable[Picture], folder: Path) -> list[Path]:
    """Write NAME.svg and NAME.png of each picture below a folder; returns the files."""
    files = []
    for one in pictures:
        files.append((folder / f"{one.name}.{one.kind}", one.light))
        if one.slide:
            files.append((folder / f"{one.name}.png", one.slide))
    for path, content in files:
        serialization.write(path, content)
    return [path for path, _ in files]


def dots(rows: Sequence[Dot], axis: str, references: Mapping[str, float] | None = None, limits: Any = None) -> Draw:
    """Dots and whiskers, one row each, the first on top; references: vertical lines with a name."""
    shown = list(rows)[:MOST_ROWS]

    def draw(axes: Axes, palette: Palette) -> None:
        for place, row in enumerate(shown):
            if row.value is None:
                said = short(row.note or "not defined", 32)
                where = axes.get_yaxis_transform()
                box = {"facecolor": palette.ground, "edgecolor": "none", "pad": 1.0}
                look: Any = {"color": palette.muted, "va": "center", "fontsize": 7.5, "parse_math": False, "bbox": box}
                axes.text(0.02, place, said, transform=where, **look)
                continue
            if row.interval:
                axes.plot(row.interval, (place, place), color=palette.good, linewidth=1.6, solid_capstyle="butt")
            axes.plot([row.value], [place], "o", color=palette.good, markersize=5)
        for at, (name, value) in enumerate((references or {}).items()):
            colour = palette.series[1 + at % (len(palette.series) - 1)]
            axes.axvline(value, color=colour, linewidth=1.2, linestyle=("--", ":", "-.")[at % 3], label=name)
        axes.set_yticks(range(len(shown)), [short(row.label) for row in shown], parse_math=False)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlabel(axis)
        axes.grid(axis="x", color=palette.grid, linewidth=0.6)
        if limits:
            axes.set_xlim(*limits)
        if references:
            _legend(axes, palette)

    return draw


def rows_high(rows: int, extra: float = 0.75) -> float:
    """Inches for so many rows."""
    return extra + 0.21 * max(2, min(rows, MOST_ROWS))


def curves(lines: Sequence[Line], x: str, y: str, whole: bool = True, linear: float | None = None) -> Draw:
    """Thin grey lines, and over them the strong ones, which the legend names.

    whole: x counts something. linear: the y axis is logarithmic beyond this on both sides of 0.
    """

    def draw(axes: Axes, palette: Palette) -> None:
        strong = 0
        for line in sorted(lines, key=lambda line: line.strong):
            xs = [point[0] for point in line.points]
            ys = [float("nan") if point[1] is None else point[1] for point in line.points]
            if line.strong:
                colour, style = palette.series[strong % 6], ("-", "--", ":", "-.")[strong % 4]
                axes.plot(xs, ys, style, color=colour, linewidth=1.9, marker=".", markersize=4, label=short(line.label))
                strong += 1
            else:
                axes.plot(xs, ys, color=palette.muted, linewidth=0.7, alpha=0.55)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.grid(color=palette.grid, linewidth=0.6)
        if linear:
            axes.set_yscale("symlog", linthresh=linear)
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if strong and len(lines) > 1:
            _legend(axes, palette)

    return draw


def grid(rows: Sequence[str], columns: int, cells: Sequence[Sequence[int]], x: str) -> Draw:
    """Who took part: rows by rounds; cells are 0 not asked, 1 answered, 2 lost."""

    def draw(axes: Axes, palette: Palette) -> None:
        from matplotlib.colors import ListedColormap

        colours = ListedColormap([palette.grid, palette.good, palette.bad])
        edges = [place - 0.5 for place in range(columns + 1)]
        mesh = axes.pcolormesh(edges, range(len(rows) + 1), cells, cmap=colours, vmin=-0.5, vmax=2.5, rasterized=True)
        if columns <= 60:
            mesh.set(edgecolor=palette.grid, linewidth=0.3)
        for place, name in enumerate(("not asked", "answered", "lost")):
            axes.plot([], [], "s", color=colours(place), label=name)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], [short(row) for row in rows], parse_math=False)
        axes.set_ylim(len(rows), 0)
        axes.set_xlabel(x)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _legend(axes, palette, 3)

    return draw


def reliability(models: Mapping[str, Sequence[tuple[float, float, int]]]) -> Draw:
    """Models by name, each as (mean probability, share of positives, scans) a bin; on the diagonal all are right."""

    def draw(axes: Axes, palette: Palette) -> None:
        axes.plot((0, 1), (0, 1), "--", color=palette.muted, linewidth=1, label="perfect")
        most = max((scans for bins in models.values() for *_, scans in bins), default=1)
        for at, (name, bins) in enumerate(models.items()):
            colour = palette.series[at % 6]
            axes.plot([one[0] for one in bins], [one[1] for one in bins], color=colour, linewidth=1.2)
            for guess, share, scans in bins:
                axes.plot([guess], [share], "os"[at % 2], color=colour, markersize=3 + 7 * (scans / most) ** 0.5)
            axes.plot([], [], "os"[at % 2] + "-", color=colour, markersize=5, label=short(name))
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="what the model says", ylabel="how often it is true")
        axes.grid(color=palette.grid, linewidth=0.6)
        _legend(axes, palette)

    return draw


def stacks(rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[str], axis: str) -> Draw:
    """Stacked bars, a row each, with the counts in them."""
    shown = list(rows)[:MOST_ROWS]

    def draw(axes: Axes, palette: Palette) -> None:
        colours = (palette.series[0], palette.series[1], palette.series[4], palette.series[2])
        left = [0] * len(shown)
        for at, name in enumerate(names):
            widths = [counts[at] for _, counts in shown]
            axes.barh(range(len(shown)), widths, 0.66, left=left, color=colours[at % 4], label=name)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(shown)), [short(label) for label, _ in shown], parse_math=False)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlabel(axis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _legend(axes, palette)

    return draw


def scatter(points: Sequence[tuple[str, float, float]], x: str, y: str, log: bool = False) -> Draw:
    """Named points; log: x are sizes: a logarithmic axis where they differ tenfold, none that magnifies a trifle."""
    least, most = min(point[1] for point in points), max(point[1] for point in points)
    wide = log and most >= 10 * least

    def draw(axes: Axes, palette: Palette) -> None:
        if wide:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="x", which="minor", length=0)
        axes.plot([at for _, at, _ in points], [at for *_, at in points], "o", color=palette.good, markersize=4.5)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.margins(0.16)
        if log and most < 1.2 * least:
            axes.set_xlim(0.8 * least, 1.25 * most)
        axes.grid(color=palette.grid, linewidth=0.6)
        _name(axes, points, palette)

    return draw


def _name(axes: Axes, points: Sequence[tuple[str, float, float]], palette: Palette) -> None:
    """Each name beside its point on the side that is free; none where no side is, as the page's table has it too."""
    taken: list[tuple[float, float, float]] = []
    axes.autoscale_view()
    for name, at_x, at_y in points:
        column, row = axes.transData.transform((at_x, at_y))
        width = 4.6 * len(short(name))
        for side, lift in ((1, 3), (-1, 3), (1, -9), (-1, -9)):
            left, low = (column + 4 if side > 0 else column - 4 - width), row + lift
            outside = left < axes.bbox.x0 or left + width > axes.bbox.x1 + 40
            if outside or any(low - 9 < at < low + 9 and left - size < x < left + width for x, at, size in taken):
                continue
            taken.append((left, low, width))
            axes.annotate(
                short(name),
                (at_x, at_y),
                (4 * side, lift),
                textcoords="offset points",
                fontsize=7,
                color=palette.ink,
                ha="left" if side > 0 else "right",
                parse_math=False,
            )
            break


def strips(rows: Sequence[tuple[str, Sequence[float | None]]], columns: Sequence[str], what: str) -> Draw:
    """A heat strip a row, with a scale: 0 is the ground, and the colours of good and bad lie below and above it."""

    def draw(axes: Axes, palette: Palette) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("strip", [palette.good, palette.ground, palette.bad])
        values = [[float("nan") if value is None else value for value in row] for _, row in rows]
        most = max((abs(value) for row in values for value in row if isfinite(value)), default=0.0) or 1.0
        mesh = axes.pcolormesh(values, cmap=colours, vmin=-most, vmax=most, rasterized=True)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], [short(label, 30) for label, _ in rows],
                        parse_math=False, fontsize=7)  # fmt: skip
        axes.set_xticks([place + 0.5 for place in range(len(columns))], list(columns), parse_math=False)
        axes.set_ylim(len(rows), 0)
        scale = axes.figure.colorbar(mesh, ax=axes, orientation="horizontal", pad=0.12, aspect=40, label=what)
        scale.outline.set_edgecolor(palette.grid)
        scale.ax.tick_params(colors=palette.ink, labelsize=7)
        scale.ax.xaxis.label.set_color(palette.ink)

    return draw


def short(label: str, most: int = 20) -> str:
    """A label cut so that it leaves room for the picture."""
    return label if len(label) <= most else label[: most - 1] + "…"


def _saved(draw: Draw, palette: Palette, height: float, kind: str, alt: str = "") -> bytes:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=palette.ground)
    axes = figure.add_subplot(facecolor=palette.ground)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(palette.grid)
    axes.tick_params(colors=palette.ink, labelsize=8, length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=palette.ink, fontsize=8.5)
    draw(axes, palette)
    content = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "brainct"}):
        if kind == "svg":
            figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Title": alt})
        else:
            figure.savefig(content, format="png", dpi=160, metadata={"Software": None})
    return content.getvalue()


def _legend(axes: Axes, palette: Palette, columns: int = 2) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, fontsize=7.5, labelcolor=palette.ink,
        borderaxespad=0.2, handlelength=1.8, columnspacing=1.2,
    )  # fmt: skip
