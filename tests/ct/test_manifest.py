"""Sites with a manifest: DICOM, series, NIfTI and pictures by their rows, and every row that is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainct.ct.dataset import open_site
from brainct.ct.folds import WINDOWS
from brainct.ct.preprocess import Pixels, render_image
from brainct.ct.site_config import SiteFile
from brainct.training.data import FOLDS
from tests.support.forged import (
    everything,
    grey,
    head,
    labels_of,
    manifest,
    opened,
    pydicom_study,
    refused,
    write_dicom,
    write_nifti,
    write_png,
    write_series,
)


def test_a_manifest_mixes_dicom_nifti_series_and_pictures(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    write_dicom(tmp_path / "scans" / "one", head(1))
    write_nifti(tmp_path / "scans" / "two.nii.gz", np.stack([head(20), head(2)], axis=2).transpose(1, 0, 2)[::-1, ::-1])
    write_series(tmp_path / "scans" / "three")
    write_png(tmp_path / "scans" / "four.png", 4)
    rows = ["one,0,a,", "two.nii.gz,1,b,1", "three,1,c,3", "four.png,0,d,"]
    manifest(tmp_path, *rows, header="image,label,patient_id,slice")
    data = opened(tmp_path, size=40, kind="manifest", split={"train": 1, "valid": 0, "test": 0})
    images, labels = data.folds["train"].inputs, data.folds["train"].labels
    assert labels[:, 5].tolist() == [0, 1, 1, 0]
    for image, seed in zip(images[:3], (1, 2, 3), strict=True):
        torch.testing.assert_close(
            image, render_image(Pixels(np.round(head(seed)), hu=True), 40, WINDOWS), atol=0.01, rtol=0
        )
    assert "1 images are mixed with 3 scans in HU: a network can use that" in data.notes


def test_the_windows_of_the_site_file_are_the_channels(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for number in range(3):
        write_dicom(tmp_path / "scans" / f"{number}", head(number))
    manifest(tmp_path, "0,0,a", "1,1,b", "2,1,c")
    data = opened(tmp_path, kind="manifest", windows=[[40, 80], [600, 2800]])
    assert [image.shape for image in everything(data)] == [(2, 32, 32)] * 3
    assert opened(tmp_path, kind="manifest", fov_mm=20).fingerprint == data.fingerprint
    assert everything(opened(tmp_path, kind="manifest", fov_mm=20))[0].mean() > everything(data)[0][0].mean()


def test_a_volume_is_taken_whole_for_three_dimensions(tmp_path: Path) -> None:
    write_series(tmp_path / "scans" / "a", slices=8)
    write_nifti(tmp_path / "scans" / "b.nii", np.stack([head(at) for at in range(8, 16)], axis=2))
    manifest(tmp_path, "a,1,p", "b.nii,0,q")
    data = opened(tmp_path, size=16, dims=3, kind="manifest")
    assert [image.shape for image in everything(data)] == [(3, 16, 16, 16)] * 2


def test_a_real_series_of_pydicom_is_opened_in_three_dimensions(tmp_path: Path) -> None:
    write_series(tmp_path / "scans" / "a", slices=8)
    (tmp_path / "scans" / "b").mkdir()
    for path in pydicom_study("98892001/CT5N").iterdir():
        (tmp_path / "scans" / "b" / path.name).write_bytes(path.read_bytes())
    manifest(tmp_path, "a,1,p", "b,0,q")
    assert len(everything(opened(tmp_path, size=16, dims=3, kind="manifest"))) == 2


def test_the_split_of_the_manifest_is_used(tmp_path: Path) -> None:
    for number in range(6):
        write_png(tmp_path / "scans" / f"{number}.png", number)
    folds = ["train", "train", "train", "valid", "test", "test"]
    rows = [f"{number}.png,{number % 2},{fold}" for number, fold in enumerate(folds)]
    manifest(tmp_path, *rows, header="image,any,split")
    data = opened(tmp_path, kind="manifest")
    assert [data.folds[fold].labels[:, 5].tolist() for fold in FOLDS] == [[0, 1, 0], [1], [0, 1]]


def test_scans_of_one_patient_stay_in_one_fold(tmp_path: Path) -> None:
    for number in range(12):
        write_png(tmp_path / "scans" / f"{number}.png", number)
    manifest(tmp_path, *[f"{number}.png,{number // 6},patient{number // 2}" for number in range(12)])
    file = SiteFile(kind="manifest", root=tmp_path / "scans", device="cpu")
    data = open_site(file, "a", ["a"], 40)
    where = {}
    for fold in FOLDS:
        for image in data.folds[fold].inputs:
            apart = [np.abs(image[0].numpy()[:, 4:36] - grey(seed) / 255).max() for seed in range(12)]
            where[int(np.argmin(apart))] = fold
    assert len(where) == 12
    assert all(where[number] == where[number + 1] for number in range(0, 12, 2))


@pytest.mark.parametrize(
    ("header", "row", "wanted"),
    [
        ("any", "", [np.nan] * 6),
        ("subdural", "1", [np.nan] * 4 + [1, 1]),
        ("subdural", "0", [np.nan] * 4 + [0, np.nan]),
        ("epidural,intraparenchymal,intraventricular,subarachnoid,subdural", "0,0,0,0,0", [0] * 6),
        ("epidural,intraparenchymal,intraventricular,subarachnoid,subdural", "0,1,0,0,0", [0, 1, 0, 0, 0, 1]),
        ("any,subdural,epidural", "1,0,", [np.nan, np.nan, np.nan, np.nan, 0, 1]),
    ],
)
def test_any_is_the_union_where_the_subtypes_decide_it(
    tmp_path: Path, header: str, row: str, wanted: list[float]
) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, f"0.png,{row},p", header=f"image,{header},patient_id")
    np.testing.assert_array_equal(labels_of(opened(tmp_path, kind="manifest")), [wanted])


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("image,any,subdural,split", ["0.png,0,1,train"], "labels.csv, row 2: `any` is 0 but `subdural` is 1"),
        ("image,any,label,split", ["0.png,0,1,train"], "`any` and `label` are both any: choose one with `columns`"),
        ("image,mass,split", ["0.png,0,train"], "wanted the column a finding (epidural, intraparenchymal"),
        ("file,any,split", ["0.png,0,train"], "wanted the column `image`, found `file`, `any`, `split`"),
        ("image,any,split", ["0.png,2,train"], "row 2, column `any`: got '2', wanted 0, 1 or nothing"),
        ("image,any,split", ["0.png,0,training"], "row 2, column `split`: got 'training', wanted train, valid, test"),
        ("image,any,split", ["0.png,0,train", "1.png,0,"], "row 3: `split` is empty but other rows have one"),
        ("image,any,split", ["0.png,0,test", "1.png,1,test"], "no training scans: mark some as `train` in `split`"),
        ("image,any,split", ["0.png,0,train", "copy.png,0,test"], "all 2 images are the same"),
        ("image,any,split", ["0.png,0,train", "./0.png,1,test"], "rows 2 and 3 name the same image"),
        ("image,any", ["0.png,0"], "row 2: no `patient_id`, and no `split` is given"),
        ("image,any,patient_id", ["0.png,0,a", "1.png,0,"], "row 3: no `patient_id`, and no `split` is given"),
        (
            "image,any,patient_id,split",
            ["0.png,0,a,train", "1.png,1,a,test"],
            "rows 2 and 3 are of one patient but in two",
        ),
        ("image,any,split", [",0,train"], "row 2, column `image`: empty, wanted a path relative to root"),
        ("image,any,split", ["/etc/passwd,0,train"], "row 2: path '/etc/passwd': wanted a path relative to root"),
        ("image,any,split", ["a/../../x.png,0,train"], "row 2: path 'a/../../x.png': wanted a path relative to root"),
        ("image,any,split", ["a\\x.png,0,train"], "wanted a path relative to root, with / and without .."),
        ("image,any,split", ["out/x.png,0,train"], "row 2: path 'out/x.png' is a link that leaves root"),
        ("image,any,split", ["9.png,0,train"], "1 label in labels.csv without an image: 9.png"),
        ("image,any,split,slice", ["v.nii,0,train,one"], "row 2, column `slice`: got 'one', wanted the 0-based number"),
        ("image,any,split,slice", ["v.nii,0,train,-1"], "row 2, column `slice`: got '-1', wanted the 0-based number"),
        ("image,any,split,slice", ["v.nii,0,train,5"], "v.nii: `slice` is 5, but the slices are 0 to 3"),
        (
            "image,any,split",
            ["v.nii,0,train"],
            "v.nii: a volume of 4 slices, wanted one: fill the column `slice`, 0 to 3",
        ),
        ("image,any,split,slice", ["grey.nii,0,train,0"], "values from 0 to 3, wanted HU with air (about -1000)"),
        ("image,any,split", ["text.dcm,0,train"], "text.dcm: not readable as DICOM"),
    ],
)
def test_an_inconsistent_manifest_is_refused(tmp_path: Path, header: str, rows: list[str], words: str) -> None:
    scans = tmp_path / "scans"
    write_png(scans / "0.png", 0)
    write_png(scans / "1.png", 1)
    write_png(scans / "copy.png", 0)
    write_png(tmp_path / "elsewhere" / "x.png", 2)
    (scans / "out").symlink_to(tmp_path / "elsewhere")
    (scans / "text.dcm").write_text("x")
    write_nifti(scans / "v.nii", np.stack([head(at) for at in range(4)], axis=2))
    write_nifti(scans / "grey.nii", np.arange(4.0).reshape(2, 2, 1))
    manifest(tmp_path, *rows, header=header)
    assert words in refused(tmp_path, kind="manifest")


def test_a_manifest_for_volumes_refuses_slices(tmp_path: Path) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    write_series(tmp_path / "scans" / "a")
    manifest(tmp_path, "0.png,0,a")
    assert "0.png: a single slice, wanted a volume" in refused(tmp_path, dims=3, kind="manifest")
    manifest(tmp_path, "a,0,a,2", header="image,any,patient_id,slice")
    assert "a: `slice` is 2, but the model takes whole volumes" in refused(tmp_path, dims=3, kind="manifest")


def test_a_pixel_size_of_zero_is_refused(tmp_path: Path) -> None:
    write_dicom(tmp_path / "scans" / "a", head(1), PixelSpacing=[0, 0])
    manifest(tmp_path, "a,0,p")
    assert "a: pixel spacing (0.0, 0.0) mm, wanted numbers more than 0" in refused(tmp_path, kind="manifest")


def test_a_field_of_view_needs_a_pixel_size(tmp_path: Path) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, "0.png,0,a")
    assert "0.png: pixel size unknown, so `fov_mm` cannot be applied" in refused(tmp_path, kind="manifest", fov_mm=200)


def test_missing_images_of_a_manifest_are_noted_when_allowed(tmp_path: Path) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, "0.png,0,a", "9.png,1,b")
    data = opened(tmp_path, kind="manifest", allow_missing=True)
    assert data.notes[0] == "left out: 1 label without an image"
