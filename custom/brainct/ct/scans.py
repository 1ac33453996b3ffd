"""All scans of one site file, decoded and rendered, before they are split into folds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from brainct.ct.cache import duplicate_pairs
from brainct.ct.cache import rendered as rendered_or_cached
from brainct.ct.preprocess import Pixels
from brainct.ct.read.decode import EMPTY
from brainct.ct.read.label_table import Labels
from brainct.ct.read.listing import ScanEntry, list_scans
from brainct.ct.rendered import check_failed, count_notes, rendered
from brainct.ct.rsna_labels import labels_for
from brainct.ct.site_choices import PhantomChoices
from brainct.ct.site_config import SiteFile
from brainct.ct.split import Ints, duplicate_threshold, join_groups
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused

if TYPE_CHECKING:
    from brainct.ct.phantom import Scanner

FEW = 4
"""Scans from which on most of them must show a head."""
PHANTOM = "SYNTHETIC PHANTOM scans, not patients"


@dataclass(frozen=True)
class Scans:
    """The N scans of one site file.

    images: (N, C, H, W[, D]). labels: (N, F). digests: SHA-256 of the decoded pixels. groups: (N,), see ct.split.
    pairs: near duplicates. given: the fold that the manifest gives each scan. names: as in error messages.
    patients: (N,) numbers of the patients, see `_patient_numbers`. studies: (N,) numbers of the studies. folder: of the
    cache that holds the images, if any.
    """

    images: Tensor
    labels: Labels
    digests: tuple[bytes, ...]
    groups: Ints
    pairs: Sequence[tuple[int, int]]
    given: tuple[str | None, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...]
    patients: Ints | None = None
    studies: Ints | None = None
    folder: Path | None = None


def read_scans(file: SiteFile, size: int, dims: int, job: Wanted = DEFAULT) -> Scans:
    """Read the scans on disk that a site file names; size: side in pixels; dims: 2 slices, 3 volumes."""
    file = file.for_job(job)
    entries, notes = list_scans(file, dims)
    found = rendered_or_cached(entries, file, size, dims)
    notes += check_failed(found.failed, len(entries), file)
    entries, facts = [entries[at] for at in found.kept], found.facts
    digests = [bytes.fromhex(each.digest) for each in facts]
    labels = np.stack([entry.labels for entry in entries])
    if len(set(digests)) == 1 < len(digests):
        raise Refused(f"all {len(digests)} images are the same: the export has failed, export them again")
    in_hu = Counter(each.hu for each in facts)
    _check_heads(sum(EMPTY in each.notes for each in facts), in_hu[True])
    patients = [entry.patient for entry in entries]
    pairs = duplicate_pairs(found, duplicate_threshold(patients))
    groups = join_groups(pairs, patients)
    notes += count_notes(facts)
    return Scans(
        images=found.images,
        labels=labels,
        digests=tuple(digests),
        groups=groups,
        pairs=pairs,
        given=tuple(entry.fold for entry in entries),
        notes=(*notes, *_contradictions(digests, labels), *_notes(in_hu, None in patients, groups)),
        names=tuple(map(scan_name, entries)),
        patients=_patient_numbers(patients),
        studies=_study_numbers(entries),
        folder=found.folder,
    )


def _check_heads(empty: int, scans: int) -> None:
    """Slices above the head are empty, but never most slices of a site."""
    if scans >= FEW and empty > scans / 2:
        raise Refused(
            f"{empty} of {scans} scans have {EMPTY}: are they CT of heads in HU, the intercept added once? "
            "`brainct data check` shows them"
        )


def _contradictions(digests: Sequence[bytes], labels: Labels) -> list[str]:
    """A note if images of identical pixels have contradictory labels."""
    first: dict[bytes, int] = {}
    pairs = [(first.setdefault(digest, at), at) for at, digest in enumerate(digests)]
    count = sum(bool((np.abs(labels[one] - labels[other]) == 1).any()) for one, other in pairs)
    return [f"identical images with contradictory labels: {count}: correct the labels"] * bool(count)


def draw_scans(file: SiteFile | None, site: str, size: int, dims: int, job: Wanted = DEFAULT) -> Scans:
    """Draw the phantom's scans of a site, with the default choices if there is no site file."""
    from brainct.ct.phantom import SCANNERS, phantom, scanner_of, spacing_of

    chosen = file.phantom if file else PhantomChoices()
    note = PHANTOM if file else f"no site file: {PHANTOM}; set BRAINCT_SITE to a site file to use your own"
    file = (file or SiteFile(kind="phantom")).for_job(job)
    scanner = next((scanner for scanner in SCANNERS if scanner.name == chosen.scanner), None)
    if dims == 2 and (chosen.slices > 1 or job.neighbours):
        return draw_studies(file, site, size, scanner, note)
    drawn = (chosen.scans, chosen.seed, size, dims, chosen.difficulty, chosen.prevalence, scanner, chosen.detail)
    hu, labels = phantom(site, *drawn)
    spacing = spacing_of(scanner or scanner_of(site), size, dims) if job.fov_mm else None
    pixels = [Pixels(np.asarray(image, np.float32), True, spacing) for image in hu]
    return Scans(
        images=torch.stack([rendered(each, size, file)[0] for each in pixels]),
        labels=labels_for(job, labels),
        digests=tuple(each.digest() for each in pixels),
        groups=np.arange(len(pixels)),
        pairs=(),
        given=(None,) * len(pixels),
        notes=(note,),
        names=tuple(f"phantom-{number}" for number in range(len(pixels))),
    )


def draw_studies(file: SiteFile, site: str, size: int, scanner: "Scanner | None", note: str) -> Scans:
    """Several slices of each phantom head, each with the slices around it where the job takes neighbours."""
    from brainct.ct.phantom import SLICE_MM, scanner_of, slice_labels, spacing_of, studies

    chosen, job, near = file.phantom, file.job, file.job.neighbours
    drawn = studies(site, chosen, size, chosen.slices + 2 * near, scanner)
    spacing = (*spacing_of(scanner or scanner_of(site), size, 2), SLICE_MM) if job.fov_mm else None
    images, pixels, labels = [], [], []
    for hu, masks in drawn:
        for at in range(near, near + chosen.slices):
            stack = hu[:, :, at - near : at + near + 1] if near else hu[:, :, at]
            image, own = rendered(Pixels(stack, True, spacing if near or not spacing else spacing[:2]), size, file)
            images.append(image)
            pixels.append(own)
            labels.append(slice_labels(masks[..., at]))
    numbers = np.repeat(np.arange(len(drawn)), chosen.slices)
    return Scans(
        images=torch.stack(images),
        labels=labels_for(job, np.stack(labels)),
        digests=tuple(each.digest() for each in pixels),
        groups=numbers,
        pairs=(),
        given=(None,) * len(pixels),
        notes=(note,),
        names=tuple(f"phantom-{number}#{at}" for number in range(len(drawn)) for at in range(chosen.slices)),
        patients=numbers,
        studies=numbers,
    )


def scan_name(entry: ScanEntry) -> str:
    return entry.name if entry.slice is None else f"{entry.name}#{entry.slice}"


def _patient_numbers(patients: Sequence[str | None]) -> Ints | None:
    """A number for each patient, and a number of its own for each scan of an unknown one; None if all are unknown.

    Not the groups of `join_groups`: these also join near duplicates, so that one more scan could join two patients,
    and what leaves the site would change by more than one patient's share.
    """
    if not any(patients):
        return None
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(who or at, len(numbers)) for at, who in enumerate(patients)], np.int64)


def _study_numbers(entries: Sequence[ScanEntry]) -> Ints:
    """A number for each study: as listed, else the volume of which the scan is a slice, the patient, or the scan."""
    numbers: dict[object, int] = {}
    keys = [
        each.study or (each.name if each.slice is not None else each.patient) or at for at, each in enumerate(entries)
    ]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _notes(in_hu: Counter[bool], unknown_patients: bool, groups: Ints) -> list[str]:
    notes = []
    if in_hu[False]:
        notes.append(f"{in_hu[False]} images are not in HU (unknown window); their scores may not be comparable")
    if in_hu[True] and in_hu[False]:
        notes.append(f"{in_hu[False]} images are mixed with {in_hu[True]} scans in HU: a network can use that")
    if unknown_patients:
        notes.append("patients unknown: two scans of one patient may be in two folds unless they look alike")
    largest = int(np.bincount(groups).max())
    if largest > max(1, len(groups) // 2):
        notes.append(f"{largest} of {len(groups)} scans belong to one group of near duplicates or patients")
    return notes
