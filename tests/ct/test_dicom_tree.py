"""A folder as a PACS exports it: the brain series is found, the others are set aside with a reason, people decide."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from brainct.ct.read.dicom_tree import find_series
from brainct.ct.read.series_headers import tree_headers
from brainct.ct.read.series_rule import series_of
from brainct.ct.site_choices import SeriesRule
from brainct.ct.site_config import read_site_file
from brainct.ct.wanted import Wanted
from brainct.errors import Refused
from tests.support.command import type_in
from tests.support.forged import everything, head, labels_of, opened, pydicom_study, refused, site_file, write_dicom


def write_study(
    folder: Path, study: int, series: int = 1, slices: int = 4, gap: float = 5.0, description="Head plain", **tags
) -> None:
    """One series of a study, its files among those of others, names without an order."""
    for at in range(slices):
        name = f"{(at * 7 + series * 3) % 97:02d}-{series}-{at}"
        own = {
            "PatientID": f"P{study}",
            "StudyInstanceUID": f"1.2.{study}",
            "SeriesInstanceUID": f"1.2.{study}.{series}",
            "SeriesDescription": description,
            "SeriesNumber": series,
            "SliceThickness": gap,
        }
        write_dicom(folder / f"st{study}" / name, head(100 * study + at), z=at * gap, **{**own, **tags})


def export(folder: Path, studies: int = 8) -> Path:
    """A CD: per study a plain series, a scout, a bone series, contrast, a coronal reformation, a dose report."""
    scans = folder / "scans"
    for study in range(studies):
        write_study(scans, study)
        kinds = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
        write_study(scans, study, 2, 1, description="Scout", **kinds)
        write_study(scans, study, 3, description="Head", ConvolutionKernel="H70h")
        write_study(scans, study, 4, description="Head post", ContrastBolusAgent="IODINE")
        coronal = {"ImageType": ["DERIVED", "SECONDARY", "MPR"], "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
        write_study(scans, study, 5, description="Coronal", **coronal)
        write_study(scans, study, 6, 1, description="Dose Report", Modality="SR")
        write_study(scans, study, 7, slices=8, gap=2.5, description="Head thin")
    for name in ("DICOMDIR", "VERSION", "st0/._x", "st0/Thumbs.db"):
        (scans / name).write_text("not a scan")
    return scans


def table(folder: Path, header: str, *rows: str) -> None:
    (folder / "scans" / "labels.csv").write_text("\n".join([header, *rows]) + "\n")


def study_labels(folder: Path, studies: int = 8) -> None:
    table(folder, "StudyInstanceUID,any,SDH", *[f"1.2.{study},{study % 2},0" for study in range(studies)])


DICOM = {"kind": "dicom", "labels": "labels.csv"}
STUDY = {"PatientID": "P1", "StudyInstanceUID": "1.2.1", "SeriesInstanceUID": "1.2.1.1", "SeriesDescription": "Head"}


def test_the_plain_series_of_each_study_is_a_volume_with_its_studys_labels(tmp_path: Path) -> None:
    export(tmp_path)
    study_labels(tmp_path)
    data = opened(tmp_path, dims=3, split={"train": 1, "valid": 0, "test": 0}, **DICOM)
    images, labels = data.folds["train"].inputs, labels_of(data)
    assert images.shape == (8, 3, 32, 32, 32)
    assert labels[:, 5].tolist() == [0, 1] * 4
    assert labels[:, 4].tolist() == [0] * 8
    assert "set aside: 48 of 56 series; `brainct data index` says why" in data.notes
    assert "set aside: 5 files that are no DICOM" in data.notes


def test_in_two_dimensions_each_slice_is_a_scan_and_a_patient_stays_in_one_fold(tmp_path: Path) -> None:
    export(tmp_path)
    study_labels(tmp_path)
    data = opened(tmp_path, **DICOM)
    assert [len(data.folds[fold]) for fold in ("train", "valid", "test")] == [20, 8, 4]
    assert "labels are of studies: each slice has those of its study" in data.notes
    assert {tuple(np.bincount(fold.patients)[np.unique(fold.patients)]) for fold in data.folds.values()} == {
        (4, 4, 4, 4, 4),
        (4, 4),
        (4,),
    }


def test_a_slice_has_its_neighbours_of_the_series_and_its_own_label(tmp_path: Path) -> None:
    """File names have no order, the table is by image, one file is there twice: geometry alone says who is next."""
    root = export(tmp_path, 3)
    plain = [path for path in root.glob("st*/*-1-*") if pydicom.dcmread(path).SeriesDescription == "Head plain"]
    shutil.copy(plain[0], plain[0].with_name("copy"))
    heights = {path: pydicom.dcmread(path) for path in plain}
    table(
        tmp_path,
        "SOPInstanceUID,any",
        *[f"{one.SOPInstanceUID},{int(one.ImagePositionPatient[2] in (5, 15))}" for one in heights.values()],
    )
    choices = {**DICOM, "split": {"train": 1, "valid": 0, "test": 0}}
    flat = opened(tmp_path, **choices).folds["train"]
    found = opened(tmp_path, job=Wanted(neighbours=1), **choices).folds["train"]
    assert len(flat) == len(found) == 12
    assert found.labels[:, 5].tolist() == [0, 1, 0, 1] * 3
    assert torch.equal(found.inputs[:, 3:6], flat.inputs)
    for study in found.inputs.split(4):
        for at in range(4):
            below, above = study[max(at - 1, 0), 3:6], study[min(at + 1, 3), 3:6]
            assert torch.equal(study[at, :3], below)
            assert torch.equal(study[at, 6:], above)
    assert torch.equal(found.studies, flat.studies)


def test_neighbours_are_not_guessed_where_files_are_not_slices(tmp_path: Path) -> None:
    write_study(tmp_path / "scans", 1)
    other = tmp_path / "scans" / "st1" / "again"
    write_dicom(other, head(100), **{**STUDY, "SOPInstanceUID": "1.9"})
    text = refused(tmp_path, kind="dicom", job=Wanted(neighbours=1), series={"allow": ["missing"]})
    assert "5 files of the series give 4 slices, so their order is not known" in text


def test_without_labels_every_scan_is_unlabelled(tmp_path: Path) -> None:
    export(tmp_path, 3)
    data = opened(tmp_path, kind="dicom")
    assert np.isnan(labels_of(data)).all()
    assert len(everything(data)) == 12


@pytest.mark.parametrize(
    ("tags", "description", "reason"),
    [
        ({"Modality": "MR"}, "Head", "Modality MR"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "x", "a scout (localizer)"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER"]}, "x", "a secondary capture or dose report"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "x", "a secondary capture or dose report"),
        ({}, "Patient Protocol", "a secondary capture or dose report"),
        ({"BurnedInAnnotation": "YES"}, "x", "burnt-in annotation, which may show a name"),
        ({"ImagePositionPatient": None}, "x", "no geometry in the headers"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "x", "not axial"),
        ({"ImageType": ["DERIVED", "PRIMARY", "MIP"]}, "x", "derived images (MIP, MPR)"),
        ({}, "Head Cor MPR", "derived images (MIP, MPR)"),
        ({"ContrastBolusAgent": "IODINE"}, "x", "contrast agent"),
        ({}, "Head with contrast", "contrast agent"),
        ({}, "CTA Head", "contrast agent"),
        ({"ConvolutionKernel": "BONE"}, "x", "bone or lung kernel"),
        ({}, "Head bone 1mm", "bone or lung kernel"),
        ({"BodyPartExamined": "CHEST"}, "x", "another part of the body"),
        ({}, "C-Spine", "another part of the body"),
        ({}, "CT, HEAD/BRAIN WO CONTRAST", None),
        ({"BodyPartExamined": "HEAD", "ConvolutionKernel": "H31s"}, "Kopf nativ 5mm", None),
    ],
)
def test_what_is_no_plain_axial_brain_series_is_set_aside_with_its_reason(
    tmp_path: Path, tags: dict[str, object], description: str, reason: str | None
) -> None:
    write_study(tmp_path, 1, description=description, **tags)
    (one,) = series_of(tree_headers(tmp_path).headers, SeriesRule())
    assert (one.chosen, one.reason) == ((False, reason) if reason else (True, "plain axial brain series"))


def test_incomplete_series_are_set_aside(tmp_path: Path) -> None:
    write_study(tmp_path, 1, slices=2)
    write_study(tmp_path, 2, slices=6)
    next((tmp_path / "st2").glob("*-1-3")).unlink()
    found = {one.first.study: one.reason for one in series_of(tree_headers(tmp_path).headers, SeriesRule())}
    assert found == {"1.2.1": "too few slices", "1.2.2": "slices are missing, or two are at one position"}


def test_the_rule_is_overridden_by_the_site_file(tmp_path: Path) -> None:
    export(tmp_path, 1)
    headers = tree_headers(tmp_path / "scans").headers

    def chosen(**rule: object) -> list[str]:
        return [one.first.description for one in series_of(headers, SeriesRule(**rule)) if one.chosen]

    assert chosen() == ["Head plain"]
    assert chosen(slice_mm=2.0) == ["Head thin"]
    assert chosen(include="post") == ["Head post"]
    assert chosen(exclude="plain|thin") == []
    assert chosen(exclude="plain|thin", allow=("bone",)) == ["Head"]
    assert chosen(least_slices=6) == ["Head thin"]


def test_one_patient_id_for_all_is_no_patient(tmp_path: Path) -> None:
    """An anonymiser that writes ANON everywhere would put every study into one fold."""
    for study in range(5):
        write_study(tmp_path / "scans", study, PatientID="ANON")
    data = opened(tmp_path, kind="dicom")
    assert all(len(fold) for fold in data.folds.values())


def test_labels_are_matched_or_refused(tmp_path: Path) -> None:
    export(tmp_path, 2)
    table(tmp_path, "StudyInstanceUID,any", "1.2.0,1", "1.2.9,0")
    text = refused(tmp_path, **DICOM)
    assert "1 label in labels.csv without an image: 1.2.9; 4 images without a label in labels.csv: st1/" in text
    assert len(everything(opened(tmp_path, allow_missing=True, **DICOM))) == 4
    table(tmp_path, "who,any", "1.2.0,1")
    assert "no column says whose the labels are" in refused(tmp_path, **DICOM)
    table(tmp_path, "StudyInstanceUID,any", "1.2.0,1", "1.2.0,0")
    assert "row 3: a second row of the same study: keep one" in refused(tmp_path, **DICOM)


def test_the_table_of_series_is_written_edited_and_read(tmp_path: Path, capsys) -> None:
    export(tmp_path, 2)
    path = site_file(tmp_path, kind="dicom", root="scans", index="series.csv", device="cpu")
    code, out, err = type_in(capsys, "data", "index", path)
    assert (code, err) == (0, "")
    assert "14 series in 52 DICOM files, 2 chosen, 0 by hand" in out
    assert "set aside: 2: contrast agent" in out
    rows = list(csv.DictReader((tmp_path / "series.csv").read_text().splitlines()))
    assert (tmp_path / "series.csv").stat().st_mode & 0o077 == 0
    assert [row["description"] for row in rows if row["chosen"] == "yes"] == ["Head plain"] * 2
    thin = next(row for row in rows if row["description"] == "Head thin")
    assert thin["reason"] == "another plain series of this study is nearer to 5 mm"
    for row in rows:
        row["chosen"] = "yes" if row["description"] == "Head thin" else "no"
    with (tmp_path / "series.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader(), writer.writerows(rows)
    choices = {"kind": "dicom", "index": "series.csv"}
    assert len(everything(opened(tmp_path, **choices))) == 16
    write_study(tmp_path / "scans", 9)
    assert (
        "1 series are not in the index and left out: run `brainct data index` again"
        in opened(tmp_path, **choices).notes
    )
    code, out, _ = type_in(capsys, "data", "index", path)
    assert "15 series in 56 DICOM files, 3 chosen, 4 by hand" in out
    assert len(everything(opened(tmp_path, **choices))) == 20


def test_a_tree_without_a_brain_series_says_why(tmp_path: Path) -> None:
    write_study(tmp_path / "scans", 1, ContrastBolusAgent="IODINE")
    assert "no brain series in root" in (text := refused(tmp_path, kind="dicom"))
    assert "contrast agent (1)" in text


def test_an_unreadable_file_is_named_or_left_out(tmp_path: Path) -> None:
    export(tmp_path, 3)
    write_dicom(tmp_path / "elsewhere", head(1))
    (tmp_path / "scans" / "st1" / "cut").symlink_to(tmp_path / "elsewhere")
    assert "1 files cannot be read\n- st1/cut: " in refused(tmp_path, kind="dicom")
    assert len(everything(opened(tmp_path, kind="dicom", on_unreadable="skip"))) == 12


def test_the_real_exports_of_pydicom_are_understood() -> None:
    """Two real studies of heads: scouts and a cardiac series are set aside, the brain has too few slices in a row."""
    tree = tree_headers(pydicom_study(".."))
    found = {one.first.description: one.reason for one in series_of(tree.headers, SeriesRule())}
    assert found["Scout"] == "a scout (localizer)"
    assert found["SmartScore - Gated 0.5 sec"] == "another part of the body"
    assert found["Routine Brain"] == "slices are missing, or two are at one position"


@pytest.mark.filterwarnings("ignore")
def test_frames_of_one_file_are_slices(tmp_path: Path) -> None:
    from tests.ct.test_faulty_scans import enhanced

    for study in range(3):
        path = tmp_path / "scans" / f"{study}.dcm"
        enhanced(path, 4 + study)
        header = pydicom.dcmread(path)
        header.StudyInstanceUID = header.SeriesInstanceUID = f"1.2.{study}"
        header.save_as(path)
    assert len(everything(opened(tmp_path, kind="dicom"))) == 15
    assert len(everything(opened(tmp_path, kind="dicom", dims=3))) == 3


def test_two_folders_do_not_share_an_index(tmp_path: Path, capsys) -> None:
    for study in (1, 2):
        write_study(tmp_path / f"scans-{study}" / "s", study)
        path = site_file(tmp_path, kind="dicom", root=f"scans-{study}", index="series.csv")
        code, _, err = type_in(capsys, "data", "index", path)
        assert (code, "is another folder's" in err) == ((0, False) if study == 1 else (2, True))
    with pytest.raises(Refused, match="series.csv lists none of the 1 series below root"):
        find_series(read_site_file(path), tmp_path / "scans-2")


def test_a_site_file_that_is_no_tree_is_refused_by_the_index(tmp_path: Path, capsys) -> None:
    path = site_file(tmp_path, kind="phantom")
    code, _, err = type_in(capsys, "data", "index", path)
    assert (code, "`brainct data index` is for a site file of `kind: dicom`" in err) == (2, True)
    with pytest.raises(Exception, match="wanted a regular expression"):
        read_site_file(site_file(tmp_path, kind="dicom", root="scans", series={"include": "["}))
