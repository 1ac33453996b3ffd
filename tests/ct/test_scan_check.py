"""The check of a site's scans: what it says of a good site and of faulty ones, and what leaves no name behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainct.ct.orientation import letters, lying
from brainct.ct.scan_check import worst
from brainct.ct.site_check import check_site
from brainct.ct.site_config import read_site_file
from tests.ct.test_dicom_tree import write_study
from tests.support.command import type_in
from tests.support.forged import grey, head, manifest, site_file, write_dicom, write_png


def scan(folder: Path, at: int, hu: np.ndarray | None = None, **tags: object) -> None:
    """A slice in a field of 16 by 20 cm with a border of air, as heads have."""
    hu = np.pad(head(at) if hu is None else hu, 6, constant_values=-1000)
    write_dicom(folder / "scans" / f"{at}.dcm", hu, **{"PixelSpacing": [5, 5], **tags})


def site(folder: Path, count: int = 40) -> None:
    """Forty slices of twenty patients, half of them positive."""
    for at in range(count):
        scan(folder, at)
    rows = [f"{at}.dcm,{at // 2 % 2},p{at // 2}" for at in range(count)]
    manifest(folder, *rows)


def verdict(folder: Path, **choices: object) -> dict[str, tuple[str, str]]:
    """(status, message) of each subject."""
    choices = {"kind": "manifest", "root": "scans", "device": "cpu", **choices}
    lines, _ = check_site(read_site_file(site_file(folder, **choices)), 48)
    return {line.subject: (line.status, line.message) for line in lines}


def test_a_good_site_passes(tmp_path: Path) -> None:
    site(tmp_path)
    found = verdict(tmp_path, split={"train": 0.4, "valid": 0.3, "test": 0.3})
    assert {subject: status for subject, (status, _) in found.items() if status != "PASS"} == {}
    assert found["labels, train"][1] == "16 scans; any 8+/8-"
    assert found["patients"][1] == "20 patients, 2 to 2 scans each"
    assert found["values"][1].startswith("HU of 40 scans: 1 % -1000, median")
    assert found["spacing"][1] == "pixels 5.00 to 5.00 mm"


def _unreadable(folder: Path) -> None:
    (folder / "scans" / "3.dcm").write_bytes(b"\0" * 128 + b"DICM")


def _on_their_sides(folder: Path) -> None:
    for at in range(20):
        scan(folder, at, np.rot90(head(at)))


def _no_labels(folder: Path) -> None:
    manifest(folder, *[f"{at}.dcm,,p{at // 2}" for at in range(40)])


def _one_class(folder: Path) -> None:
    manifest(folder, *[f"{at}.dcm,1,p{at // 2}" for at in range(40)])


def _copies_in_two_folds(folder: Path) -> None:
    scan(folder, 1, head(0))
    folds = ["train", "test"] * 20
    manifest(folder, *[f"{at}.dcm,{at // 2 % 2},{folds[at]}" for at in range(40)], header="image,any,split")


def _contradictory_copies(folder: Path) -> None:
    scan(folder, 0, head(39))


def _letters(folder: Path) -> None:
    for at in range(5):
        hu = np.pad(head(at), 6, constant_values=-1000)
        hu[:3, :3] = hu[:3, -3:] = hu[-3:, :3] = 300
        write_dicom(folder / "scans" / f"{at}.dcm", hu, PixelSpacing=[5, 5])


def _intercept_twice(folder: Path) -> None:
    for at in range(30):
        scan(folder, at, head(at) - 989, RescaleIntercept=-1024)


def _tiny_field(folder: Path) -> None:
    scan(folder, 0, PixelSpacing=[0.5, 0.5])


def _a_picture_among_them(folder: Path) -> None:
    write_png(folder / "scans" / "0.png", 0)
    rows = [f"{at}.{'dcm' if at else 'png'},{at // 2 % 2},p{at // 2}" for at in range(40)]
    manifest(folder, *rows)


def _a_missing_file(folder: Path) -> None:
    (folder / "scans" / "3.dcm").unlink()


def _contrast(folder: Path) -> None:
    scan(folder, 0, ContrastBolusAgent="IODINE")


@pytest.mark.parametrize(
    ("spoil", "subject", "status", "words"),
    [
        (_unreadable, "files", "FAIL", "1 of 40 scans cannot be read; a run leaves out up to 0%"),
        (_on_their_sides, "orientation", "FAIL", "20 of 40 heads seem to lie on their side"),
        (_no_labels, "labels", "FAIL", "no scan has a label"),
        (_one_class, "labels, train", "FAIL", "any 24+/0-; fewer than 5 on one side: any"),
        (_copies_in_two_folds, "duplicates", "FAIL", "1 pairs of near duplicates in two folds"),
        (_contradictory_copies, "labels of copies", "FAIL", "1 identical images with contradictory labels"),
        (_letters, "burnt-in text", "WARN", "5 scans with marks outside the head"),
        (_intercept_twice, "files", "FAIL", "30 of 40 scans cannot be read"),
        (_tiny_field, "spacing", "WARN", "1 with a field of view outside 120 to 600 mm"),
        (_a_picture_among_them, "values", "WARN", "1 grey pictures among them"),
        (_a_missing_file, "files", "FAIL", "the scans cannot be listed or read"),
        (_contrast, "notes", "WARN", "contrast agent: 1 of 40 scans"),
    ],
)
def test_each_fault_has_its_verdict(tmp_path: Path, spoil, subject: str, status: str, words: str) -> None:
    site(tmp_path)
    spoil(tmp_path)
    found = verdict(tmp_path)
    assert found[subject][0] == status
    assert words in found[subject][1]


def test_unreadable_scans_within_the_share_are_a_warning(tmp_path: Path) -> None:
    site(tmp_path)
    _unreadable(tmp_path)
    assert verdict(tmp_path, on_unreadable="skip")["files"][0] == "WARN"


def test_a_tree_without_a_brain_series_fails(tmp_path: Path) -> None:
    write_study(tmp_path / "scans", 1, ContrastBolusAgent="IODINE")
    assert verdict(tmp_path, kind="dicom")["files"] == ("FAIL", "the scans cannot be listed or read")


def test_the_command_prints_names_writes_a_sheet_and_no_name_into_the_json(tmp_path: Path, capsys) -> None:
    site(tmp_path)
    _unreadable(tmp_path)
    path = site_file(tmp_path, kind="manifest", root="scans", device="cpu")
    code, out, _ = type_in(capsys, "data", "check", path, "--out", tmp_path / "seen")
    assert code == 1
    assert "FAIL    files" in out
    assert "files: 3.dcm: " in out
    content = json.loads((tmp_path / "seen" / "check.json").read_text())
    assert content["verdict"] == "FAIL"
    assert not any(word in json.dumps(content) for word in (".dcm", "p1", str(tmp_path)))
    sheet = Image.open(tmp_path / "seen" / "contact_sheet.png")
    assert sheet.size == (10 * 134 + 6, 4 * 148 + 6 + 18)
    assert (tmp_path / "seen" / "contact_sheet.png").stat().st_mode & 0o077 == 0
    tile = np.asarray(sheet.convert("L"))[20:148, 6:134]
    assert tile.mean() > 30


def test_the_check_is_for_the_findings_of_the_job(tmp_path: Path, capsys) -> None:
    """The folder of a job names findings, size and dimensions; the classes of a site are those of the job."""
    site(tmp_path)
    rows = [f"{at}.dcm,{at // 2 % 2},p{at // 2}" for at in range(40)]
    manifest(tmp_path, *rows, header="image,stroke,patient_id")
    shutil.copytree("jobs/ct_findings", tmp_path / "job")
    config = tmp_path / "job" / "app" / "config" / "config_fed_server.json"
    config.write_text(config.read_text().replace('"midline shift"', '"stroke"'))
    path = site_file(tmp_path, kind="manifest", root="scans", device="cpu")
    type_in(capsys, "data", "check", path, "--job", tmp_path / "job", "--out", tmp_path / "seen")
    said = json.loads((tmp_path / "seen" / "check.json").read_text())["checks"]
    of_labels = [line["words"] for line in said if line["what"].startswith("labels")]
    assert of_labels[0].startswith("unknown here: intraparenchymal, subdural, any")
    assert of_labels[1].startswith("24 scans; stroke 10+/14-")
    wrong = site_file(tmp_path, kind="manifest", root="scans", device="cpu", columns={"strok": "stroke"})
    code, out, _ = type_in(capsys, "data", "check", wrong, "--job", tmp_path / "job")
    assert (code, "got 'strok', wanted 'stroke'" in out) == (1, True)


def test_a_head_on_its_side_and_letters_are_seen_in_single_pictures() -> None:
    upright = np.pad(grey(1).astype(np.float32) / 255, 6)
    assert not lying(upright)
    assert lying(np.rot90(upright))
    assert not letters(upright)
    written = upright.copy()
    written[1:3, 1:4] = written[1:3, 6:8] = written[1:3, 10:12] = 1
    assert letters(written)


def test_the_phantom_needs_no_check(tmp_path: Path, capsys) -> None:
    code, _, err = type_in(capsys, "data", "check", site_file(tmp_path, kind="phantom"))
    assert (code, "the phantom is drawn and needs no check" in err) == (2, True)


def test_the_worst_line_is_the_verdict(tmp_path: Path) -> None:
    site(tmp_path)
    lines, _ = check_site(read_site_file(site_file(tmp_path, kind="manifest", root="scans", device="cpu")), 48)
    assert worst(lines) == "WARN"  # folds of eight scans have few of each class
