"""Reads every scan of a listing once, renders it, and keeps what the checks need; lists what cannot be read."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.ct.preprocess import Pixels, render_image, thumbnail
from brainct.ct.read.choices import ReadChoices
from brainct.ct.read.decode import check_plausible, cut, cut_stack, read_whole
from brainct.ct.read.listing import ScanEntry
from brainct.ct.scan_progress import with_bar
from brainct.ct.site_choices import ScanChoices
from brainct.ct.site_config import SiteFile
from brainct.ct.transforms import applied
from brainct.errors import Refused

Entry = TypeVar("Entry")
Whole = TypeVar("Whole")
Found = TypeVar("Found")

MOST_NAMED = 20
"""Unreadable scans that a refusal names."""


@dataclass(frozen=True)
class ScanFacts:
    """What is known of one decoded scan; names nobody.

    digest: 64 hex digits of the pixels. size: voxels along each axis. spacing: mm along each, if known.
    percentiles: of every fourth row and column, at 1, 50 and 99 %; HU where `hu`, else grey. notes: of its reader.
    masks: 64 hex digits of its masks, if it has some.
    """

    digest: str
    hu: bool
    size: tuple[int, ...]
    spacing: tuple[float, ...] | None
    percentiles: tuple[float, float, float]
    notes: tuple[str, ...]
    masks: str = ""


@dataclass(frozen=True)
class Shown:
    """One scan as a network sees it: image (C, H, W[, D]), thumbnail (..., 32, 32), facts.

    masks: (F, H, W[, D]) int8 of 0, 1 and -1 for unknown, if it has some.
    """

    image: Tensor
    thumbnail: NDArray[np.float32]
    facts: ScanFacts
    masks: Tensor | None = None


@dataclass(frozen=True)
class Rendered:
    """images (N, C, H, W[, D]), thumbnails (N, ..., 32, 32) and facts of the N scans of `kept`, indices of the listing.

    failed: why scans could not be read, by index. folder: of the cache that holds them, if any. masks: of every scan,
    as in `Shown`.
    """

    images: Tensor
    thumbnails: NDArray[np.float32]
    facts: tuple[ScanFacts, ...]
    kept: tuple[int, ...]
    failed: dict[int, str]
    folder: Path | None = None
    masks: Tensor | None = None


def render_all(
    entries: Sequence[ScanEntry], file: SiteFile, size: int, dims: int, folder: Path | None = None
) -> Rendered:
    """Decode and render scans; size: side in pixels. dims: 2 slices, 3 volumes. folder: see `collect`."""
    how = ReadChoices(file.gantry_tilt, file.nifti_axes)
    found = each_read(
        entries,
        lambda entry: (entry.path, entry.slice is None),
        lambda entry: read_whole(entry, dims, how),
        lambda whole, entry: _shown(*whole, entry, file, size, dims),
    )
    return collect(found, len(entries), folder)


def each_read(
    entries: Sequence[Entry],
    together: Callable[[Entry], Hashable],
    read: Callable[[Entry], Whole],
    cut_out: Callable[[Whole, Entry], Found],
) -> Iterator[tuple[int, Found | Refused]]:
    """Each index of the listing with its scan, or with why it cannot be read; file after file, each read once.

    together: the same for scans of one file. read: a file. cut_out: a scan of what was read.
    """
    of_file: dict[Hashable, list[int]] = {}
    for at, entry in enumerate(entries):
        of_file.setdefault(together(entry), []).append(at)
    for scans in of_file.values():
        try:
            whole = read(entries[scans[0]])
        except Refused as refusal:
            yield from ((at, refusal) for at in scans)
            continue
        for at in scans:
            yield at, _or_refusal(cut_out, whole, entries[at])


def _or_refusal(cut_out: Callable[[Whole, Entry], Found], whole: Whole, entry: Entry) -> Found | Refused:
    try:
        return cut_out(whole, entry)
    except Refused as refusal:
        return refusal


def collect(shown: Iterable[tuple[int, Shown | Refused]], count: int, folder: Path | None = None) -> Rendered:
    """The scans in the order of their indices, below `count`; Refused if none can be read.

    folder: for new files images.npy and masks.npy, which then are memory-mapped.
    """
    rooms: dict[str, NDArray[Any]] = {}
    facts, failed = {}, {}
    for at, found in with_bar(shown, count, "scans"):
        if isinstance(found, Refused):
            failed[at] = str(found)
            continue
        masks = None if found.masks is None else found.masks.numpy()
        for name, values in (("images", found.image.numpy()), ("masks", masks), ("thumbnails", found.thumbnail)):
            if values is not None:
                if name not in rooms:
                    store = folder / f"{name}.npy" if folder and name != "thumbnails" else None
                    rooms[name] = _room((count, *values.shape), values.dtype, store)
                rooms[name][at] = values
        facts[at] = found.facts
    kept = sorted(facts)
    if not kept:
        raise Refused(_refusal(failed, count))
    whole = {name: _moved(room, kept) for name, room in rooms.items()}
    return Rendered(
        torch.from_numpy(whole["images"]),
        whole["thumbnails"],
        tuple(facts[at] for at in kept),
        tuple(kept),
        failed,
        masks=torch.from_numpy(whole["masks"]) if "masks" in whole else None,
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


def check_failed(failed: Mapping[int, str], count: int, file: ScanChoices) -> list[str]:
    """Notes on scans that could not be read; Refused, naming them, unless the site file says to leave so many out."""
    if not failed:
        return []
    if file.on_unreadable == "refuse":
        raise Refused(_refusal(failed, count))
    if len(failed) > file.unreadable_share * count:
        limit = f"more than `unreadable_share` {file.unreadable_share:g} allows"
        raise Refused(f"{limit}: {_refusal(failed, count)}")
    return [f"left out: {len(failed)} of {count} scans that cannot be read; `brainct data check` names them"]


def count_notes(facts: Sequence[ScanFacts]) -> list[str]:
    """What the readers said, with the number of scans of which they said it."""
    said = Counter(note for each in facts for note in each.notes)
    return [f"{note}: {count} of {len(facts)} scans" for note, count in sorted(said.items())]


def _refusal(failed: Mapping[int, str], count: int) -> str:
    reasons = list(dict.fromkeys(failed.values()))
    if len(reasons) == 1:
        return reasons[0]
    more = [f"and {len(reasons) - MOST_NAMED} more"] * (len(reasons) > MOST_NAMED)
    return "\n- ".join([f"{len(failed)} of {count} scans cannot be read", *reasons[:MOST_NAMED], *more])


def _shown(whole: Pixels, notes: Sequence[str], entry: ScanEntry, file: SiteFile, size: int, dims: int) -> Shown:
    pixels = cut(whole, entry, dims)
    said = check_plausible(pixels, entry.name)
    if file.job.neighbours:
        pixels = cut_stack(whole, entry, file.job.neighbours)
    check_field(pixels, entry.name, file.job.fov_at(file.fov_mm))
    image, pixels = rendered(pixels, size, file)
    return Shown(image, thumbnail(pixels), facts_of(pixels, (*notes, *said)))


def check_field(pixels: Pixels, name: str, fov_mm: float | None) -> None:
    """Refuse a scan whose pixel size is not known where a field of view in mm is wanted."""
    if fov_mm and not pixels.spacing:
        raise Refused(f"{name}: pixel size unknown, so `fov_mm` cannot be applied: remove `fov_mm`")


def facts_of(pixels: Pixels, notes: Sequence[str]) -> ScanFacts:
    """What is kept of a decoded scan besides its image."""
    some = pixels.values[::4, ::4]  # sorting all of them would take as long as decoding them
    low, middle, high = np.percentile(some, (1, 50, 99)).tolist()
    return ScanFacts(
        pixels.digest().hex(), pixels.hu, pixels.values.shape, pixels.spacing, (low, middle, high), tuple(notes)
    )


def _room(shape: tuple[int, ...], kind: np.dtype[Any], store: Path | None) -> NDArray[Any]:
    """One allocation for all: small arrays that live on between large ones that are freed would keep their memory."""
    if store is None:
        return np.empty(shape, kind)
    return np.lib.format.open_memmap(store, mode="w+", dtype=kind, shape=shape)


def _moved(values: NDArray[Any], kept: Sequence[int]) -> NDArray[Any]:
    """The values of the scans that were read, moved to the front in place."""
    for to, at in enumerate(kept):
        if to != at:
            values[to] = values[at]
    return values[: len(kept)]
