"""Reads every scan of a listing once, renders it, and keeps what the checks need; lists what cannot be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.ct.preprocess import Pixels, render_image, thumbnail
from brainct.ct.read.choices import ReadChoices
from brainct.ct.read.decode import check_plausible, cut, cut_stack, read_whole
from brainct.ct.read.listing import ScanEntry
from brainct.ct.scan_progress import with_bar
from brainct.ct.site_config import SiteFile
from brainct.ct.transforms import applied
from brainct.errors import Refused

MOST_NAMED = 20
"""Unreadable scans that a refusal names."""


@dataclass(frozen=True)
class ScanFacts:
    """What is known of one decoded scan; names nobody.

    digest: 64 hex digits of the pixels. size: voxels along each axis. spacing: mm along each, if known.
    percentiles: of every fourth row and column, at 1, 50 and 99 %; HU where `hu`, else grey. notes: of its reader.
    """

    digest: str
    hu: bool
    size: tuple[int, ...]
    spacing: tuple[float, ...] | None
    percentiles: tuple[float, float, float]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Rendered:
    """images (N, C, H, W[, D]), thumbnails (N, ..., 32, 32) and facts of the N scans of `kept`, indices of the listing.

    failed: why scans could not be read, by index. folder: of the cache that holds them, if any.
    """

    images: Tensor
    thumbnails: NDArray[np.float32]
    facts: tuple[ScanFacts, ...]
    kept: tuple[int, ...]
    failed: dict[int, str]
    folder: Path | None = None


def render_all(
    entries: Sequence[ScanEntry], file: SiteFile, size: int, dims: int, store: Path | None = None
) -> Rendered:
    """Decode and render scans; each file or folder is read once, however many of its slices are scans.

    size: side in pixels. dims: 2 slices, 3 volumes. store: a new file for the images, which then are memory-mapped.
    """
    images, small, facts, failed = None, None, {}, {}
    for at, found in with_bar(_decoded(entries, file, dims), len(entries), "scans"):
        if isinstance(found, Refused):
            failed[at] = str(found)
            continue
        pixels, notes = found
        image, pixels = rendered(pixels, size, file)
        head = thumbnail(pixels)
        if images is None or small is None:
            images = _room((len(entries), *image.shape), store)
            small = _room((len(entries), *head.shape), None)
        images[at], small[at] = image.numpy(), head
        facts[at] = _facts(pixels, notes)
    kept = sorted(facts)
    if images is None or small is None:
        raise Refused(_refusal(failed, len(entries)))
    return Rendered(
        torch.from_numpy(_without(images, kept)),
        _without(small, kept),
        tuple(facts[at] for at in kept),
        tuple(kept),
        failed,
    )


def rendered(pixels: Pixels, size: int, file: SiteFile) -> tuple[Tensor, Pixels]:
    """The image as the job wants it, and the pixels of its own slice; of a stack the slices' channels from below up."""
    job = file.job
    windows, fov_mm = job.windows_at(file.windows), job.fov_at(file.fov_mm)
    if not job.neighbours:
        return applied(render_image(pixels, size, windows, fov_mm), job.steps), pixels
    flat = [replace(pixels, values=each, spacing=pixels.spacing and pixels.spacing[:2])
            for each in np.moveaxis(pixels.values, 2, 0)]  # fmt: skip
    images = [applied(render_image(each, size, windows, fov_mm), job.steps) for each in flat]
    return torch.cat(images), flat[job.neighbours]


def check_failed(found: Rendered, file: SiteFile) -> list[str]:
    """Notes on scans that could not be read; Refused, naming them, unless the site file says to leave so many out."""
    if not found.failed:
        return []
    count = len(found.failed) + len(found.kept)
    if file.on_unreadable == "refuse":
        raise Refused(_refusal(found.failed, count))
    if len(found.failed) > file.unreadable_share * count:
        limit = f"more than `unreadable_share` {file.unreadable_share:g} allows"
        raise Refused(f"{limit}: {_refusal(found.failed, count)}")
    return [f"left out: {len(found.failed)} of {count} scans that cannot be read; `brainct data check` names them"]


def _refusal(failed: dict[int, str], count: int) -> str:
    reasons = list(dict.fromkeys(failed.values()))
    if len(reasons) == 1:
        return reasons[0]
    more = [f"and {len(reasons) - MOST_NAMED} more"] * (len(reasons) > MOST_NAMED)
    return "\n- ".join([f"{len(failed)} of {count} scans cannot be read", *reasons[:MOST_NAMED], *more])


def _decoded(
    entries: Sequence[ScanEntry], file: SiteFile, dims: int
) -> Iterator[tuple[int, tuple[Pixels, list[str]] | Refused]]:
    """Each index of the listing with its pixels and notes, or with why it cannot be read; file after file."""
    how = ReadChoices(file.gantry_tilt, file.nifti_axes)
    of_file: dict[tuple[Path, bool], list[int]] = {}
    for at, entry in enumerate(entries):
        of_file.setdefault((entry.path, entry.slice is None), []).append(at)
    for scans in of_file.values():
        try:
            whole, notes = read_whole(entries[scans[0]], dims, how)
        except Refused as refusal:
            yield from ((at, refusal) for at in scans)
            continue
        for at in scans:
            yield at, _one(whole, notes, entries[at], file, dims)


def _one(
    whole: Pixels, notes: list[str], entry: ScanEntry, file: SiteFile, dims: int
) -> tuple[Pixels, list[str]] | Refused:
    try:
        pixels = cut(whole, entry, dims)
        said = check_plausible(pixels, entry.name)
        if file.job.neighbours:
            pixels = cut_stack(whole, entry, file.job.neighbours)
        if file.job.fov_at(file.fov_mm) and not pixels.spacing:
            raise Refused(f"{entry.name}: pixel size unknown, so `fov_mm` cannot be applied: remove `fov_mm`")
    except Refused as refusal:
        return refusal
    return pixels, notes + said


def _facts(pixels: Pixels, notes: Sequence[str]) -> ScanFacts:
    some = pixels.values[::4, ::4]  # sorting all of them would take as long as decoding them
    low, middle, high = np.percentile(some, (1, 50, 99)).tolist()
    return ScanFacts(
        pixels.digest().hex(), pixels.hu, pixels.values.shape, pixels.spacing, (low, middle, high), tuple(notes)
    )


def _room(shape: tuple[int, ...], store: Path | None) -> NDArray[np.float32]:
    """One allocation for all: small arrays that live on between large ones that are freed would keep their memory."""
    if store is None:
        return np.empty(shape, np.float32)
    return np.lib.format.open_memmap(store, mode="w+", dtype=np.float32, shape=shape)


def _without(images: NDArray[np.float32], kept: Sequence[int]) -> NDArray[np.float32]:
    """The images of the scans that were read, moved to the front in place."""
    for to, at in enumerate(kept):
        if to != at:
            images[to] = images[at]
    return images[: len(kept)]
