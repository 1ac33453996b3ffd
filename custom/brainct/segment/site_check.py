"""Checks a site's scans and masks before a run, as ct.site_check does for labels."""

from PIL import Image

from brainct.ct.scan_check import Checked, ScanCheck
from brainct.ct.site_check import check_read, checked, pairs_of
from brainct.segment.config import SegmentChoices
from brainct.segment.dataset import folds_of, labels_of
from brainct.segment.files import list_scans
from brainct.segment.scans import rendered, scans_in
from brainct.segment.site_config import SegmentFile


def check_site(file: SegmentFile, choices: SegmentChoices) -> tuple[list[ScanCheck], Image.Image | None]:
    """Every line of the check, and the contact sheet with the masks outlined; None if no scan could be read."""
    return check_read(file, lambda: _read(file, choices))


def _read(file: SegmentFile, choices: SegmentChoices) -> Checked:
    scans, notes = list_scans(file, choices)
    found = rendered(scans, file, choices)
    kept = [scans[at] for at in found.kept]
    own = scans_in(found, kept, notes)
    fold_of = folds_of(own, file, choices)
    return checked(found, kept, pairs_of(found, kept), labels_of(own), fold_of, notes, file, choices.findings)
