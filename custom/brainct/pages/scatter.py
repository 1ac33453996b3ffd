"""A scatter plot of named points, whose names do not overlap."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from brainct.pages.drawing import Draw, Palette, short


def scatter(points: Sequence[tuple[str, float, float]], x: str, y: str, log: bool = False) -> Draw:
    """Named points. log: x is a size; its axis is logarithmic if sizes differ tenfold, and never magnifies a trifle."""
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
    """Write each name next to its point where there is room; elsewhere leave it out: the page's table has it."""
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
