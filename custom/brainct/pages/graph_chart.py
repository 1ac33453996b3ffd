"""How to draw a graph of causes, and which site has a mechanism of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from brainct.pages.drawing import Draw, Palette, legend, short
from brainct.pages.graph_layout import HALF, ROOM, STEP, Layout, Point, arranged

LONGEST = 13
"""Letters of a label in the graph."""


@dataclass(frozen=True)
class GraphEdge:
    """From cause to effect. strength: 0 to 1, how thick. sure: whether the direction is known; else a dashed line."""

    cause: int
    effect: int
    strength: float
    sure: bool


def layout_of(names: Sequence[str], edges: Sequence[GraphEdge]) -> Layout:
    """Where everything goes; edges: without a circle."""
    return arranged([short(name, LONGEST) for name in names], [(one.cause, one.effect) for one in edges])


def graph_high(layout: Layout) -> float:
    """Height in inches of the picture."""
    return STEP * layout.layers + 0.35


def graph(names: Sequence[str], edges: Sequence[GraphEdge], marked: Sequence[bool], layout: Layout) -> Draw:
    """Boxes in layers; an arrow for a cause, a dashed line without a head for an open direction.

    marked: columns with a site that has a mechanism of its own; their boxes have a coloured double frame.
    """

    def draw(axes: Axes, palette: Palette) -> None:
        for one in edges:
            colour = palette.good if one.sure else palette.muted
            axes.add_patch(
                FancyArrowPatch(
                    path=_path(layout.paths[one.cause, one.effect]),
                    arrowstyle="-|>" if one.sure else "-",
                    linestyle="-" if one.sure else (0, (3, 2)),
                    mutation_scale=7 + 3 * one.strength,
                    linewidth=0.7 + 2.0 * one.strength,
                    color=colour,
                    shrinkA=0,
                    shrinkB=0,
                )
            )
        for name, (x, y), width, own in zip(names, layout.centres, layout.widths, marked, strict=True):
            frame = palette.bad if own else palette.ink
            box = FancyBboxPatch(
                (x - width / 2 + 0.03, y - HALF + 0.03), width - 0.06, 2 * HALF - 0.06, boxstyle="round,pad=0.03",
                facecolor=palette.ground, edgecolor=frame, linewidth=1.8 if own else 0.9,
            )  # fmt: skip
            axes.add_patch(box)
            axes.text(x, y, short(name, LONGEST), ha="center", va="center", fontsize=7, color=palette.ink,
                      parse_math=False)  # fmt: skip
        axes.plot([], [], "-", color=palette.good, linewidth=1.6, label="arrow: cause to effect")
        axes.plot([], [], "--", color=palette.muted, linewidth=1.6, label="line: direction open")
        if any(marked):
            axes.plot([], [], "s", color=palette.ground, markeredgecolor=palette.bad, label="differs at a hospital")
        legend(axes, palette, 2)
        half = max([ROOM / 2, *(abs(x) + 0.1 for path in layout.paths.values() for x, _ in path)]) + 0.05
        axes.set(xlim=(-half, half), ylim=(STEP * (layout.layers - 1) + 0.2, -0.2))
        axes.set_axis_off()

    return draw


def _path(points: Sequence[Point]) -> Path:
    """Straight down through each layer, and between layers an S."""
    (x, y), *rest = points
    vertices, codes = [(x, y + HALF)], [Path.MOVETO]
    for at, (next_x, next_y) in enumerate(rest):
        start, end = y + HALF, next_y - HALF
        middle = (start + end) / 2
        vertices += [(x, middle), (next_x, middle), (next_x, end)]
        codes += [Path.CURVE4] * 3
        if at < len(rest) - 1:
            vertices.append((next_x, next_y + HALF))
            codes.append(Path.LINETO)
        x, y = next_x, next_y
    return Path(vertices, codes)


def changes(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[bool]]) -> Draw:
    """One row a column of the tables, one place a site: filled and crossed where the site's mechanism is another."""

    def draw(axes: Axes, palette: Palette) -> None:
        from matplotlib.colors import ListedColormap

        edges = [place - 0.5 for place in range(len(columns) + 1)]
        values = [[int(cell) for cell in row] for row in cells]
        colours = ListedColormap([palette.ground, palette.bad])
        mesh = axes.pcolormesh(edges, range(len(rows) + 1), values, cmap=colours, vmin=0, vmax=1)
        mesh.set(edgecolor=palette.grid, linewidth=0.6)
        for place, row in enumerate(cells):
            for at, cell in enumerate(row):
                if cell:
                    axes.plot([at], [place + 0.5], "x", color=palette.ground, markersize=4)
        axes.plot([], [], "s", color=palette.bad, label="comes about differently here")
        axes.set_yticks([place + 0.5 for place in range(len(rows))], [short(row, 14) for row in rows], parse_math=False)
        turned = 90 if len(columns) > 4 or max(map(len, columns), default=0) > 9 else 0
        axes.set_xticks(range(len(columns)), [short(one, 14) for one in columns], parse_math=False, rotation=turned)
        axes.set_ylim(len(rows), 0)
        legend(axes, palette, 1)

    return draw
