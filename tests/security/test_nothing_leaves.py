"""What leaves a site, a run's every file at the server, names no path, no patient, and holds no pixel."""

import json
from pathlib import Path

import numpy as np
import pytest

from brainct.core.names import site_names
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.support.forged import head, write_dicom, write_png
from tests.support.simulator import simulate, small_job

PATIENT, WARD = "DOE^JANE", "ward_seven"
MARKS = (PATIENT, "doe_jane", "MRN-4711", WARD, "19530217", "St. Elsewhere")


@pytest.fixture
def hospital(tmp_path, monkeypatch):
    """A site of DICOM slices and pictures whose folder, files, headers and label file name the patients."""
    scans = tmp_path / WARD
    tags = {"PatientName": PATIENT, "PatientBirthDate": "19530217", "InstitutionName": "St. Elsewhere"}
    rows = ["image,any,patient_id,remark"]
    for number in range(12):
        dicom = number % 2 == 0
        name = f"doe_jane_{number}.{'dcm' if dicom else 'png'}"
        if dicom:
            write_dicom(scans / name, head(number), PatientID=f"MRN-4711-{number}", **tags)
        else:
            write_png(scans / name, number)
        rows.append(f"{name},{number // 2 % 2},MRN-4711-{number},seen in {WARD}")
    (scans / "labels.csv").write_text("\n".join(rows) + "\n")
    split = "split: {train: 0.5, valid: 0.25, test: 0.25}\nbatch_size: 4\nwindows: [[40, 80], [80, 200], [40, 380]]\n"
    (tmp_path / "site.yaml").write_text(f"kind: manifest\nroot: {scans}\n{split}")
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    return scans


def leaks(folder: Path, scans: Path) -> list[str]:
    """Each file below the folder that holds a mark, a path, or eight pixels in a row of any scan."""
    words = [mark.encode() for mark in (*MARKS, str(scans.parent))]
    rows = [row for number in range(12) for row in _rows(number)]
    found = []
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        found += [f"{path.name}: {word!r}" for word in words if word.lower() in content.lower()]
        found += [f"{path.name}: pixels" for row in rows if row in content]
    return found


def _rows(number: int) -> list[bytes]:
    """Eight neighbouring pixels of the middle of a scan as they may be stored."""
    row = head(number)[20, 12:20]
    unit = np.clip(row / 80, 0, 1)
    as_read = [np.round(row) + 1024, np.round(row), (unit * 255)]
    return [as_read[0].astype("<i2").tobytes(), as_read[1].astype("<f4").tobytes(), as_read[2].astype("u1").tobytes()]


def test_the_search_finds_what_it_looks_for(hospital, tmp_path):
    found = " ".join(leaks(hospital, hospital))
    assert all(mark.lower() in found.lower() for mark in MARKS if mark != WARD)
    assert "doe_jane_0.dcm: pixels" not in found or "pixels" in found
    assert "pixels" in found


def test_no_file_of_a_rehearsed_run_names_a_patient_a_path_or_holds_a_pixel(hospital, tmp_path):
    job = small_job(tmp_path / "jobs", "fedavg", rounds=2, evaluate_every=1)
    record = rehearse(folders.read(job), site_names(2), tmp_path / "out", log=lambda line: None)
    assert record.content["sites"]["site-1"]["folds"]["train"]["scans"] == 6
    names = {path.name.split(".")[0] for path in (tmp_path / "out").rglob("*")}
    assert {"record", "model", "memory", "events"} <= names
    assert leaks(tmp_path / "out", hospital) == []


@pytest.mark.slow
def test_no_file_of_a_simulated_server_names_a_patient_a_path_or_holds_a_pixel(
    hospital,
    workspace,  # noqa: F811
    tmp_path,
):
    job = small_job(tmp_path / "jobs", "fedavg", rounds=2)
    code, text = simulate(job, workspace, 2)
    assert code == 0, text
    server = workspace / "server"
    record = json.loads((server / "simulate_job" / "brainct" / "record.json").read_text())
    assert record["sites"]["site-1"]["folds"]["train"]["scans"] == 6
    assert "round 1" in (server / "log.txt").read_text()
    assert leaks(server / "simulate_job", hospital) == []
    log = (server / "log.txt").read_text() + (server / "error_log.txt").read_text()
    assert [mark for mark in MARKS if mark.lower() in log.lower()] == []
