"""The check of a site's scans with masks: what it says of a good site and of faulty ones, and the sheet's outlines."""

import json

import numpy as np
from PIL import Image

from brainct.ct.contact_sheet import GAP, LINE, TILE
from brainct.segment.site_check import check_site
from brainct.segment.site_config import read_site_file
from tests.segment.test_segment import plan, volume_site
from tests.segment.test_site_scans import JOB, NAMES, site, spoil
from tests.support.command import type_in

RED = np.array([255, 48, 48])


def verdict(path, job=JOB):
    lines, sheet = check_site(read_site_file(path), job)
    return {line.subject: line for line in lines}, sheet


def test_a_site_is_counted_by_what_its_masks_mark(tmp_path):
    found, _ = verdict(site(tmp_path, "split: {train: 1, valid: 0, test: 0}\n"))
    assert found["labels, train"].message.startswith(
        "24 scans; intraparenchymal 6+/18-, subdural 3+/21-, any 9+/15-; fewer than 5 on one side: subdural"
    )
    assert found["labels"].message == "unknown here: epidural; the site takes part with the others"
    assert found["patients"].message == "6 patients, 4 to 4 scans each"
    assert found["values"].status == found["orientation"].status == "PASS"
    assert found["spacing"].message.startswith("pixels 1.00 to 1.00 mm")


def test_every_unreadable_study_is_named_whatever_the_site_file_says_of_them(tmp_path):
    path = site(tmp_path)
    spoil(tmp_path)
    found, sheet = verdict(path)
    assert found["files"].message == "20 of 24 scans cannot be read; a run leaves out up to 0%"
    assert (found["files"].status, len(found["files"].scans)) == ("FAIL", 5)
    assert sheet is not None
    path.write_text(path.read_text() + "on_unreadable: skip\nunreadable_share: 0.9\n")
    assert verdict(path)[0]["files"].status == "WARN"


def test_a_mask_is_outlined_on_the_tile_of_its_scan_and_on_no_other(tmp_path):
    _, sheet = verdict(site(tmp_path), plan(findings=["intraparenchymal"], network={"size": 32}))
    pixels = np.asarray(sheet.convert("RGB"))
    tiles = [
        pixels[LINE + 6 + row * (TILE + LINE + GAP) :, GAP + column * (TILE + GAP) :][:TILE, :TILE]
        for row, column in (divmod(at, 10) for at in range(4 * len(NAMES)))
    ]
    outlined = [int((tile == RED).all(2).sum()) for tile in tiles]
    assert [count > 0 for count in outlined] == [False, True, False, False] * len(NAMES)
    # turned upright, the mask is 6 of 40 pixels high and 4 wide
    rows, columns = ((tiles[1] == RED).all(2).any(axis).nonzero()[0] for axis in (1, 0))
    for found, pixels_of_mask in ((rows, 6), (columns, 4)):
        assert abs(np.ptp(found) + 1 - pixels_of_mask * TILE / 40) <= 4


def test_a_volume_is_shown_where_its_mask_is_largest(tmp_path):
    job = plan(findings=["any"], network={"size": 32, "dims": 3})
    _, sheet = verdict(site(tmp_path), job)
    pixels = np.asarray(sheet.convert("RGB"))[LINE + 6 :][:TILE]
    assert (pixels[:, GAP : GAP + TILE] == RED).all(2).any()


def test_the_command_reads_the_job_or_knows_a_table_of_masks(tmp_path, capsys):
    (tmp_path / "table").mkdir()
    path = site(tmp_path)
    code, out, _ = type_in(capsys, "data", "check", path, "--job", "jobs/segment_fedavg", "--out", tmp_path / "seen")
    assert (code, "PASS    patients" in out) == (0, True)
    said = json.loads((tmp_path / "seen" / "check.json").read_text())
    assert not any(word in json.dumps(said) for word in (".nii", str(tmp_path)))
    with Image.open(tmp_path / "seen" / "contact_sheet.png") as sheet:
        assert sheet.width == 10 * (TILE + GAP) + GAP
    _, out, _ = type_in(capsys, "data", "check", volume_site(tmp_path / "table"), "--size", 32)
    assert "intraparenchymal 1+/5-" in out
