"""The bridge from head CT: a site's scans and masks become a table there, one row a patient, and none of it leaves."""

from collections.abc import Mapping, Sequence

import numpy as np

from brainct.causal.measure import measured
from brainct.causal.site_config import CausalFile
from brainct.errors import Refused
from brainct.graphs.moments import Floats
from brainct.table.read import read_table

KEY = "patient_id"
MEASURED = "MEASURED on this site's scans and masks"
DRAWN = "SYNTHETIC PHANTOM patients with known causes; not this site's own"


def columns_of(file: CausalFile, site: str, wanted: Sequence[str]) -> list[Floats | None]:
    """The wanted columns, a row a scan; None for one that neither scans nor the clinical table have."""
    found = _of_phantom(file, site) if file.kind == "phantom_scans" else _of_masks(file, site)
    if not set(wanted) & set(found):
        raise Refused(f"scans give none of the job's columns; they give {', '.join(found)}")
    return [found.get(file.columns.get(name, name)) for name in wanted]


def _of_phantom(file: CausalFile, site: str) -> dict[str, Floats]:
    from brainct.ct.folds import FINDINGS
    from brainct.ct.phantom import SCANNERS, SLICE_MM, scanner_of, spacing_of
    from brainct.ct.phantom.causes import SIZE, patients

    scanner = next((one for one in SCANNERS if one.name == file.scanner), scanner_of(site))
    spacing = (*spacing_of(scanner, SIZE, 2), SLICE_MM)
    rows = []
    for one in patients(site, file.rows, scanner, file.seed):
        given = {"age": one.age, "inr": one.inr, "outcome": one.outcome}
        rows.append({**given, **measured(one.hu, one.masks, FINDINGS[:-1], spacing)})
    return _stacked(rows)


def _of_masks(file: CausalFile, site: str) -> dict[str, Floats]:
    """Volumes of a segmentation's site file, joined with the clinical table by the patient's pseudonym."""
    from brainct.segment.config import Network, SegmentChoices
    from brainct.segment.scans import samples_of
    from brainct.segment.site_config import read_site_file

    assert file.scans is not None
    own = read_site_file(file.scans)
    names = tuple(sorted(set(own.mask_values.values()))) or ("any",)
    choices = SegmentChoices(findings=names, network=Network(dims=3))
    rows, keys = [], []
    for one in samples_of(own, site, choices):
        if one.pixels.spacing is None or not one.pixels.hu:
            raise Refused(f"{file.scans.name}: a scan has no spacing or is not in HU; give volumes in NIfTI or DICOM")
        masks = np.nan_to_num(one.masks) >= 0.5
        rows.append(dict(measured(one.pixels.values, masks, names, one.pixels.spacing)))
        keys.append(one.patient)
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise Refused(f"{file.scans.name}: {len(twice)} patients have several scans; keep one of each patient")
    found = _stacked(rows)
    return found | (_clinical(file, keys) if file.clinical else {})


def _clinical(file: CausalFile, keys: Sequence[str]) -> dict[str, Floats]:
    assert file.clinical is not None
    table = read_table(file.clinical)
    place = {key: at for at, key in enumerate(table.column(KEY))}
    found = {}
    for name in table.cells:
        if name != KEY:
            values = table.numbers(name)
            found[name] = np.array([values[place[key]] if key in place else np.nan for key in keys])
    return found


def _stacked(rows: Sequence[Mapping[str, float]]) -> dict[str, Floats]:
    if not rows:
        raise Refused("there are no scans to measure")
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
