"""One picture of a site's scans, to be looked at by people of the site; it shows patients and stays there."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from torch import Tensor

from brainct.ct.folds import FINDINGS, main_finding
from brainct.ct.read.label_table import Labels

TILE, GAP, LINE = 128, 6, 14
MOST = 60
COLUMNS = 10
OUTLINE = "#ff3030"


def draw_sheet(
    images: Tensor,
    labels: Labels,
    numbers: Sequence[int],
    title: str,
    findings: Sequence[str] = FINDINGS,
    masks: Tensor | None = None,
) -> Image.Image:
    """Up to 60 scans (N, C, H, W[, D]) as tiles with number and findings, the first channel; a volume's middle slice.

    numbers: what is written at each tile. Colours: red with a finding, green without any, grey unknown. masks: as in
    ct.rendered.Shown, outlined in red; of a volume the slice is shown in which they are largest.
    """
    count = min(len(images), MOST)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * (TILE + GAP) + GAP, rows * (TILE + LINE + GAP) + GAP + LINE + 4), "#101010")
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 3), title, fill="white")
    for at in range(count):
        left, top = GAP + at % columns * (TILE + GAP), LINE + 6 + at // columns * (TILE + LINE + GAP)
        sheet.paste(_tile(images[at], None if masks is None else (masks[at] == 1).any(0)), (left, top))
        pen.text((left, top + TILE), f"{numbers[at]} {_words(labels[at], findings)}", fill=_colour(_state(labels[at])))
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write the picture, readable by its owner only."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        sheet.save(file, format="PNG")


def spread(count: int, most: int = MOST) -> list[int]:
    """Up to `most` of `count` indices, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []


def _tile(image: Tensor, mask: Tensor | None) -> Image.Image:
    first = image[0]
    if first.ndim == 3:
        marked = mask is not None and bool(mask.any())
        at = int(mask.sum((0, 1)).argmax()) if mask is not None and marked else first.shape[2] // 2
        first, mask = first[:, :, at], None if mask is None else mask[:, :, at]
    grey = Image.fromarray((first.numpy() * 255).astype(np.uint8))
    tile = grey.resize((TILE, TILE), Image.Resampling.BILINEAR).convert("RGB")
    if mask is not None:
        tile.paste(OUTLINE, mask=_outline(mask))
    return tile


def _outline(mask: Tensor) -> Image.Image:
    """White on the pixels of a tile that are in the mask and have a neighbour outside it."""
    whole = Image.fromarray(mask.numpy().astype(np.uint8) * 255).resize((TILE, TILE), Image.Resampling.NEAREST)
    return ImageChops.difference(whole, whole.filter(ImageFilter.MinFilter(3)))


def _words(labels: Labels, findings: Sequence[str]) -> str:
    """The findings of one scan, shortened to fit a tile; `any` only where no kind is known."""
    found = [name for name, label in zip(findings, labels, strict=True) if label == 1]
    main = main_finding(findings)
    kinds = [name for name in found if name != main]
    short = [name[:3] + name[5:6] if name in FINDINGS else name[:8] for name in kinds]
    return " ".join(short) or (main if found and main else {0.0: "none"}.get(_state(labels), "?"))


def _state(labels: Labels) -> float:
    """1 if a scan has a finding, 0 if it is known to have none, NaN if nothing is known."""
    return float(np.nanmax(labels)) if not np.isnan(labels).all() else float("nan")


def _colour(label: float) -> str:
    return {1.0: "#ff8080", 0.0: "#80d080"}.get(float(label), "#a0a0a0")
