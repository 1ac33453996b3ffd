"""Reads a site's scans for the check: as a run does, but to the end, whatever is wrong with them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from brainct.ct.cache import duplicate_pairs, rendered
from brainct.ct.contact_sheet import MOST, draw_sheet, spread
from brainct.ct.folds import strata
from brainct.ct.read.listing import list_scans
from brainct.ct.scan_check import Checked, ScanCheck, check_scans
from brainct.ct.scans import scan_name
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
    if file.kind == "phantom":
        raise Refused("the phantom is drawn and needs no check: name a site file with scans on disk")
    try:
        found = _read(file.for_job(job), size, dims)
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
    patients = [entry.patient for entry in kept]
    labels = np.stack([entry.labels for entry in kept])
    pairs = duplicate_pairs(found, duplicate_threshold(patients))
    given = [entry.fold for entry in kept]
    groups = join_groups(pairs, patients)
    folds = split_folds(strata(labels, job.findings, job.single), groups, file.split.fractions, file.split.seed)
    return Checked(
        names=[scan_name(entry) for entry in kept],
        facts=found.facts,
        images=found.images,
        labels=labels,
        fold_of=_given(given) if given[0] is not None else folds,
        patients=patients,
        pairs=pairs,
        failed=list(dict.fromkeys(found.failed.values())),
        limit=0.0 if file.on_unreadable == "refuse" else file.unreadable_share,
        notes=notes,
        findings=job.findings,
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
    chosen = replace(found, images=found.images[shown], labels=found.labels[shown])
    return draw_sheet(chosen.images, chosen.labels, [at + 1 for at in shown], title, found.findings)
