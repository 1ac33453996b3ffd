"""The check of a site's scans before a run: counts, HU, spacing, orientation, duplicates, letters, what is unreadable.

Messages name files, so they stay at the site; `as_json` leaves names out.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from brainct.ct.orientation import letters, lying
from brainct.ct.read.decode import EMPTY
from brainct.ct.read.label_table import Labels
from brainct.ct.rendered import ScanFacts
from brainct.ct.split import Ints
from brainct.training.data import FOLDS

Status = Literal["PASS", "WARN", "FAIL"]
STATUSES: tuple[Status, ...] = ("PASS", "WARN", "FAIL")
LEAST_CLASS = 5
"""Scans with and without a finding that a fold needs for a score that means anything."""
NAMED = 5
"""Scans that a message names."""


@dataclass(frozen=True)
class ScanCheck:
    """One line of the check. message: without names. scans: names of those concerned, for the site."""

    subject: str
    status: Status
    message: str
    scans: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """What is checked of N scans: names, facts, images (N, C, H, W[, D]), labels (N, F), fold of each, patients.

    findings: the F that the job looks for. pairs: near duplicates. failed: why each of the other scans could not be
    read. limit: the share of these that a run leaves out. notes: of the listing. masks: (N, F, H, W[, D]) as in
    ct.rendered.Shown, if the scans have some.
    """

    names: Sequence[str]
    facts: Sequence[ScanFacts]
    images: Tensor
    labels: Labels
    fold_of: Ints
    patients: Sequence[str | None]
    pairs: Sequence[tuple[int, int]]
    failed: Sequence[str]
    limit: float
    notes: Sequence[str]
    findings: Sequence[str]
    masks: Tensor | None = None


def check_scans(found: Checked) -> list[ScanCheck]:
    """Every check in turn; one line or more each."""
    checks = (_readable, _classes, _patients, _hu, _spacing, _orientation, _duplicates, _letters, _notes)
    return [line for check in checks for line in check(found)]


def worst(lines: Sequence[ScanCheck]) -> Status:
    """The worst status, which is the verdict."""
    return max((line.status for line in lines), key=STATUSES.index, default="PASS")


def as_json(lines: Sequence[ScanCheck]) -> str:
    """The check for a program: statuses and messages without names of scans or patients."""
    rows = [{"what": line.subject, "status": line.status, "words": line.message} for line in lines]
    return json.dumps({"verdict": worst(lines), "checks": rows}, indent=1)


def _readable(found: Checked) -> Iterator[ScanCheck]:
    count = len(found.names) + len(found.failed)
    if not found.failed:
        yield ScanCheck("files", "PASS", f"{count} scans, all readable")
        return
    status: Status = "FAIL" if len(found.failed) > found.limit * count else "WARN"
    words = f"{len(found.failed)} of {count} scans cannot be read; a run leaves out up to {found.limit:.0%}"
    yield ScanCheck("files", status, words, tuple(dict.fromkeys(found.failed)))


def _classes(found: Checked) -> Iterator[ScanCheck]:
    known = [at for at in range(len(found.findings)) if not np.isnan(found.labels[:, at]).all()]
    if not known:
        yield ScanCheck("labels", "FAIL", "no scan has a label: the site can neither train nor be evaluated")
        return
    if lacking := [name for at, name in enumerate(found.findings) if at not in known]:
        yield ScanCheck("labels", "PASS", f"unknown here: {', '.join(lacking)}; the site takes part with the others")
    for at, fold in enumerate(FOLDS):
        labels = found.labels[found.fold_of == at]
        sides = {found.findings[each]: [int((labels[:, each] == value).sum()) for value in (1, 0)] for each in known}
        few = [name for name, both in sides.items() if min(both) < LEAST_CLASS]
        words = ", ".join(f"{name} {both[0]}+/{both[1]}-" for name, both in sides.items())
        none = not len(labels) or all(min(both) == 0 for both in sides.values())
        status: Status = "FAIL" if none and fold == "train" else "WARN" if few else "PASS"
        advice = f"; fewer than {LEAST_CLASS} on one side: {', '.join(few)}" if few else ""
        yield ScanCheck(f"labels, {fold}", status, f"{len(labels)} scans; {words}{advice}")


def _patients(found: Checked) -> Iterator[ScanCheck]:
    known = [patient for patient in found.patients if patient is not None]
    if not known:
        yield ScanCheck("patients", "WARN", "no patient is known: scans of one patient can be in two folds")
        return
    sizes = Counter(known).values()
    yield ScanCheck("patients", "PASS", f"{len(sizes)} patients, {min(sizes)} to {max(sizes)} scans each")


def _hu(found: Checked) -> Iterator[ScanCheck]:
    hu = [facts for facts in found.facts if facts.hu]
    if not hu:
        yield ScanCheck("values", "WARN", f"{len(found.facts)} grey pictures in an unknown window, no HU")
        return
    low, middle, high = (np.median([facts.percentiles[at] for facts in hu]) for at in range(3))
    words = f"HU of {len(hu)} scans: 1 % {low:.0f}, median {middle:.0f}, 99 % {high:.0f}"
    empty = [name for name, facts in zip(found.names, found.facts, strict=True) if EMPTY in facts.notes]
    mixed = len(hu) < len(found.facts)
    status: Status = "FAIL" if len(empty) > len(hu) / 2 else "WARN" if empty or mixed else "PASS"
    more = f"; {len(empty)} with {EMPTY}" if empty else ""
    more += f"; {len(found.facts) - len(hu)} grey pictures among them" if mixed else ""
    yield ScanCheck("values", status, words + more, tuple(empty))


def _spacing(found: Checked) -> Iterator[ScanCheck]:
    known = [facts.spacing for facts in found.facts if facts.spacing is not None]
    if not known:
        yield ScanCheck("spacing", "WARN", "pixel size unknown")
        return
    pixel = np.array([spacing[0] for spacing in known])
    gaps = np.array([spacing[2] for spacing in known if len(spacing) > 2])
    words = f"pixels {pixel.min():.2f} to {pixel.max():.2f} mm"
    words += f", slices {gaps.min():.2f} to {gaps.max():.2f} mm apart" if len(gaps) else ""
    odd = [name for name, facts in zip(found.names, found.facts, strict=True) if _odd_field(facts)]
    more = f"; {len(odd)} with a field of view outside 120 to 600 mm" if odd else ""
    yield ScanCheck("spacing", "WARN" if odd else "PASS", words + more, tuple(odd))


def _odd_field(facts: ScanFacts) -> bool:
    return facts.spacing is not None and not 120 <= facts.spacing[0] * facts.size[0] <= 600


def _orientation(found: Checked) -> Iterator[ScanCheck]:
    odd = [name for name, image in zip(found.names, found.images, strict=True) if lying(_grey(image))]
    status: Status = "FAIL" if len(odd) > len(found.names) / 4 else "WARN" if odd else "PASS"
    words = f"{len(odd)} of {len(found.names)} heads seem to lie on their side" if odd else "no head lies on its side"
    yield ScanCheck("orientation", status, words, tuple(odd))


def _grey(image: Tensor) -> NDArray[np.float32]:
    """The middle slice in the widest window, (H, W)."""
    last = image[-1]
    grey: NDArray[np.float32] = (last if last.ndim == 2 else last[:, :, last.shape[2] // 2]).numpy()
    return grey


def _duplicates(found: Checked) -> Iterator[ScanCheck]:
    across = [(one, other) for one, other in found.pairs if found.fold_of[one] != found.fold_of[other]]
    names = tuple(f"{found.names[one]} and {found.names[other]}" for one, other in across)
    if across:
        yield ScanCheck("duplicates", "FAIL", f"{len(across)} pairs of near duplicates in two folds", names)
    else:
        yield ScanCheck("duplicates", "PASS", f"{len(found.pairs)} pairs of near duplicates, none in two folds")
    first: dict[str, int] = {}
    pairs = [(first.setdefault(facts.digest, at), at) for at, facts in enumerate(found.facts)]
    wrong = [(one, other) for one, other in pairs if (np.abs(found.labels[one] - found.labels[other]) == 1).any()]
    names = tuple(f"{found.names[one]} and {found.names[other]}" for one, other in wrong)
    if wrong:
        yield ScanCheck("labels of copies", "FAIL", f"{len(wrong)} identical images with contradictory labels", names)


def _letters(found: Checked) -> Iterator[ScanCheck]:
    odd = [name for name, image in zip(found.names, found.images, strict=True) if letters(_grey(image))]
    words = f"{len(odd)} scans with marks outside the head, perhaps burnt-in text" if odd else "no marks outside heads"
    yield ScanCheck("burnt-in text", "WARN" if odd else "PASS", words, tuple(odd))


def _notes(found: Checked) -> Iterator[ScanCheck]:
    said = Counter(note for facts in found.facts for note in facts.notes if note != EMPTY)
    for note, count in sorted(said.items()):
        yield ScanCheck("notes", "WARN", f"{note}: {count} of {len(found.facts)} scans")
    for note in found.notes:
        yield ScanCheck("notes", "WARN", note)
