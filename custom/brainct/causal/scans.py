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


def columns_of(file: CausalFile, site: str, wanted: Sequence[str]) -> tuple[list[Floats | None], tuple[str, ...]]:
    """The wanted columns, a row a scan, None for one that neither scans nor the clinical table have; and notes."""
    drawn = file.kind == "phantom_scans"
    found, notes = (_of_phantom(file, site), [DRAWN]) if drawn else _of_masks(file, site)
    if not set(wanted) & set(found):
        raise Refused(f"scans give none of the job's columns; they give {', '.join(found)}")
    return [found.get(file.columns.get(name, name)) for name in wanted], tuple(notes)


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


def _of_masks(file: CausalFile, site: str) -> tuple[dict[str, Floats], list[str]]:
    """Volumes of a segmentation's site file, joined with the clinical table by the patient's pseudonym; and notes."""
    from brainct.segment.config import Network, SegmentChoices
    from brainct.segment.files import Sample
    from brainct.segment.scans import of_each
    from brainct.segment.site_config import read_site_file

    assert file.scans is not None
    name, own = file.scans.name, read_site_file(file.scans)
    findings = tuple(sorted(set(own.mask_values.values()))) or ("any",)

    def row(one: Sample) -> tuple[str, dict[str, float]]:
        if one.pixels.spacing is None or not one.pixels.hu:
            raise Refused(f"{name}: a scan has no spacing or is not in HU; give volumes in NIfTI or DICOM")
        return one.patient, dict(measured(one.pixels.values, one.masks == 1, findings, one.pixels.spacing))

    rows, notes = of_each(own, site, SegmentChoices(findings=findings, network=Network(dims=3)), row)
    keys = [key for key, _ in rows]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise Refused(f"{name}: {len(twice)} patients have several scans; keep one of each patient")
    found = _stacked([measures for _, measures in rows])
    return found | (_clinical(file, keys) if file.clinical else {}), [MEASURED, *notes]


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
