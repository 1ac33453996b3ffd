"""A site's volumes with masks: bad ones are named all at once or left out, and a second start decodes nothing."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from brainct.core.names import site_names
from brainct.ct import cache
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.segment import files
from brainct.segment.dataset import open_site, presence
from tests.segment.test_segment import TAGS, plan, segments_of
from tests.support.forged import head, write_dicom, write_nifti

NAMES = ("a", "b", "c", "d", "e", "f")
DEEP = 4
JOB = plan(findings=["intraparenchymal", "subdural", "any", "epidural"], network={"size": 32})
VALUES = "mask_values: {2: intraparenchymal, 5: subdural}\n"


def site(folder: Path, more: str = "") -> Path:
    """Six volumes of four slices and their masks, by their ids; what marks the epidural is not known."""
    for part in ("data", "label"):
        (folder / "scans" / part).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        mask = np.zeros((32, 40, DEEP), np.int16)
        mask[5:9, 6:12, 1], mask[20:26, 20:24, 2] = 2, 5 * (number % 2)
        volume = np.stack([head(number * DEEP + at).T for at in range(DEEP)], 2)
        write_nifti(folder / "scans" / "data" / f"{name}.nii.gz", volume.astype(np.float32))
        write_nifti(folder / "scans" / "label" / f"{name}.nii.gz", mask)
    return written(folder, f"kind: masks\nimages: data/{{id}}.nii.gz\nmasks: label/{{id}}.nii.gz\n{VALUES}{more}")


def written(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(f"root: scans\ndevice: cpu\n{text}")
    return path


def spoil(folder: Path) -> None:
    """A truncated image and mask, a mask of another shape, with a value that is not named, without a header."""
    scans = folder / "scans"
    for at, name in (("data", "a"), ("label", "b")):
        path = scans / at / f"{name}.nii.gz"
        path.write_bytes(path.read_bytes()[:-40])
    write_nifti(scans / "label" / "c.nii.gz", np.zeros((32, 40, DEEP - 1), np.int16))
    odd = np.zeros((32, 40, DEEP), np.int16)
    odd[3, 3, 0] = 7
    write_nifti(scans / "label" / "d.nii.gz", odd)
    (scans / "label" / "e.nii.gz").write_bytes(b"no mask")


def same(left, right) -> bool:
    """Bit-identical folds, of which unknown masks are unknown in both, and one fingerprint."""
    pairs = [(left.folds[name], right.folds[name]) for name in left.folds]
    found = all(
        torch.equal(getattr(a, part).nan_to_num(-1), getattr(b, part).nan_to_num(-1))
        for a, b in pairs
        for part in ("inputs", "labels", "patients", "mm")
    )
    return found and left.fingerprint == right.fingerprint and left.notes == right.notes


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the images and masks that are decoded."""
    names, image, mask = [], files.read_whole, files.read_mask
    monkeypatch.setattr(files, "read_whole", lambda scan, *more: names.append(scan.name) or image(scan, *more))
    monkeypatch.setattr(files, "read_mask", lambda root, name, *more: names.append(name) or mask(root, name, *more))
    return names


def test_all_bad_studies_are_named_at_once(tmp_path):
    path = site(tmp_path)
    spoil(tmp_path)
    with pytest.raises(Refused) as refusal:
        open_site(path, "hospital-a", JOB)
    words = str(refusal.value).splitlines()
    assert words[0] == "hospital-a: 20 of 24 scans cannot be read"
    assert [line.partition(":")[0] for line in words[1:]] == [
        "- data/a.nii.gz", "- label/b.nii.gz", "- label/c.nii.gz", "- label/d.nii.gz", "- label/e.nii.gz"
    ]  # fmt: skip
    assert "its shape is (40, 32, 3), its image's (40, 32, 4)" in words[3]
    assert "mask values [7], wanted [0, 2, 5]: correct `mask_values`" in words[4]


@pytest.mark.parametrize("dims", [2, 3])
def test_bad_studies_are_left_out_and_counted_up_to_a_share(tmp_path, dims):
    job = plan(findings=["any", "subdural"], network={"size": 32, "dims": dims})
    split = "split: {train: 1, valid: 0, test: 0}\n"
    good = open_site(site(tmp_path, split), "a", job).folds["train"]
    spoil(tmp_path)
    path = site_of_skipping = written(
        tmp_path, (tmp_path / "site.yaml").read_text().partition("device: cpu\n")[2] + "on_unreadable: skip\n"
    )
    count, each = (24, 4) if dims == 2 else (6, 1)
    with pytest.raises(Refused, match=f"more than `unreadable_share` 0.05 allows: {count - each} of {count} scans"):
        open_site(path, "a", job)
    path.write_text(site_of_skipping.read_text() + "unreadable_share: 0.9\n")
    left = open_site(path, "a", job)
    assert torch.equal(left.folds["train"].inputs, good.inputs[-each:])  # those of f
    assert torch.equal(left.folds["train"].labels, good.labels[-each:])
    assert left.notes == (
        f"left out: {count - each} of {count} scans that cannot be read; `brainct data check` names them",
    )


def test_a_dicom_seg_that_cannot_be_read_is_left_out(tmp_path):
    root, rows = tmp_path / "scans", ["image,mask,slice,patient_id"]
    for name in "pq":
        for at in range(2):
            tags = {**TAGS, "PatientID": name, "SeriesInstanceUID": f"1.2.{ord(name)}", "InstanceNumber": at + 1}
            write_dicom(root / name / f"{at}.dcm", head(at), z=5.0 * at, **tags)
        masks = np.zeros((2, *head(0).shape, 1), np.uint8)
        masks[0, 8:14, 10:16] = 1
        segments_of(root / name, masks, root / f"{name}.dcm")
        rows += [f"{name},{name}.dcm,{at},{name}" for at in range(2)]
    (root / "labels.csv").write_text("\n".join(rows))
    (root / "q.dcm").write_bytes((root / "q.dcm").read_bytes()[:900])
    text = "kind: mask_table\nmask_values: {1: epidural}\nsplit: {train: 1, valid: 0, test: 0}\n"
    job = plan(findings=["epidural"], network={"size": 32})
    with pytest.raises(Refused, match=r"q\.dcm: not readable as a DICOM SEG"):
        open_site(written(tmp_path, text), "a", job)
    data = open_site(written(tmp_path, f"{text}on_unreadable: skip\nunreadable_share: 0.5\n"), "a", job)
    assert presence(data.folds["train"].labels).tolist() == [[1], [0]]
    assert "left out: 2 of 4 scans" in data.notes[0]


@pytest.mark.parametrize("dims", [2, 3])
def test_a_second_start_decodes_nothing_and_has_the_same_scans_and_masks(tmp_path, decoded, dims):
    job = plan(findings=JOB.findings, network={"size": 32, "dims": dims})
    without = open_site(site(tmp_path), "a", job)
    path = site(tmp_path, "cache: cache\n")
    first = open_site(path, "a", job)
    assert len(decoded) == 4 * len(NAMES)  # every image and every mask, twice
    second = open_site(path, "a", job)
    assert len(decoded) == 4 * len(NAMES)
    assert same(without, first)
    assert same(first, second)
    assert second.folds["train"].labels[:, 3].isnan().all()
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    masks = np.load(folder / "masks.npy")
    assert (masks.dtype, masks.shape[:2]) == (np.int8, (len(NAMES) * (DEEP if dims == 2 else 1), 4))
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("change", ["mask", "touched mask", "touched image", "values", "findings", "package"])
def test_whatever_changes_a_mask_decodes_anew(tmp_path, decoded, monkeypatch, change):
    path, job = site(tmp_path, "cache: cache\n"), JOB
    before = open_site(path, "a", job)
    count = len(decoded)
    mask = tmp_path / "scans" / "label" / "a.nii.gz"
    if change == "mask":
        write_nifti(mask, np.zeros((32, 40, DEEP), np.int16))
    elif change.startswith("touched"):
        os.utime(mask if change == "touched mask" else tmp_path / "scans" / "data" / "a.nii.gz", ns=(1, 1))
    elif change == "values":
        path.write_text(path.read_text().replace("2: intraparenchymal", "2: epidural"))
    elif change == "findings":
        job = plan(findings=["any"], network={"size": 32})
    else:
        monkeypatch.setattr(cache, "fingerprint", lambda: "another")
    after = open_site(path, "a", job)
    assert len(decoded) == 2 * count
    path.write_text(path.read_text().replace("cache: cache\n", ""))
    assert same(after, open_site(path, "a", job))
    assert (after.fingerprint != before.fingerprint) == (change in ("mask", "values", "findings"))


def test_unreadable_ones_are_remembered(tmp_path, decoded):
    path = site(tmp_path, "cache: cache\non_unreadable: skip\nunreadable_share: 0.9\n")
    spoil(tmp_path)
    first = open_site(path, "a", JOB)
    count = len(decoded)
    assert same(first, open_site(path, "a", JOB))
    assert len(decoded) == count


def test_a_run_from_the_cache_ends_with_the_same_model(tmp_path, monkeypatch):
    found = []
    for more in ("", "cache: cache\n", "cache: cache\n"):
        monkeypatch.setenv("BRAINCT_SITE", str(site(tmp_path, more)))
        out = tmp_path / f"run-{len(found)}"
        content = rehearse(JOB, site_names(2), out, log=lambda line: None).content
        found.append((content["model_sha256"], content["test"], content["sites"]))
    assert found[0] == found[1] == found[2]
    assert (tmp_path / "cache").is_dir()


def test_an_image_without_a_mask_is_refused_or_left_out(tmp_path):
    path = site(tmp_path)
    (tmp_path / "scans" / "label" / "a.nii.gz").unlink()
    with pytest.raises(Refused, match=r"1 image without a label in `masks`: data/a\.nii\.gz"):
        open_site(path, "a", JOB)
    data = open_site(written(tmp_path, path.read_text().partition("cpu\n")[2] + "allow_missing: true\n"), "a", JOB)
    assert sum(map(len, data.folds.values())) == DEEP * (len(NAMES) - 1)
    assert data.notes == ("left out: 1 image without a label",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: phantom\ncache: cache\n", "`cache` is not read by kind phantom, only by masks, mask_table"),
        (f"kind: mask_table\n{VALUES}on_unreadable: never\n", "on_unreadable is 'never'"),
        (f"kind: mask_table\n{VALUES}device: gpu\n", "wanted auto, cpu, cuda"),
        ("kind: mask_table\nmask_values: {1: subdurall, 2: epidural}\n", "got 'subdurall', wanted 'subdural'"),
    ],
)
def test_site_files_that_say_what_no_kind_reads_are_refused(tmp_path, text, words):
    site(tmp_path)
    path = tmp_path / "site.yaml"
    path.write_text(f"root: scans\n{text}" if "mask" in text else text)
    with pytest.raises(Refused, match=words):
        open_site(path, "a", JOB)
