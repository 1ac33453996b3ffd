"""Sites with PNG or JPEG images: a CSV of labels, or a folder for each class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from brainct.ct.dataset import open_site
from brainct.ct.folds import WINDOWS
from brainct.ct.preprocess import Pixels, render_image
from brainct.ct.site_config import read_site_file
from brainct.training.data import FOLDS
from tests.support.forged import (
    PNG,
    grey,
    labels_of,
    lines,
    opened,
    png_set,
    refused,
    write_png,
)

CLASSES = {"kind": "class_folders", "classes": {"bleed": ["any"], "normal": []}}


def test_a_folder_of_pictures_with_a_csv_is_read(tmp_path: Path) -> None:
    png_set(tmp_path)
    data = opened(tmp_path, **PNG, batch_size=4)
    assert (data.kind, data.batch_size, data.device) == ("png_csv", 4, "cpu")
    assert [len(data.folds[fold]) for fold in FOLDS] == [12, 4, 4]
    assert data.folds["train"].inputs.shape == (12, 3, 32, 32)
    assert data.folds["train"].inputs.dtype == data.folds["train"].labels.dtype == torch.float32
    labels = labels_of(data)
    assert np.isnan(labels[:, :5]).all()
    assert labels[:, 5].sum() == 10


def test_each_image_has_its_own_label(tmp_path: Path) -> None:
    png_set(tmp_path)
    data = opened(tmp_path, **PNG, size=40)
    for fold in data.folds.values():
        for image, label in zip(fold.inputs, fold.labels, strict=True):
            apart = [
                float((image - render_image(Pixels(grey(seed).astype(np.float32), hu=False), 40, WINDOWS)).abs().max())
                for seed in range(20)
            ]
            assert min(apart) < 1e-6
            assert label[5] == float(np.argmin(apart) < 10)


def test_a_byte_order_mark_and_spaces_in_the_header_are_ignored(tmp_path: Path) -> None:
    png_set(tmp_path, header="\ufeffid , hemorrhage ")
    assert len(labels_of(opened(tmp_path, **PNG))) == 20


def test_an_empty_cell_is_unlabelled(tmp_path: Path) -> None:
    png_set(tmp_path)
    lines(tmp_path, "\n3,1\n", "\n3,\n")
    assert np.isnan(labels_of(opened(tmp_path, **PNG))[:, 5]).sum() == 1


def test_unmatched_images_and_labels_are_left_out_only_if_allowed(tmp_path: Path) -> None:
    png_set(tmp_path)
    for number in range(7):
        (tmp_path / "scans" / "head_ct" / f"{number:03d}.png").unlink()
    write_png(tmp_path / "scans" / "head_ct" / "777.png", 777)
    text = refused(tmp_path, **PNG)
    five = ", ".join(f"head_ct/{number:03d}.png" for number in range(5))
    assert f"7 labels in labels.csv without an image: {five}, ...; 1 image without a label" in text
    assert (
        "1 image without a label in labels.csv: head_ct/777.png. Complete the set, or set `allow_missing: true`" in text
    )
    data = opened(tmp_path, **PNG, allow_missing=True)
    assert len(labels_of(data)) == 13
    assert "left out: 7 labels without an image" in data.notes
    assert "left out: 1 image without a label" in data.notes


def _cut_in_half(folder: Path) -> None:
    path = folder / "scans" / "head_ct" / "004.png"
    path.write_bytes(path.read_bytes()[:300])


def _all_the_same(folder: Path) -> None:
    for path in (folder / "scans" / "head_ct").iterdir():
        write_png(path, 0)


def _a_link_out(folder: Path) -> None:
    write_png(folder / "elsewhere.png", 0)
    (folder / "scans" / "head_ct" / "004.png").unlink()
    (folder / "scans" / "head_ct" / "004.png").symlink_to(folder / "elsewhere.png")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_cut_in_half, "head_ct/004.png: unreadable or truncated image (OSError): copy it again"),
        (_all_the_same, "all 20 images are the same: the export has failed"),
        (_a_link_out, "labels.csv, row 6: path 'head_ct/004.png' is a link that leaves root"),
        (
            lambda at: lines(at, "4,1", "../4,1"),
            "row 6, column `id`: got '../4', which does not fit head_ct/{id:03d}.png",
        ),
        (lambda at: lines(at, "\n4,1", "\n,1"), "row 6, column `id`: got '', which does not fit"),
        (lambda at: lines(at, "\n4,1", "\n3,1"), "labels.csv: rows 5 and 6 name the same image: keep one"),
        (lambda at: lines(at, "\n4,1", "\n4,yes"), "row 6, column `hemorrhage`: got 'yes', wanted 0, 1 or nothing"),
        (lambda at: lines(at, "\n4,1", "\n4,1,1"), "labels.csv, row 6: 3 cells, wanted 2 as in the header"),
        (
            lambda at: lines(at, "id, hemorrhage", "name,ICH"),
            "wanted the column `id` and `hemorrhage`, found `name`, `ICH`: correct the header or set `columns`",
        ),
        (lambda at: lines(at, "id, hem", "id, id, hem"), "labels.csv: column `id` is twice in the header"),
        (
            lambda at: (at / "scans" / "labels.csv").write_text(""),
            "labels.csv: empty, wanted a header and a row per scan",
        ),
        (lambda at: (at / "scans" / "labels.csv").write_text("id,x\n"), "labels.csv: a header but no rows"),
        (
            lambda at: (at / "scans" / "labels.csv").write_bytes(b"id,\xff\n"),
            "not a comma-separated text file in UTF-8",
        ),
        (
            lambda at: (at / "scans" / "labels.csv").unlink(),
            "no labels.csv in root: put the CSV there, or set `labels` to its name",
        ),
    ],
)
def test_a_damaged_set_of_images_is_refused(tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    png_set(tmp_path)
    spoil(tmp_path)
    assert words in refused(tmp_path, **PNG)


def test_an_id_that_leaves_root_is_refused(tmp_path: Path) -> None:
    png_set(tmp_path)
    lines(tmp_path, "\n4,1", "\n../../4,1")
    text = refused(tmp_path, kind="png_csv", images="head_ct/{id}.png", columns={"any": "hemorrhage"})
    assert "row 6: path 'head_ct/../../4.png': wanted a path relative to root, with / and without .." in text


def test_a_missing_and_an_empty_root_are_refused(tmp_path: Path) -> None:
    assert "is not a folder: correct `root` in the site file or mount the disk" in refused(tmp_path, **PNG)
    (tmp_path / "scans").mkdir()
    assert "is empty: correct `root` in the site file or put the scans there" in refused(tmp_path, **PNG)


def test_all_labels_without_images_leave_no_scan(tmp_path: Path) -> None:
    png_set(tmp_path)
    for path in (tmp_path / "scans" / "head_ct").iterdir():
        path.unlink()
    assert "no scan in root" in refused(tmp_path, **PNG, allow_missing=True)


def classes(folder: Path, count: int = 10) -> None:
    for number in range(count):
        write_png(folder / "scans" / "bleed" / f"{number}.png", number)
        write_png(folder / "scans" / "normal" / f"{number}.png", 100 + number)


def test_folders_named_by_class_are_read(tmp_path: Path) -> None:
    classes(tmp_path)
    Image.fromarray(grey(50)).save(tmp_path / "scans" / "normal" / "more.JPG")
    labels = labels_of(opened(tmp_path, **CLASSES))
    assert (labels[:, 5] == 1).sum() == 10
    assert (labels[:, 5] == 0).sum() == 11
    assert np.isnan(labels[:, :5]).all()


def test_the_order_of_the_classes_does_not_matter(tmp_path: Path) -> None:
    classes(tmp_path)
    orders = ("{bleed: [any], normal: [any]}", "{normal: [any], bleed: [any]}")
    found = set()
    for order in orders:
        (tmp_path / "brainct.yaml").write_text(f"kind: class_folders\nroot: scans\nclasses: {order}\ndevice: cpu\n")
        found.add(open_site(read_site_file(tmp_path / "brainct.yaml"), "a", ["a"], 32).fingerprint)
    assert len(found) == 1


def test_a_normal_folder_is_negative_for_all_that_other_folders_name(tmp_path: Path) -> None:
    classes(tmp_path)
    named = {"bleed": ["subdural"], "normal": []}
    labels = labels_of(opened(tmp_path, kind="class_folders", classes=named))
    bleeding = labels[labels[:, 5] == 1]
    assert (bleeding[:, 4] == 1).all()
    assert (labels[labels[:, 5] == 0][:, 4] == 0).all()
    assert np.isnan(labels[:, :4]).all()


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"bleed": ["any"], "healthy": []}, "class folder `healthy` is not in root"),
        ({"bleed": ["any"], "empty": []}, "class folder `empty` contains no scan"),
        ({"bleed": ["any"]}, "10 images without a label in `classes`: normal/0.png, normal/1.png"),
        ({"bleed": ["any"], "../scans/normal": []}, "classes: path '../scans/normal': wanted a path relative to root"),
    ],
)
def test_class_folders_that_do_not_fit_are_refused(tmp_path: Path, named: dict[str, list[str]], words: str) -> None:
    classes(tmp_path)
    (tmp_path / "scans" / "empty").mkdir()
    assert words in refused(tmp_path, kind="class_folders", classes=named)
