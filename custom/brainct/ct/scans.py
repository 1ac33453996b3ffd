"""All scans of one site file, decoded and rendered, before they are split into folds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from brainct.ct.preprocess import Pixels, render_image, thumbnail
from brainct.ct.read.decode import decode, decode_stack
from brainct.ct.read.label_table import Labels
from brainct.ct.read.listing import ScanEntry, list_scans
from brainct.ct.site_choices import PhantomChoices
from brainct.ct.site_config import SiteFile
from brainct.ct.split import Ints, duplicate_threshold, join_groups, near_duplicates
from brainct.ct.transforms import applied
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused

if TYPE_CHECKING:
    from brainct.ct.phantom import Scanner

PHANTOM = "SYNTHETIC PHANTOM scans, not patients"


@dataclass(frozen=True)
class Scans:
    """The N scans of one site file.

    images: (N, C, H, W[, D]). labels: (N, F). digests: SHA-256 of the decoded pixels. groups: (N,), see ct.split.
    pairs: near duplicates. given: the fold that the manifest gives each scan. names: as in error messages.
    patients: (N,) numbers of the patients, see `_patient_numbers`. studies: (N,) numbers of the studies.
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


def read_scans(file: SiteFile, size: int, dims: int, job: Wanted = DEFAULT) -> Scans:
    """Read the scans on disk that a site file names; size: side in pixels; dims: 2 slices, 3 volumes."""
    entries, notes = list_scans(file, job)
    images, digests, thumbnails, found, in_hu = torch.empty(0), [], [], Counter[str](), Counter[bool]()
    for number, entry in enumerate(entries):
        pixels, said = decode_stack(entry, job.neighbours) if job.neighbours else decode(entry, dims)
        if job.fov_at(file.fov_mm) and not pixels.spacing:
            raise Refused(f"{entry.name}: pixel size unknown, so `fov_mm` cannot be applied: remove `fov_mm`")
        image, pixels = rendered(pixels, size, file, job)
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
        studies=_study_numbers(entries),
    )


def rendered(pixels: Pixels, size: int, file: SiteFile, job: Wanted) -> tuple[Tensor, Pixels]:
    """The image as the job wants it, and the pixels of its own slice; of a stack the slices' channels from below up."""
    windows, fov_mm = job.windows_at(file.windows), job.fov_at(file.fov_mm)
    if not job.neighbours:
        return applied(render_image(pixels, size, windows, fov_mm), job.steps), pixels
    flat = [Pixels(each, pixels.hu, pixels.spacing and pixels.spacing[:2]) for each in np.moveaxis(pixels.values, 2, 0)]
    images = [applied(render_image(each, size, windows, fov_mm), job.steps) for each in flat]
    return torch.cat(images), flat[job.neighbours]


def draw_scans(file: SiteFile | None, site: str, size: int, dims: int, job: Wanted = DEFAULT) -> Scans:
    """Draw the phantom's scans of a site, with the default choices if there is no site file."""
    from brainct.ct.phantom import SCANNERS, labels_for, phantom, scanner_of, spacing_of

    chosen = file.phantom if file else PhantomChoices()
    note = PHANTOM if file else f"no site file: {PHANTOM}; set BRAINCT_SITE to a site file to use your own"
    file = file or SiteFile(kind="phantom")
    scanner = next((scanner for scanner in SCANNERS if scanner.name == chosen.scanner), None)
    if dims == 2 and (chosen.slices > 1 or job.neighbours):
        return _draw_studies(file, site, size, scanner, job, note)
    hu, labels = phantom(site, chosen.scans, chosen.seed, size, dims, chosen.difficulty, chosen.prevalence, scanner)
    spacing = spacing_of(scanner or scanner_of(site), size, dims) if job.fov_mm else None
    pixels = [Pixels(np.asarray(image, np.float32), True, spacing) for image in hu]
    return Scans(
        images=torch.stack([rendered(each, size, file, job)[0] for each in pixels]),
        labels=labels_for(job, labels),
        digests=tuple(each.digest() for each in pixels),
        groups=np.arange(len(pixels)),
        pairs=(),
        given=(None,) * len(pixels),
        notes=(note,),
        names=tuple(f"phantom-{number}" for number in range(len(pixels))),
    )


def _draw_studies(file: SiteFile, site: str, size: int, scanner: "Scanner | None", job: Wanted, note: str) -> Scans:
    """Several slices of each phantom head, each with the slices around it where the job takes neighbours."""
    from brainct.ct.phantom import SLICE_MM, labels_for, scanner_of, slice_labels, spacing_of, studies

    chosen, near = file.phantom, job.neighbours
    drawn = studies(site, chosen, size, chosen.slices + 2 * near, scanner)
    spacing = (*spacing_of(scanner or scanner_of(site), size, 2), SLICE_MM) if job.fov_mm else None
    images, pixels, labels = [], [], []
    for hu, masks in drawn:
        for at in range(near, near + chosen.slices):
            stack = hu[:, :, at - near : at + near + 1] if near else hu[:, :, at]
            image, own = rendered(Pixels(stack, True, spacing if near or not spacing else spacing[:2]), size, file, job)
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


def _study_numbers(entries: Sequence[ScanEntry]) -> Ints:
    """A number for each study: the volume of which the scan is a slice, or the patient; each scan alone without."""
    numbers: dict[object, int] = {}
    keys = [each.name if each.slice is not None else each.patient or at for at, each in enumerate(entries)]
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
