"""All scans of one site file, decoded and rendered, before they are split into folds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from brainct.ct.preprocess import Pixels, render_image, thumbnail
from brainct.ct.read.decode import decode
from brainct.ct.read.label_table import Labels
from brainct.ct.read.listing import ScanEntry, list_scans
from brainct.ct.site_choices import PhantomChoices
from brainct.ct.site_config import SiteFile
from brainct.ct.split import Ints, duplicate_threshold, join_groups, near_duplicates
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused

PHANTOM = "SYNTHETIC PHANTOM scans, not patients"


@dataclass(frozen=True)
class Scans:
    """The N scans of one site file.

    images: (N, C, H, W[, D]). labels: (N, F). digests: SHA-256 of the decoded pixels. groups: (N,), see ct.split.
    pairs: near duplicates. given: the fold that the manifest gives each scan. names: as in error messages.
    patients: (N,) numbers of the patients, see `_patient_numbers`.
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


def read_scans(file: SiteFile, size: int, dims: int, job: Wanted = DEFAULT) -> Scans:
    """Read the scans on disk that a site file names; size: side in pixels; dims: 2 slices, 3 volumes."""
    entries, notes = list_scans(file, job)
    images, digests, thumbnails, found, in_hu = torch.empty(0), [], [], Counter[str](), Counter[bool]()
    for number, entry in enumerate(entries):
        pixels, said = decode(entry, dims)
        if file.fov_mm and not pixels.spacing:
            raise Refused(f"{entry.name}: pixel size unknown, so `fov_mm` cannot be applied: remove `fov_mm`")
        image = render_image(pixels, size, file.windows, file.fov_mm)
        # one allocation for all: a list that is stacked at the end would need the memory twice
        images = images if number else image.new_empty(len(entries), *image.shape)
        images[number] = image
        digests.append(pixels.digest())
        thumbnails.append(thumbnail(pixels))
        found.update(said)
        in_hu[pixels.hu] += 1
    if len(set(digests)) == 1 < len(digests):
        raise Refused(f"all {len(digests)} images are the same: the export has failed, export them again")
    patients = [entry.patient for entry in entries]
    pairs = near_duplicates(np.stack(thumbnails), duplicate_threshold(patients))
    groups = join_groups(pairs, patients)
    notes += [f"{note}: {count} of {len(entries)} scans" for note, count in sorted(found.items())]
    return Scans(
        images=images,
        labels=np.stack([entry.labels for entry in entries]),
        digests=tuple(digests),
        groups=groups,
        pairs=pairs,
        given=tuple(entry.fold for entry in entries),
        notes=(*notes, *_notes(in_hu, None in patients, groups)),
        names=tuple(map(_name, entries)),
        patients=_patient_numbers(patients),
    )


def draw_scans(file: SiteFile | None, site: str, size: int, dims: int, job: Wanted = DEFAULT) -> Scans:
    """Draw the phantom's scans of a site, with the default choices if there is no site file."""
    from brainct.ct.phantom import SCANNERS, labels_for, phantom

    chosen = file.phantom if file else PhantomChoices()
    note = PHANTOM if file else f"no site file: {PHANTOM}; set BRAINCT_SITE to a site file to use your own"
    file = file or SiteFile(kind="phantom")
    scanner = next((scanner for scanner in SCANNERS if scanner.name == chosen.scanner), None)
    hu, labels = phantom(site, chosen.scans, chosen.seed, size, dims, chosen.difficulty, chosen.prevalence, scanner)
    pixels = [Pixels(np.asarray(image, np.float32), hu=True) for image in hu]
    return Scans(
        images=torch.stack([render_image(each, size, file.windows) for each in pixels]),
        labels=labels_for(job, labels),
        digests=tuple(each.digest() for each in pixels),
        groups=np.arange(len(pixels)),
        pairs=(),
        given=(None,) * len(pixels),
        notes=(note,),
        names=tuple(f"phantom-{number}" for number in range(len(pixels))),
    )


def _name(entry: ScanEntry) -> str:
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
