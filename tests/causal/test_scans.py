"""The table made of scans: what is measured on an image is what was drawn, and causes among it are found."""

import csv

import numpy as np
import pytest

from brainct.causal.config import CausalChoices
from brainct.causal.dataset import open_site
from brainct.causal.measure import measured
from brainct.causal.workload import CAUSAL
from brainct.ct.folds import FINDINGS
from brainct.ct.phantom import SCANNERS, SLICE_MM, slice_hu, spacing_of
from brainct.ct.phantom.causes import COLUMNS, EDGES, SIZE, patients
from brainct.ct.phantom.draw import render, stream_of
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from tests.causal.tables import causal_plan, delivered

CHOICES = CausalChoices(columns=list(COLUMNS), min_rows=3)


def opened(folder, text, site="site-1", choices=CHOICES):
    file = folder / "site.yaml"
    file.write_text(text)
    return open_site(file, site, ["site-1", "site-2"], choices)


def drawn(shift_mm):
    level = np.array([12.0, 17.0, 22.0])
    return [
        render(stream_of("shift", at), SCANNERS[0], [], SIZE, level, 1.0, (12.0, 22.0), shift_mm)[0] for at in range(8)
    ]


def test_a_pushed_middle_is_measured_and_no_push_changes_no_pixel():
    spacing = (*spacing_of(SCANNERS[0], SIZE, 2), SLICE_MM)
    empty = np.zeros((1, SIZE, SIZE, 3), bool)
    off = {mm: [measured(hu, empty, ["any"], spacing)["shift_mm"] for hu in drawn(mm)] for mm in (0.0, 8.0)}
    assert np.median(off[8.0]) == pytest.approx(8.0, abs=2.5)
    assert np.median(off[0.0]) < 4.0
    still = slice_hu(stream_of("same"), SCANNERS[0], [], 48)
    assert np.array_equal(still, slice_hu(stream_of("same"), SCANNERS[0], [], 48))


def test_volumes_are_those_of_the_masks():
    [one] = patients("site-1", 1, SCANNERS[0])
    spacing = (2.0, 3.0, 5.0)
    found = measured(one.hu, one.masks, FINDINGS[:-1], spacing)
    assert found["volume intraparenchymal"] == pytest.approx(one.masks[1].sum() * 0.03)
    assert found["volume"] == found["volume intraparenchymal"]
    assert found["volume subdural"] == 0.0


def test_phantom_patients_are_the_same_on_every_scanner_and_their_hu_is_not(tmp_path):
    text = "kind: phantom_scans\nrows: 8\nforce: true\nscanner: {}\n"
    one, other = (opened(tmp_path, text.format(name)).rows for name in ("trauma centre", "narrow export"))
    at = [COLUMNS.index(name) for name in ("age", "inr")]
    assert np.array_equal(one[:, at], other[:, at])
    hu = COLUMNS.index("mean_hu")
    assert other[:, hu].mean() > one[:, hu].mean() + 1


def test_scans_with_masks_and_a_clinical_table_are_joined_by_the_patient(tmp_path):
    import nibabel

    root = tmp_path / "scans"
    root.mkdir()
    affine = np.diag([-4.0, -4.0, 5.0, 1.0])
    for at, one in enumerate(patients("site-1", 3, SCANNERS[0])):
        turned = [np.swapaxes(each, 0, 1) for each in (one.hu.astype(np.int16), one.masks.any(0).astype(np.int16))]
        for name, volume in zip(("scan", "mask"), turned, strict=True):
            nibabel.save(nibabel.Nifti1Image(volume, affine), root / f"{name}{at}.nii.gz")
    with (root / "labels.csv").open("w") as file:
        rows = [(f"scan{at}.nii.gz", f"mask{at}.nii.gz", f"p{at}") for at in range(3)]
        csv.writer(file).writerows([("image", "mask", "patient_id"), *rows])
    (tmp_path / "masks.yaml").write_text("kind: mask_table\nroot: scans\nmask_values: {1: intraparenchymal}\n")
    (tmp_path / "clinical.csv").write_text("patient_id,age,outcome\np2,70,1\np0,50,0\np1,60,1\n")
    text = "kind: scans\nscans: masks.yaml\nclinical: clinical.csv\nforce: true\n"
    columns = ["age", "volume intraparenchymal", "mean_hu", "outcome"]
    found = opened(tmp_path, text, choices=CausalChoices(columns=columns, min_rows=2))
    assert found.rows[:, 0].tolist() == [50, 60, 70]
    wanted = [one.masks.sum() * 0.08 for one in patients("site-1", 3, SCANNERS[0])]
    assert found.rows[:, 1] == pytest.approx(wanted)
    assert np.isfinite(found.rows).all()
    assert "MEASURED" in CAUSAL.describe(found)["notes"][0]
    (root / "mask1.nii.gz").write_bytes(b"no mask")
    with pytest.raises(Refused, match="mask1.nii.gz: unreadable"):
        opened(tmp_path, text, choices=CausalChoices(columns=columns, min_rows=2))
    masks = (tmp_path / "masks.yaml").read_text()
    (tmp_path / "masks.yaml").write_text(f"{masks}on_unreadable: skip\nunreadable_share: 0.5\n")
    left = opened(tmp_path, text, choices=CausalChoices(columns=columns, min_rows=2))
    assert left.rows[:, 0].tolist() == [50, 70]
    assert "left out: 1 of 3 scans" in CAUSAL.describe(left)["notes"][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: scans", "`scans` names the site file"),
        ("kind: generated\nclinical: c.csv", "`clinical` joins it"),
        ("kind: phantom_scans\nscanner: none", "`scanner`: got 'none'"),
    ],
)
def test_what_names_no_scans_is_refused(tmp_path, text, words):
    with pytest.raises(Refused, match=words):
        opened(tmp_path, text)


@pytest.mark.slow
@pytest.mark.nightly
def test_the_causes_that_made_the_phantom_are_found_and_both_other_scanners(tmp_path):
    sites = [f"site-{at}" for at in range(1, 6)]
    scanner = dict.fromkeys(sites, "trauma centre") | {"site-4": "old scanner", "site-5": "narrow export"}
    plan = causal_plan("peri_environments", columns=list(COLUMNS), rounds=2, arguments={"offsets": "mechanism"})

    def opener(file, site, names, plan):
        text = f"kind: phantom_scans\nrows: 100\nscanner: {scanner[site]}\n"
        return opened(tmp_path, text, site, CausalChoices(columns=list(COLUMNS)))

    record = rehearse(plan, sites, tmp_path / "run", opener=opener, log=lambda line: None)
    weights, _ = delivered(plan, record)
    found = {(COLUMNS[i], COLUMNS[j]) for i, j in weights["graph"].nonzero().tolist()}
    assert found == set(EDGES)
    changed = {(COLUMNS[i], sites[k]) for i, k in weights["changed"].nonzero().tolist()}
    assert changed == {("mean_hu", "site-4"), ("mean_hu", "site-5")}
