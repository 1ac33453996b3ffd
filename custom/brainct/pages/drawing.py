"""Draws a picture for light pages and for dark pages, as SVG, and as a PNG for slides; holds the colours."""

import io
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from brainct.pages.picture import Picture

WIDTH = 4.4
"""Inches of a picture: 9-point letters stay readable on a screen 400 pixels wide."""


@dataclass(frozen=True)
class Palette:
    """Colours by meaning; readers with any kind of colour vision can distinguish the series (Okabe and Ito, 2008)."""

    ground: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]

    @property
    def good(self) -> str:
        """Colour of a good value."""
        return self.series[0]

    @property
    def bad(self) -> str:
        """Colour of a bad value."""
        return self.series[1]


LIGHT = Palette(
    "#ffffff", "#1d2430", "#5d6778", "#d5dae1", ("#0072b2", "#d55e00", "#00805d", "#a0508c", "#8a6d00", "#4a90c2")
)
DARK = Palette(
    "#12161c", "#e6e9ee", "#a3adbb", "#3a4250", ("#56b4e9", "#f0925a", "#4fc3a1", "#d98fbd", "#e6cf5c", "#9ad0f5")
)


Draw = Callable[[Axes, Palette], None]


def picture(name: str, alt: str, caption: str, draw: Draw, height: float = 2.6) -> Picture:
    """Draw a picture for a page; height in inches. `alt` is also the title inside the SVG."""
    light, dark = (_saved(draw, palette, height, "svg", alt) for palette in (LIGHT, DARK))
    return Picture(name, alt, caption, "svg", light, dark, _saved(draw, LIGHT, height, "png"))


def short(label: str, most: int = 20) -> str:
    """The label, cut to `most` characters so that the picture keeps its room."""
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


def legend(axes: Axes, palette: Palette, columns: int = 2) -> None:
    """Draw the legend above the axes, in this many columns."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, fontsize=7.5, labelcolor=palette.ink,
        borderaxespad=0.2, handlelength=1.8, columnspacing=1.2,
    )  # fmt: skip
