"""An open site: notes, fingerprint, phantom, device and partition."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.ct.dataset import device_of, open_site, open_sites
from brainct.ct.scans import _patient_numbers
from brainct.ct.shared_views import shared_views
from brainct.ct.site_choices import Partition, Split
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.errors import Refused
from brainct.training.data import FOLDS, Fold
from tests.support.forged import (
    PNG,
    everything,
    grey,
    head,
    labels_of,
    lines,
    manifest,
    opened,
    png_set,
    refused,
    write_dicom,
    write_png,
    write_series,
)


def test_notes_and_fingerprint_contain_no_patient_and_no_path(tmp_path: Path) -> None:
    write_png(tmp_path / "scans" / "DOE_JANE" / "0.png", 0)
    write_series(tmp_path / "scans" / "DOE_JOHN")
    rows = ["DOE_JANE/0.png,1,DOE,", "DOE_JOHN,0,JOHN,1", "DOE_JACK.png,0,JACK,"]
    manifest(tmp_path, *rows, header="image,any,patient_id,slice")
    data = opened(tmp_path, kind="manifest", allow_missing=True)
    assert len(data.notes) >= 3
    assert not any(name in " ".join(data.notes) for name in ("DOE", "JOHN", "JACK", "scans/", str(tmp_path)))
    (tmp_path / "scans" / "DOE_JANE").rename(tmp_path / "scans" / "X")
    manifest(tmp_path, "X/0.png,1,p,", "DOE_JOHN,0,q,1", header="image,any,patient_id,slice")
    assert opened(tmp_path, kind="manifest").fingerprint == data.fingerprint


def test_the_fingerprint_depends_on_pixels_labels_and_folds(tmp_path: Path) -> None:
    png_set(tmp_path)
    first = opened(tmp_path, **PNG).fingerprint
    assert opened(tmp_path, **PNG, size=24).fingerprint == first
    assert opened(tmp_path, **PNG, split={"seed": 1}).fingerprint != first
    lines(tmp_path, "\n3,1\n", "\n3,\n")
    assert opened(tmp_path, **PNG).fingerprint != first
    lines(tmp_path, "\n3,\n", "\n3,1\n")
    write_png(tmp_path / "scans" / "head_ct" / "003.png", 333)
    assert opened(tmp_path, **PNG).fingerprint != first


def test_the_fingerprint_depends_on_labels_and_not_on_the_order_of_rows(tmp_path: Path) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    write_png(tmp_path / "scans" / "1.png", 1)

    def fingerprint(*rows: str) -> str:
        manifest(tmp_path, *rows, header="image,any,split")
        return opened(tmp_path, kind="manifest").fingerprint

    first = fingerprint("0.png,0,train", "1.png,1,train")
    assert fingerprint("1.png,1,train", "0.png,0,train") == first
    others = {fingerprint(f"0.png,{cell},train", "1.png,1,train") for cell in ("1", "")}
    assert len(others | {first}) == 3


def test_a_scan_at_no_site_is_not_in_the_fingerprint(tmp_path: Path) -> None:
    png_set(tmp_path)
    choices = {**PNG, "split": {"train": 1, "valid": 0, "test": 0}, "partition": {"scans": 5, "test_scans": 5}}
    data = opened(tmp_path, **choices, size=40)
    used = [(image[0, :, 4:36] * 255).round() for image in everything(data)]
    spare = [seed for seed in range(20) if not any((grey(seed) == each).all() for each in used)]
    assert len(spare) == 10
    write_png(tmp_path / "scans" / "head_ct" / f"{spare[0]:03d}.png", 999)
    assert opened(tmp_path, **choices, size=40).fingerprint == data.fingerprint


def test_a_class_missing_in_a_fold_is_a_warning(tmp_path: Path) -> None:
    for number in range(4):
        write_png(tmp_path / "scans" / f"{number}.png", number)
    rows = ["0.png,0,train", "1.png,1,train", "2.png,1,valid", "3.png,0,test"]
    manifest(tmp_path, *rows, header="image,any,split")
    notes = opened(tmp_path, kind="manifest").notes
    assert "fold valid (1 scans) has no negative scan of: any" in notes
    assert "fold test (1 scans) has no positive scan of: any" in notes
    assert not any("fold train" in note for note in notes)


def test_near_duplicates_are_noted_with_a_warning_for_those_in_two_folds(tmp_path: Path) -> None:
    for number in range(4):
        write_png(tmp_path / "scans" / f"{number}.png", number // 2)
    folds = ["train", "train", "test", "train"]
    rows = [f"{number}.png,{number % 2},{fold}" for number, fold in enumerate(folds)]
    manifest(tmp_path, *rows, header="image,any,split")
    text = "2 pairs of near duplicates, 1 of them in two folds: correct `split` in the manifest"
    assert text in opened(tmp_path, kind="manifest").notes


def test_a_gantry_tilt_is_counted_in_the_notes(tmp_path: Path) -> None:
    for number in range(3):
        write_dicom(tmp_path / "scans" / f"{number}", head(number), GantryDetectorTilt=10 * number)
    manifest(tmp_path, "0,0,a", "1,1,b", "2,1,c")
    assert "gantry tilt, not corrected: 2 of 3 scans" in opened(tmp_path, kind="manifest").notes


def test_without_a_site_file_a_note_says_that_scans_are_synthetic() -> None:
    data = open_site(None, "site-1", ["site-1"], size=32)
    assert data.kind == "phantom"
    assert data.notes[0].startswith("no site file: SYNTHETIC PHANTOM scans, not patients")
    assert [len(data.folds[fold]) for fold in FOLDS] == [48, 16, 16]


def test_the_phantom_follows_its_site_file(tmp_path: Path) -> None:
    (tmp_path / "brainct.yaml").write_text("kind: phantom\ndevice: cpu\nphantom: {scans: 10, prevalence: 1}\n")
    file = read_site_file(tmp_path / "brainct.yaml")
    one, other = (open_site(file, site, ["site-1", "site-2"], size=32) for site in ("site-1", "site-2"))
    assert one.notes[0] == "SYNTHETIC PHANTOM scans, not patients"
    assert labels_of(one)[:, 5].tolist() == [1] * 10
    assert one.fingerprint != other.fingerprint


def test_a_missing_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (1, 9))
    monkeypatch.setattr("brainct.ct.dataset.same_bits_on_a_gpu", lambda: None)
    assert [device_of(each) for each in ("auto", "cpu", "cuda", "cuda:0")] == ["cuda:0", "cpu", "cuda", "cuda:0"]
    with pytest.raises(Refused, match="`device`: cuda:1, but torch sees 1 CUDA devices: set cpu or auto"):
        device_of("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert device_of("auto") == "cpu"


def test_of_several_gpus_the_one_with_the_most_free_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for GPUs, which no machine of these tests has."""
    told = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: ([5, 30, 7][number], 40))
    monkeypatch.setattr("brainct.ct.dataset.same_bits_on_a_gpu", lambda: told.append(True))
    assert device_of("auto") == "cuda:1"
    assert told == [True]
    device_of("cpu")
    assert told == [True]


def test_a_partition_gives_sites_different_scans_and_one_test_fold(tmp_path: Path) -> None:
    png_set(tmp_path)
    file = SiteFile(
        kind="png_csv",
        root=tmp_path / "scans",
        images=PNG["images"],
        columns=PNG["columns"],
        device="cpu",
        split=Split(train=1, valid=0, test=0),
        partition=Partition(scans=3, test_scans="rest"),
    )
    sites = ["c", "a", "b"]
    opened_ = open_sites(file, sites, 32)
    assert list(opened_) == sites
    trained = [image.numpy().tobytes() for data in opened_.values() for image in data.folds["train"].inputs]
    assert len(trained) == len(set(trained)) == 9
    assert all(torch.equal(data.folds["test"].inputs, opened_["a"].folds["test"].inputs) for data in opened_.values())
    assert len(opened_["a"].folds["test"]) == 11
    assert open_site(file, "a", sorted(sites), 32).fingerprint == opened_["a"].fingerprint
    with pytest.raises(Refused, match="d: site d is not among the sites a, b, c: `partition` has no share for it"):
        open_site(file, "d", sites, 32)
    with pytest.raises(Refused, match="site file: 21 sites but only 20 images"):
        open_sites(file, [f"site-{number}" for number in range(21)], 32)


def test_a_partition_of_scans_with_a_given_split_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, "0.png,0,train", header="image,any,split")
    assert "`partition` cannot be used if the manifest gives a `split`" in refused(
        tmp_path, kind="manifest", partition={"how": "iid"}
    )


@given(st.integers(1, 30), st.data())
def test_views_equal_indexing_and_disjoint_ones_share_the_memory_of_the_data_set(count, data):
    owner = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=count, max_size=count)))
    sets = [np.flatnonzero(owner == each) for each in (0, 1, 0, 2, 3)]
    extra = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1)))), dtype=np.int64)
    images = torch.arange(count * 2, dtype=torch.float32).reshape(count, 2)
    wanted = [images[which].clone() for which in (*sets, extra)]
    found = shared_views(images, dict(enumerate([*sets, extra])))
    assert list(found) == list(range(6))
    assert all(torch.equal(found[key], other) for key, other in enumerate(wanted))
    own = images.untyped_storage().data_ptr()
    assert all(found[key].untyped_storage().data_ptr() == own for key in range(5))


def test_scans_of_a_patient_have_one_number_in_every_fold_and_no_name(tmp_path: Path) -> None:
    for number in range(12):
        write_png(tmp_path / "scans" / f"{number}.png", number)
    manifest(tmp_path, *[f"{number}.png,{number // 6},patient{number // 2}" for number in range(12)])
    data = opened(tmp_path, kind="manifest")
    numbers = torch.cat([data.folds[name].patients for name in FOLDS])
    assert numbers.dtype == torch.int64
    assert sorted(numbers.bincount().tolist()) == [2] * 6
    for name in FOLDS:
        fold = data.folds[name]
        assert len(fold.patients) == len(fold)
        assert [len(unit) for unit in fold.units] == [2] * (len(fold) // 2)
        assert all(len(set(fold.patients[unit].tolist())) == 1 for unit in fold.units)


def test_near_duplicates_of_two_patients_are_two_patients(tmp_path: Path) -> None:
    """Folds depend on similarity; which scans privacy protects as one patient must not depend on the scans."""
    for number in range(8):
        write_png(tmp_path / "scans" / f"{number}.png", max(1, number))
    manifest(tmp_path, *[f"{number}.png,{number % 2},patient{number}" for number in range(8)])
    data = opened(tmp_path, kind="manifest")
    assert "near duplicates" in " ".join(data.notes)
    assert torch.cat([data.folds[name].patients for name in FOLDS]).unique().numel() == 8


def test_each_scan_of_an_unknown_patient_is_a_unit_of_its_own(tmp_path: Path) -> None:
    png_set(tmp_path)
    fold = opened(tmp_path, **PNG).folds["train"]
    assert fold.patients is None
    assert [unit.tolist() for unit in fold.units] == [[at] for at in range(len(fold))]
    assert _patient_numbers([None, "b", None, "a", "b"]).tolist() == [0, 1, 2, 3, 1]
    assert _patient_numbers([None, None]) is None
    assert open_site(None, "site-1", ["site-1"]).folds["train"].patients is None


def test_the_digest_of_a_fold_depends_on_images_labels_and_patients() -> None:
    images, labels = torch.rand(3, 1, 4, 4), torch.zeros(3, 6)
    folds = [
        Fold(images, labels),
        Fold(images + 1e-6, labels),
        Fold(images, labels + torch.eye(3, 6)),
        Fold(images, labels, torch.tensor([0, 1, 2])),
        Fold(images, labels, torch.tensor([0, 1, 1])),
        Fold(images.flip(0), labels),
    ]
    assert len({fold.digest for fold in folds}) == len(folds)
    assert Fold(images.clone(), labels.clone()).digest == folds[0].digest
