"""All scans of one site file, decoded and rendered, before they are split into folds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainct.ct.cache import duplicate_pairs, rendered
from brainct.ct.preprocess import Pixels, render_image
from brainct.ct.read.decode import EMPTY
from brainct.ct.read.label_table import Labels
from brainct.ct.read.listing import ScanEntry, list_scans
from brainct.ct.rendered import check_failed
from brainct.ct.site_choices import PhantomChoices
from brainct.ct.site_config import SiteFile
from brainct.ct.split import Ints, duplicate_threshold, join_groups
from brainct.errors import Refused

FEW = 4
"""Scans from which on most of them must show a head."""
PHANTOM = "SYNTHETIC PHANTOM scans, not patients"


@dataclass(frozen=True)
class Scans:
    """The N scans of one site file.

    images: (N, C, H, W[, D]). labels: (N, 6). digests: SHA-256 of the decoded pixels. groups: (N,), see ct.split.
    pairs: near duplicates. given: the fold that the manifest gives each scan. names: as in error messages.
    patients: (N,) numbers of the patients, see `_patient_numbers`. folder: of the
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
    folder: Path | None = None


def read_scans(file: SiteFile, size: int, dims: int) -> Scans:
    """Read the scans on disk that a site file names; size: side in pixels; dims: 2 slices, 3 volumes."""
    entries, notes = list_scans(file, dims)
    found = rendered(entries, file, size, dims)
    notes += check_failed(found, file)
    entries, facts = [entries[at] for at in found.kept], found.facts
    digests = [bytes.fromhex(each.digest) for each in facts]
    labels = np.stack([entry.labels for entry in entries])
    if len(set(digests)) == 1 < len(digests):
        raise Refused(f"all {len(digests)} images are the same: the export has failed, export them again")
    said = Counter(note for each in facts for note in each.notes)
    in_hu = Counter(each.hu for each in facts)
    _check_heads(said[EMPTY], in_hu[True])
    patients = [entry.patient for entry in entries]
    pairs = duplicate_pairs(found, duplicate_threshold(patients))
    groups = join_groups(pairs, patients)
    notes += [f"{note}: {count} of {len(entries)} scans" for note, count in sorted(said.items())]
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


def draw_scans(file: SiteFile | None, site: str, size: int, dims: int) -> Scans:
    """Draw the phantom's scans of a site, with the default choices if there is no site file."""
    from brainct.ct.phantom import SCANNERS, phantom

    chosen = file.phantom if file else PhantomChoices()
    note = PHANTOM if file else f"no site file: {PHANTOM}; set BRAINCT_SITE to a site file to use your own"
    file = file or SiteFile(kind="phantom")
    scanner = next((scanner for scanner in SCANNERS if scanner.name == chosen.scanner), None)
    hu, labels = phantom(site, chosen.scans, chosen.seed, size, dims, chosen.difficulty, chosen.prevalence, scanner)
    pixels = [Pixels(np.asarray(image, np.float32), hu=True) for image in hu]
    return Scans(
        images=torch.stack([render_image(each, size, file.windows) for each in pixels]),
        labels=np.asarray(labels, np.float32),
        digests=tuple(each.digest() for each in pixels),
        groups=np.arange(len(pixels)),
        pairs=(),
        given=(None,) * len(pixels),
        notes=(note,),
        names=tuple(f"phantom-{number}" for number in range(len(pixels))),
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
