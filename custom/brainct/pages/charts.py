"""Charts: each function returns how to draw one, from plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from brainct.pages.drawing import Draw, Palette, legend, short

MOST_ROWS = 40
"""Rows of one chart; the rows after these are left out."""
MOST_NUMBERS = 10
"""Columns up to which a matrix has its numbers in it."""


@dataclass(frozen=True)
class Dot:
    """A row of a dot plot: a value (None if there is none; `note` says why) and the ends of its whisker."""

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


def dots(rows: Sequence[Dot], axis: str, references: Mapping[str, float] | None = None, limits: Any = None) -> Draw:
    """Dots and whiskers, one row each, the first on top. references: named vertical lines."""
    shown = list(rows)[:MOST_ROWS]

    def draw(axes: Axes, palette: Palette) -> None:
        for place, row in enumerate(shown):
            if row.value is None:
                text = short(row.note or "not defined", 32)
                where = axes.get_yaxis_transform()
                box = {"facecolor": palette.ground, "edgecolor": "none", "pad": 1.0}
                look: Any = {"color": palette.muted, "va": "center", "fontsize": 7.5, "parse_math": False, "bbox": box}
                axes.text(0.02, place, text, transform=where, **look)
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
            legend(axes, palette)

    return draw


def rows_high(rows: int, extra: float = 0.75) -> float:
    """Height in inches of a chart with this many rows."""
    return extra + 0.21 * max(2, min(rows, MOST_ROWS))


def curves(lines: Sequence[Line], x: str, y: str, whole: bool = True, linear: float | None = None) -> Draw:
    """Thin grey lines under the strong ones, which the legend names.

    whole: x is an integer. linear: the y axis is logarithmic for |y| above this value.
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
            legend(axes, palette)

    return draw


def grid(rows: Sequence[str], columns: int, cells: Sequence[Sequence[int]], x: str) -> Draw:
    """Participation of each site (row) in each round (column); a cell is 0 not asked, 1 replied, 2 dropped out."""

    def draw(axes: Axes, palette: Palette) -> None:
        from matplotlib.colors import ListedColormap

        colours = ListedColormap([palette.grid, palette.good, palette.bad])
        edges = [place - 0.5 for place in range(columns + 1)]
        mesh = axes.pcolormesh(edges, range(len(rows) + 1), cells, cmap=colours, vmin=-0.5, vmax=2.5, rasterized=True)
        if columns <= 60:
            mesh.set(edgecolor=palette.grid, linewidth=0.3)
        for place, name in enumerate(("not asked", "replied", "dropped out")):
            axes.plot([], [], "s", color=colours(place), label=name)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], [short(row) for row in rows], parse_math=False)
        axes.set_ylim(len(rows), 0)
        axes.set_xlabel(x)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        legend(axes, palette, 3)

    return draw


def reliability(models: Mapping[str, Sequence[tuple[float, float, int]]]) -> Draw:
    """Calibration: each model as bins of (mean probability, share of positives, scans); the diagonal is perfect."""

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
        legend(axes, palette)

    return draw


def stacks(rows: Sequence[tuple[str, Sequence[int]]], names: Sequence[str], axis: str) -> Draw:
    """Stacked bars: one bar a row, one part a count."""
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
        legend(axes, palette)

    return draw


def matrix(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[float | None]], label: str) -> Draw:
    """A cell for each row and column, darker for a higher number, which is in it where there are few columns."""
    rows, columns = rows[:MOST_ROWS], columns[:MOST_ROWS]
    values = [[float("nan") if value is None else value for value in row[:MOST_ROWS]] for row in cells[:MOST_ROWS]]

    def draw(axes: Axes, palette: Palette) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("matrix", [palette.ground, palette.good])
        mesh = axes.pcolormesh(values, cmap=colours, rasterized=True)
        known = [value for row in values for value in row if isfinite(value)]
        middle = (min(known) + max(known)) / 2 if known else 0.0
        shown = [(x, y, value) for y, row in enumerate(values) for x, value in enumerate(row) if isfinite(value)]
        for x, y, value in shown if len(columns) <= MOST_NUMBERS else []:
            ink = palette.ground if value > middle else palette.ink
            axes.text(x + 0.5, y + 0.5, f"{value:.2f}", color=ink, ha="center", va="center", fontsize=7)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], [short(row) for row in rows], parse_math=False)
        axes.set_xticks([place + 0.5 for place in range(len(columns))], [short(name) for name in columns],
                        parse_math=False, rotation=90 if len(columns) > 4 else 0)  # fmt: skip
        axes.set_ylim(len(rows), 0)
        scale = axes.figure.colorbar(mesh, ax=axes, label=label)
        scale.outline.set_edgecolor(palette.grid)
        scale.ax.tick_params(colors=palette.ink, labelsize=7)
        scale.ax.yaxis.label.set_color(palette.ink)

    return draw


def strips(rows: Sequence[tuple[str, Sequence[float | None]]], columns: Sequence[str], label: str) -> Draw:
    """One heat strip a row, with a colour scale: 0 has the colour of the page, less is `good`, more is `bad`."""

    def draw(axes: Axes, palette: Palette) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("strip", [palette.good, palette.ground, palette.bad])
        values = [[float("nan") if value is None else value for value in row] for _, row in rows]
        most = max((abs(value) for row in values for value in row if isfinite(value)), default=0.0) or 1.0
        mesh = axes.pcolormesh(values, cmap=colours, vmin=-most, vmax=most, rasterized=True)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], [short(name, 30) for name, _ in rows],
                        parse_math=False, fontsize=7)  # fmt: skip
        axes.set_xticks([place + 0.5 for place in range(len(columns))], list(columns), parse_math=False)
        axes.set_ylim(len(rows), 0)
        scale = axes.figure.colorbar(mesh, ax=axes, orientation="horizontal", pad=0.12, aspect=40, label=label)
        scale.outline.set_edgecolor(palette.grid)
        scale.ax.tick_params(colors=palette.ink, labelsize=7)
        scale.ax.xaxis.label.set_color(palette.ink)

    return draw
