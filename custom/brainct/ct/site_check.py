"""Reads a site's scans for the check: as a run does, but to the end, whatever is wrong with them."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from brainct.ct.cache import duplicate_pairs, rendered
from brainct.ct.contact_sheet import MOST, draw_sheet, spread
from brainct.ct.folds import strata
from brainct.ct.read.label_table import Labels
from brainct.ct.read.listing import ScanEntry, list_scans
from brainct.ct.rendered import Rendered
from brainct.ct.scan_check import Checked, ScanCheck, check_scans
from brainct.ct.scans import scan_name
from brainct.ct.site_choices import ScanChoices
from brainct.ct.site_config import SiteFile
from brainct.ct.split import Ints, duplicate_threshold, join_groups, split_folds
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused
from brainct.training.data import FOLDS


def check_site(
    file: SiteFile, size: int = 96, dims: int = 2, job: Wanted = DEFAULT
) -> tuple[list[ScanCheck], Image.Image | None]:
    """Every line of the check, and the contact sheet; None if no scan could be read.

    size: side in pixels at which the scans are looked at. dims: 2 slices, 3 volumes. job: what it wants of the scans.
    """
    return check_read(file, lambda: _read(file.for_job(job), size, dims))


def check_read(file: ScanChoices, read: Callable[[], Checked]) -> tuple[list[ScanCheck], Image.Image | None]:
    """See `check_site`; read: all scans that can be read, whatever is wrong with the others."""
    if file.kind == "phantom":
        raise Refused("the phantom is drawn and needs no check: name a site file with scans on disk")
    try:
        found = read()
    except Refused as refusal:
        return [ScanCheck("files", "FAIL", "the scans cannot be listed or read", (str(refusal),))], None
    lines = check_scans(found)
    return lines, _sheet(found, lines)


def _read(file: SiteFile, size: int, dims: int) -> Checked:
    job = file.job
    whole = file.model_copy(update={"on_unreadable": "skip", "unreadable_share": 1.0})
    entries, notes = list_scans(whole, dims)
    found = rendered(entries, whole, size, dims)
    kept = [entries[at] for at in found.kept]
    labels = np.stack([entry.labels for entry in kept])
    pairs = pairs_of(found, kept)
    given = [entry.fold for entry in kept]
    groups = join_groups(pairs, [entry.patient for entry in kept])
    folds = split_folds(strata(labels, job.findings, job.single), groups, file.split.fractions, file.split.seed)
    fold_of = _given(given) if given[0] is not None else folds
    return checked(found, kept, pairs, labels, fold_of, notes, file, job.findings)


def pairs_of(found: Rendered, kept: Sequence[ScanEntry]) -> list[tuple[int, int]]:
    """The pairs of near duplicates among the scans that could be read."""
    return duplicate_pairs(found, duplicate_threshold([entry.patient for entry in kept]))


def checked(
    found: Rendered,
    kept: Sequence[ScanEntry],
    pairs: Sequence[tuple[int, int]],
    labels: Labels,
    fold_of: Ints,
    notes: Sequence[str],
    file: ScanChoices,
    findings: Sequence[str],
) -> Checked:
    """What is checked of the scans that could be read; kept: their entries."""
    return Checked(
        names=[scan_name(entry) for entry in kept],
        facts=found.facts,
        images=found.images,
        labels=labels,
        fold_of=fold_of,
        patients=[entry.patient for entry in kept],
        pairs=pairs,
        failed=list(found.failed.values()),
        limit=0.0 if file.on_unreadable == "refuse" else file.unreadable_share,
        notes=notes,
        findings=findings,
        masks=found.masks,
    )


def _given(folds: Sequence[str | None]) -> Ints:
    return np.array([FOLDS.index(str(fold)) for fold in folds])


def _sheet(found: Checked, lines: Sequence[ScanCheck]) -> Image.Image:
    """The scans that lines of the check name, then others evenly spread, in the order of the listing."""
    named = {name for line in lines for name in line.scans}
    odd = [at for at, name in enumerate(found.names) if name in named][: MOST // 2]
    rest = [at for at in range(len(found.names)) if at not in set(odd)]
    shown = sorted({*odd, *(rest[at] for at in spread(len(rest), MOST - len(odd)))})
    title = f"{len(shown)} of {len(found.names)} scans in the first window; shows patients: stays at the site"
    masks = None if found.masks is None else found.masks[shown]
    numbers = [at + 1 for at in shown]
    return draw_sheet(found.images[shown], found.labels[shown], numbers, title, found.findings, masks)
