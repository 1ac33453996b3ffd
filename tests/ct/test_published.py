"""Published label files, in the layout in which they are published, over drawn heads."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.config import disable_value_validation

from brainct.ct.dataset import open_site
from brainct.ct.folds import FINDINGS
from brainct.ct.site_config import read_site_file
from brainct.ct.wanted import Wanted
from brainct.errors import Refused
from tests.ct.test_dicom_tree import write_study
from tests.support.forged import everything, head, labels_of, opened, refused, site_file, write_dicom, write_nifti

ALL = {"split": {"train": 1, "valid": 0, "test": 0}}


def wanted_by(folder: Path, job: Wanted, dims: int = 2, **choices: object):
    """The site's scans as they are read for a job."""
    file = read_site_file(site_file(folder, root="scans", device="cpu", **choices))
    return open_site(file, "hospital-a", ["hospital-a"], 32, dims, job)


def rsna(folder: Path, images: int = 6) -> list[str]:
    """stage_2_train/ID_<9 hex>.dcm, patients of two slices; the lines of stage_2_train.csv."""
    lines = ["ID,Label"]
    for at in range(images):
        name = f"ID_{at:09x}"
        tags = {"SOPInstanceUID": name, "PatientID": f"ID_{at // 2:08x}", "StudyInstanceUID": f"ID_s{at // 2}"}
        tags |= {"SeriesInstanceUID": f"ID_r{at // 2}", "ImagePositionPatient": [0, 0, 5.0 * (at % 2)]}
        with disable_value_validation():  # pydicom warns of identifiers that are no UID; reading them may not warn
            write_dicom(folder / "scans" / "stage_2_train" / f"{name}.dcm", head(at), **tags)
        found = [0, at % 2, 0, 0, int(at == 5), at % 2]
        lines += [f"{name}_{finding},{label}" for finding, label in zip(FINDINGS, found, strict=True)]
    return lines


RSNA = {"kind": "dicom", "labels": "stage_2_train.csv", "series": {"allow": ["few"]}}


def written(folder: Path, lines: list[str], name: str = "stage_2_train.csv", encoding: str = "utf-8") -> None:
    (folder / "scans" / name).write_text("\n".join(lines) + "\n", encoding)


def test_rsna_2019_has_six_rows_an_image(tmp_path: Path) -> None:
    written(tmp_path, lines := rsna(tmp_path))
    data = opened(tmp_path, **RSNA, **ALL)
    assert labels_of(data).tolist() == [[0, at % 2, 0, 0, int(at == 5), at % 2] for at in range(6)]
    assert data.folds["train"].patients.tolist() == [0, 0, 1, 1, 2, 2]
    written(tmp_path, [*lines, lines[1]])  # the set has equal rows twice
    assert opened(tmp_path, **RSNA, **ALL).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [*lines, lines[1].replace(",0", ",1")], "row 38: a second row of this image and finding"),
        (
            lambda lines: [*lines, "ID_000000000_stroke,0"],
            "row 38: ID 'ID_000000000_stroke', wanted ID_<image>",
        ),
        (lambda lines: [*lines[:-1], lines[-1].replace(",1", ",2")], "row 37: Label '2', wanted 0 or 1"),
        (lambda lines: [*lines[:-1], lines[-1].replace(",1", ",0")], "`any` is not the union of its subtypes"),
        (lambda lines: [*lines, "ID_aaaaaaaaa_any,0"], "1 label in stage_2_train.csv without an image: ID_aaaaaaaaa"),
    ],
)
def test_rsna_rows_that_do_not_fit_are_refused(tmp_path: Path, change, words: str) -> None:
    written(tmp_path, change(rsna(tmp_path)))
    assert words in refused(tmp_path, **RSNA)


def reads(folder: Path, studies: int = 4) -> list[str]:
    """The published header; the readers agree on study 0 (IPH) and 2 (none), two see SDH in 1, ICH alone in 3."""
    findings = ["ICH", "IPH", "IVH", "SDH", "EDH", "SAH", "BleedLocation-Left", "BleedLocation-Right", "ChronicBleed"]
    findings += ["Fracture", "CalvarialFracture", "OtherFracture", "MassEffect", "MidlineShift"]
    header = ["name", "Category", *[f"R{reader}:{finding}" for reader in (1, 2, 3) for finding in findings]]
    votes = {
        0: [{"ICH", "IPH"}] * 3,
        1: [{"ICH", "SDH"}, {"ICH", "SDH"}, set()],
        2: [set()] * 3,
        3: [{"ICH", "SAH"}, {"ICH", "IVH"}, set()],
    }
    rows = [",".join(header)]
    for study in range(studies):
        cells = [str(int(finding in vote)) for vote in votes[study] for finding in findings]
        rows.append(",".join([f"CQ500-CT-{study}", "B1", *cells]))
        name = f"CQ500CT{study}"
        inner = folder / "scans" / f"{name} {name}" / "Unknown Study"
        write_study(inner / "CT Plain", study, description="CT Plain", PatientID=name)
        write_study(inner / "CT Plain THIN", study, 2, 8, 0.6, description="CT Plain THIN", PatientID=name)
        write_study(inner / "CT POST", study, 3, description="CT POST CONTRAST", PatientID=name)
    return rows


def test_cq500_has_the_majority_of_three_readers_a_study(tmp_path: Path) -> None:
    rows = reads(tmp_path)
    written(tmp_path, rows, "reads.csv")
    data = opened(tmp_path, kind="dicom", labels="reads.csv", dims=3, **ALL)
    nan = np.nan
    wanted = [[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1], [0] * 6, [nan] * 5 + [1]]
    np.testing.assert_array_equal(labels_of(data), wanted)
    written(tmp_path, [rows[0], rows[1].replace(",1", ",x", 1), *rows[2:]], "reads.csv")
    assert "of three readers is ['x'" in refused(tmp_path, kind="dicom", labels="reads.csv")


CT_ICH = "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage"


def ct_ich(folder: Path) -> list[str]:
    """Two patients of three slices; the published table begins with a byte-order mark."""
    rows = [f"{CT_ICH},Fracture_Yes_No"]
    (folder / "scans" / "ct_scans").mkdir(parents=True)
    for patient in (49, 130):
        volume = np.stack([head(patient + at) for at in range(3)], axis=2)
        affine = np.diag([-1.0, -1, 5, 1])
        write_nifti(folder / "scans" / "ct_scans" / f"{patient:03d}.nii", volume.transpose(1, 0, 2), affine)
        rows += [f"{patient},{at},0,{int(at == 2)},0,0,0,{int(at != 2)},1" for at in (1, 2, 3)]
    return rows


def test_ct_ich_counts_slices_from_one(tmp_path: Path) -> None:
    rows = ct_ich(tmp_path)
    written(tmp_path, rows, "hemorrhage_diagnosis_raw_ct.csv", "utf-8-sig")
    data = opened(tmp_path, kind="ct_ich", **ALL)
    assert labels_of(data)[:, 1].tolist() == labels_of(data)[:, 5].tolist() == [0, 1, 0] * 2
    assert data.folds["train"].patients.tolist() == [0, 0, 0, 1, 1, 1]
    assert labels_of(opened(tmp_path, kind="ct_ich", dims=3, **ALL))[:, 1].tolist() == [1, 1]
    written(tmp_path, [*rows, "49,4,0,0,0,0,0,1,0"], "hemorrhage_diagnosis_raw_ct.csv")
    assert "ct_scans/049.nii: `slice` is 3, but the slices are 0 to 2" in refused(tmp_path, kind="ct_ich")
    written(tmp_path, [*rows[:-1], "130,3,0,1,0,0,0,1,0"], "hemorrhage_diagnosis_raw_ct.csv")
    assert "row 7: `No_Hemorrhage` contradicts the types" in refused(tmp_path, kind="ct_ich")


def with_masks(folder: Path, images: str, masks: str, values: tuple[int, ...]) -> None:
    """Volume k has value k of `values` in its second slice; the first volume has none."""
    for at, value in enumerate((0, *values)):
        name = f"{at:03d}.nii.gz"
        mask = np.zeros((32, 40, 3), np.uint8)
        mask[10:12, 10:12, 1] = value
        for part in (images, masks):
            (folder / "scans" / part).mkdir(parents=True, exist_ok=True)
        volume = np.stack([head(10 * at + slice_) for slice_ in range(3)], axis=2).transpose(1, 0, 2)
        affine = np.diag([-1.0, -1, 5, 1])
        write_nifti(folder / "scans" / images / name, volume, affine)
        write_nifti(folder / "scans" / masks / name, mask, affine)


def test_instance22_masks_say_only_whether_there_is_any_blood(tmp_path: Path) -> None:
    with_masks(tmp_path, "data", "label", (1, 1))
    choices = {"kind": "masks", "images": "data/{id}.nii.gz", "masks": "label/{id}.nii.gz"}
    data = opened(tmp_path, **choices, **ALL)
    assert labels_of(data)[:, 5].tolist() == [0, 0, 0, 0, 1, 0, 0, 1, 0]
    assert np.isnan(labels_of(data)[:, :5]).all()
    assert labels_of(opened(tmp_path, **choices, dims=3, **ALL))[:, 5].tolist() == [0, 1, 1]
    (tmp_path / "scans" / "label" / "001.nii.gz").unlink()
    assert "1 image without a label in `masks`: data/001.nii.gz" in refused(tmp_path, **choices)


def test_bhsd_masks_have_a_value_for_each_type(tmp_path: Path) -> None:
    with_masks(tmp_path, "images", "ground truths", (1, 2, 3, 4, 5))
    values = {1: "epidural", 2: "intraparenchymal", 3: "intraventricular", 4: "subarachnoid", 5: "subdural"}
    choices = {"kind": "masks", "images": "images/{id}.nii.gz", "masks": "ground truths/{id}.nii.gz"}
    data = opened(tmp_path, **choices, mask_values=values, dims=3, **ALL)
    wanted = [[0] * 6, *[[int(at == type_) for at in range(5)] + [1] for type_ in range(5)]]
    assert labels_of(data).tolist() == wanted
    assert "mask values [5], wanted [0, 1, 2, 3, 4]" in refused(
        tmp_path, **choices, mask_values={key: values[key] for key in (1, 2, 3, 4)}
    )


def listed(folder: Path, **parts: object) -> None:
    content = {"modality": {"0": "CT"}, "labels": {"0": "background"}, **parts}
    (folder / "scans" / "dataset.json").write_text(json.dumps(content))


def test_a_monai_datalist_has_numbers_lists_masks_and_folds(tmp_path: Path) -> None:
    with_masks(tmp_path, "imagesTr", "labelsTr", (1, 1, 1))
    items = [
        {"image": "./imagesTr/000.nii.gz", "label": 0, "fold": 0},
        {"image": "imagesTr/001.nii.gz", "label": [0, 1, 0, 0, 0, 1]},
        {"image": "imagesTr/002.nii.gz", "label": "labelsTr/002.nii.gz"},
    ]
    listed(tmp_path, training=items, testing=["imagesTr/003.nii.gz"])
    data = opened(tmp_path, kind="datalist", dims=3)
    assert [len(data.folds[fold]) for fold in ("train", "valid", "test")] == [3, 0, 1]
    assert labels_of(data)[:3, 5].tolist() == [0, 1, 1]
    assert labels_of(data)[1].tolist() == [0, 1, 0, 0, 0, 1]
    assert np.isnan(labels_of(data)[3]).all()
    listed(tmp_path, training=items)
    assert len(everything(opened(tmp_path, kind="datalist", dims=3))) == 3


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ([{"image": "imagesTr/000.nii.gz", "label": 2}], "training[0]: label 2, wanted 0 or 1"),
        ([{"image": "imagesTr/000.nii.gz", "label": True}], "training[0]: label True, wanted 0 or 1"),
        ([{"image": "imagesTr/000.nii.gz", "label": [0, 1]}], "wanted 0 or 1, 6 of them, or the path of a mask"),
        ([{"image": "/etc/passwd"}], "path '/etc/passwd': wanted a path relative to root"),
        ([{"label": 1}], "training[0]: wanted an item with `image`"),
        ({"0": "x"}, "wanted a list `training`"),
        ([{"image": "no.nii"}], "1 label in dataset.json without an image: no.nii"),
    ],
)
def test_a_datalist_that_does_not_fit_is_refused(tmp_path: Path, training: object, words: str) -> None:
    with_masks(tmp_path, "imagesTr", "labelsTr", (1,))
    listed(tmp_path, training=training)
    assert words in refused(tmp_path, kind="datalist", dims=3)


def test_ct_ich_knows_fractures_if_the_job_asks_for_them(tmp_path: Path) -> None:
    rows = ct_ich(tmp_path)
    written(tmp_path, [*rows[:-1], f"{rows[-1][:-1]}0"], "hemorrhage_diagnosis_raw_ct.csv")
    job = {"job": Wanted(("fracture", "intraparenchymal", "stroke")), **ALL}
    found = labels_of(wanted_by(tmp_path, kind="ct_ich", **job))
    assert found[:, :2].tolist() == [[1, 0], [1, 1], [1, 0], [1, 0], [1, 1], [0, 0]]
    assert np.isnan(found[:, 2]).all()
    written(tmp_path, [*rows[:-1], f"{rows[-1][:-1]}x"], "hemorrhage_diagnosis_raw_ct.csv")
    with pytest.raises(Refused, match="column `Fracture_Yes_No`: got 'x', wanted 0 or 1"):
        wanted_by(tmp_path, kind="ct_ich", **job)


def test_cq500_has_a_column_for_other_findings_of_the_job(tmp_path: Path) -> None:
    rows = reads(tmp_path)
    at = rows[0].split(",").index("R1:MidlineShift"), rows[0].split(",").index("R3:MidlineShift")
    cells = rows[3].split(",")
    for place in at:
        cells[place] = "1"
    written(tmp_path, [*rows[:3], ",".join(cells), *rows[4:]], "reads.csv")
    job = Wanted(("midline shift", "subdural", "stroke"))
    found = labels_of(wanted_by(tmp_path, kind="dicom", labels="reads.csv", dims=3, job=job, **ALL))
    np.testing.assert_array_equal(found, [[0, 0, np.nan], [0, 1, np.nan], [1, 0, np.nan], [0, np.nan, np.nan]])


MASKS = {"kind": "masks", "images": "data/{id}.nii.gz", "masks": "label/{id}.nii.gz", "dims": 3, **ALL}


def test_values_of_a_mask_mark_what_the_job_asks_for(tmp_path: Path) -> None:
    """`any` is bleeding: a value that marks a stroke adds nothing to it."""
    with_masks(tmp_path, "data", "label", (1, 2))
    job = Wanted(("stroke", "subdural", "any", "fracture"))
    found = labels_of(wanted_by(tmp_path, **MASKS, mask_values={1: "stroke", 2: "subdural"}, job=job))
    np.testing.assert_array_equal(found, [[0, 0, 0, np.nan], [1, 0, 0, np.nan], [0, 1, 1, np.nan]])
    with pytest.raises(Refused, match="`mask_values`: got 'strok', wanted 'stroke'"):
        wanted_by(tmp_path, **MASKS, mask_values={1: "strok", 2: "subdural"}, job=job)


def test_a_datalist_has_the_findings_of_the_job(tmp_path: Path) -> None:
    with_masks(tmp_path, "imagesTr", "labelsTr", (1, 1))
    named = [f"imagesTr/00{at}.nii.gz" for at in range(3)]
    listed(tmp_path, training=[{"image": name, "label": [at % 2, 1]} for at, name in enumerate(named)])
    several = {"kind": "datalist", "dims": 3, **ALL}
    found = labels_of(wanted_by(tmp_path, job=Wanted(("stroke", "fracture")), **several))
    assert found.tolist() == [[0, 1], [1, 1], [0, 1]]
    job = Wanted(("none", "stroke", "fracture"), single=True)
    listed(tmp_path, training=[{"image": name, "label": at} for at, name in enumerate(named)])
    assert labels_of(wanted_by(tmp_path, job=job, **several)).tolist() == np.eye(3).tolist()
    swapped = {"0": "stroke", "1": "none", "2": "fracture"}
    listed(tmp_path, training=[{"image": name, "label": at} for at, name in enumerate(named)], labels=swapped)
    assert labels_of(wanted_by(tmp_path, job=job, **several)).tolist() == np.eye(3)[[1, 0, 2]].tolist()
    listed(tmp_path, training=[{"image": named[0], "label": 3}])
    with pytest.raises(Refused, match="label 3, wanted the number of a class, 0 to 2"):
        wanted_by(tmp_path, job=job, **several)
