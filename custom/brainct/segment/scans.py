"""All scans of one site with their masks, decoded and rendered one by one, before they are split into folds."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from brainct.ct.cache import through
from brainct.ct.folds import FINDINGS
from brainct.ct.preprocess import Pixels, letterbox, render_image, thumbnail
from brainct.ct.rendered import Rendered, ScanFacts, Shown, check_failed, collect, count_notes, facts_of
from brainct.ct.scans import PHANTOM
from brainct.errors import Refused
from brainct.segment.config import SegmentChoices
from brainct.segment.files import MaskedScan, Sample, list_scans, read_each
from brainct.segment.site_config import SegmentFile

Found = TypeVar("Found")


@dataclass(frozen=True)
class MaskedScans:
    """The N scans of one site; patients, given: pseudonym of each, and its fold if that is given."""

    found: Rendered
    patients: Sequence[str]
    given: Sequence[str | None]
    notes: tuple[str, ...]

    @property
    def masks(self) -> Tensor:
        """(N, F, H, W[, D]) int8, see ct.rendered.Shown."""
        assert self.found.masks is not None
        return self.found.masks


def scans_of(file: SegmentFile, site: str, choices: SegmentChoices) -> MaskedScans:
    """The scans that the site file names, or the phantom's."""
    if file.kind == "phantom":
        return _phantom(file, site, choices)
    scans, notes = list_scans(file, choices)
    found = rendered(scans, file, choices)
    notes += check_failed(found.failed, len(scans), file)
    return scans_in(found, [scans[at] for at in found.kept], (*notes, *count_notes(found.facts)))


def scans_in(found: Rendered, kept: Sequence[MaskedScan], notes: Sequence[str]) -> MaskedScans:
    """The scans that could be read; kept: their entries."""
    return MaskedScans(found, [str(one.patient) for one in kept], [one.fold for one in kept], tuple(notes))


def rendered(scans: Sequence[MaskedScan], file: SegmentFile, choices: SegmentChoices) -> Rendered:
    """Every scan with its masks as the network sees them; out of the site's cache if it has them."""
    network, job = choices.network, choices.wanted
    of_job = choices.findings, network.size, network.dims, job.windows_at(file.windows), job.fov_at(file.fov_mm)

    def render(folder: Path | None) -> Rendered:
        return collect(read_each(scans, file, choices, lambda one: shown(one, file, choices)), len(scans), folder)

    named = (((one.name, one.mask, one.slice), (one.path, one.mask_path)) for one in scans)
    return through(file.cache, ("masks", *of_job, sorted(file.mask_values.items())), named, render)


def of_each(
    file: SegmentFile, site: str, choices: SegmentChoices, then: Callable[[Sample], Found]
) -> tuple[list[Found], list[str]]:
    """What `then` gives of each scan with its masks, before anything is resized; and notes on those left out."""
    if file.kind == "phantom":
        return [then(one) for one in _drawn(file, site, choices)], [PHANTOM]
    scans, notes = list_scans(file, choices)
    found, failed = [], {}
    for at, one in read_each(scans, file, choices, then):
        if isinstance(one, Refused):
            failed[at] = str(one)
        else:
            found.append(one)
    return found, [*notes, *check_failed(failed, len(scans), file)]


def shown(one: Sample, file: SegmentFile, choices: SegmentChoices) -> Shown:
    """One scan and its masks in the size of the network."""
    job, pixels = choices.wanted, one.pixels
    image = render_image(pixels, choices.network.size, job.windows_at(file.windows), job.fov_at(file.fov_mm))
    facts = replace(facts_of(pixels, one.notes), masks=hashlib.sha256(one.masks.tobytes()).hexdigest())
    return Shown(image, thumbnail(pixels), facts, _resized(one, file, choices))


def _resized(one: Sample, file: SegmentFile, choices: SegmentChoices) -> Tensor:
    """(F, size, size[, size]) int8: resized as the image is, a pixel in the mask if half of it is; -1 is unknown."""
    size, fov_mm = choices.network.size, choices.wanted.fov_at(file.fov_mm)
    found = torch.zeros(len(one.masks), *[size] * one.pixels.values.ndim, dtype=torch.int8)
    for at, mask in enumerate(one.masks):
        if mask.flat[0] < 0:
            found[at] = -1
        elif mask.any():
            values = torch.from_numpy(mask).float()
            found[at] = letterbox(values, size, 0.0, one.pixels.spacing, fov_mm) >= 0.5
    return found


def mm_of(facts: ScanFacts, file: SegmentFile, choices: SegmentChoices) -> float:
    """mm between neighbouring pixels of the network's input, the same along every axis; NaN if unknown."""
    if facts.spacing is None:
        return float("nan")
    longest = max(length * step for length, step in zip(facts.size, facts.spacing, strict=True))
    return (choices.wanted.fov_at(file.fov_mm) or longest) / choices.network.size


def _phantom(file: SegmentFile, site: str, choices: SegmentChoices) -> MaskedScans:
    count = file.phantom.scans * (file.phantom.slices if choices.network.dims == 2 else 1)
    patients = []

    def drawn() -> Iterator[tuple[int, Shown | Refused]]:
        for at, one in enumerate(_drawn(file, site, choices)):
            patients.append(one.patient)
            yield at, shown(one, file, choices)

    return MaskedScans(collect(drawn(), count), patients, [None] * count, (PHANTOM,))


def _drawn(file: SegmentFile, site: str, choices: SegmentChoices) -> Iterator[Sample]:
    from brainct.ct.phantom import SCANNERS, scanner_of, spacing_of, studies

    chosen, network = file.phantom, choices.network
    scanner = next((one for one in SCANNERS if one.name == chosen.scanner), scanner_of(site))
    volume = network.dims == 3
    spacing = spacing_of(scanner, network.size, network.dims)
    heads = studies(site, chosen, network.size, network.size if volume else chosen.slices, scanner, volume)
    for number, (hu, kinds) in enumerate(heads):
        known = {**dict(zip(FINDINGS, kinds, strict=False)), "any": kinds.any(0)}
        unknown = np.full(hu.shape, -1, np.int8)
        masks = np.stack([known.get(name, unknown) for name in choices.findings]).astype(np.int8)
        if volume:
            yield Sample(Pixels(hu, True, spacing), masks, str(number))
        else:
            yield from (
                Sample(Pixels(hu[..., at], True, spacing), np.ascontiguousarray(masks[..., at]), str(number))
                for at in range(hu.shape[2])
            )
