"""Decoded scans on disk: the second start reads them, and whatever changes a scan or its rendering makes them anew."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from brainct.ct import cache
from brainct.ct.read import image, series_headers
from tests.ct.test_dicom_tree import export
from tests.support.forged import PNG, labels_of, opened, png_set, write_png


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the pictures that are decoded."""
    names, real = [], image.read_image
    monkeypatch.setattr(image, "read_image", lambda path, name, *more: names.append(name) or real(path, name, *more))
    return names


def same(left, right) -> bool:
    """Bit-identical folds, labels and fingerprint."""
    assert left.fingerprint == right.fingerprint
    pairs = [(left.folds[name], right.folds[name]) for name in left.folds]
    return all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.labels.nan_to_num(-1), b.labels.nan_to_num(-1))
        for a, b in pairs
    )


def test_a_second_start_decodes_nothing_and_has_the_same_scans(tmp_path: Path, decoded: list[str]) -> None:
    png_set(tmp_path)
    without = opened(tmp_path, **PNG)
    first = opened(tmp_path, cache="cache", **PNG)
    assert len(decoded) == 40
    second = opened(tmp_path, cache="cache", **PNG)
    assert len(decoded) == 40
    assert same(without, first)
    assert same(first, second)
    assert second.notes == without.notes
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert np.load(folder / "images.npy").shape == (20, 3, 32, 32)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "change", ["touched", "replaced", "size", "windows", "damaged", "package"]
)  # each of which changes what is decoded or rendered
def test_whatever_changes_a_rendering_makes_it_anew(tmp_path: Path, decoded, monkeypatch, change: str) -> None:
    png_set(tmp_path)
    opened(tmp_path, cache="cache", **PNG)
    one, more = tmp_path / "scans" / "head_ct" / "003.png", {}
    if change == "touched":
        os.utime(one, ns=(1, 1))
    elif change == "replaced":
        write_png(one, 99)
    elif change == "size":
        more = {"size": 40}
    elif change == "windows":
        more = {"windows": [[40, 80]]}
    elif change == "damaged":
        next((tmp_path / "cache").glob("*/scans.json")).unlink()
    else:
        monkeypatch.setattr(cache, "fingerprint", lambda: "another")
    data = opened(tmp_path, cache="cache", **PNG, **more)
    assert len(decoded) == 40
    assert same(data, opened(tmp_path, **PNG, **more))


def test_scans_that_cannot_be_read_are_remembered(tmp_path: Path, decoded: list[str]) -> None:
    png_set(tmp_path)
    (tmp_path / "scans" / "head_ct" / "003.png").write_bytes(b"\x89PNG")
    choices = {**PNG, "cache": "cache", "on_unreadable": "skip"}
    first, second = opened(tmp_path, **choices), opened(tmp_path, **choices)
    assert len(decoded) == 20
    assert same(first, second)
    assert len(labels_of(second)) == 19
    assert first.notes == second.notes


def test_a_cache_keeps_a_few_renderings(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 2)
    png_set(tmp_path, range(4))
    for size in (16, 20, 24):
        opened(tmp_path, size=size, cache="cache", **PNG)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 2


def test_what_a_killed_start_left_is_removed_after_a_day(tmp_path: Path) -> None:
    png_set(tmp_path, range(4))
    left = [tmp_path / "cache" / f"key.{number}.part" for number in (1, 2)]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"half")
    os.utime(left[0], (1, 1))
    opened(tmp_path, cache="cache", **PNG)
    assert [folder.exists() for folder in left] == [False, True]


def test_training_on_mapped_scans_changes_no_file(tmp_path: Path) -> None:
    png_set(tmp_path)
    data = opened(tmp_path, cache="cache", **PNG)
    before = data.folds["train"].inputs.clone()
    data.folds["train"].inputs.mul_(0)
    assert torch.equal(opened(tmp_path, cache="cache", **PNG).folds["train"].inputs, before)


def test_headers_are_read_once(tmp_path: Path, monkeypatch) -> None:
    export(tmp_path, 2)
    asked, real = [], series_headers._header
    monkeypatch.setattr(series_headers, "_header", lambda path, *more: asked.append(path) or real(path, *more))
    first = opened(tmp_path, kind="dicom", cache="cache")
    count = len(asked)
    assert count > 50
    second = opened(tmp_path, kind="dicom", cache="cache")
    assert len(asked) == count
    assert same(first, second)
    assert (tmp_path / "cache" / "headers.json").stat().st_mode & 0o077 == 0
    (tmp_path / "scans" / "new").write_text("no scan")
    opened(tmp_path, kind="dicom", cache="cache")
    assert len(asked) == count + 1
