"""A model asked about studies: one answer a study, as a table that resumes, as DICOM SR and SEG, as a picture."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image

from brainct.ct.calibration import Calibration, OfFinding, write_calibration
from brainct.ct.preprocess import letterbox
from brainct.ct.read.dicom import read_series
from brainct.deliver.answer import Reader
from brainct.deliver.finished_model import finished_model
from brainct.deliver.scan_grid import unletterboxed
from brainct.deliver.study import read_study
from brainct.run.model_file import write_model
from tests.conftest import ROOT
from tests.segment.test_segment import plan as masks_plan
from tests.support.command import refused, type_in
from tests.support.exported import own_answer, untrained
from tests.support.forged import write_nifti
from tests.support.studies import write_study


def masks_model(place: Path, **network: object) -> Path:
    plan = masks_plan(network=network)
    weights = {key: value * 2 for key, value in plan.kind.initial(plan, 1, 0).weights.items()}
    place.mkdir(parents=True, exist_ok=True)
    write_model(place / "model.safetensors", weights, plan.model_dump(), {})
    return place


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


@pytest.mark.parametrize("name", ["densenet", "neighbours", "volume"])
def test_a_study_gets_one_answer_by_the_jobs_pooling_and_the_sites_calibration(capsys, tmp_path, name):
    run, series = untrained(tmp_path / "run", name), write_study(tmp_path / "study")
    write_calibration(
        run / "calibration.json", Calibration(findings={"any": OfFinding(temperature=2, threshold=0.001)})
    )
    model = finished_model(run)
    each = own_answer(model, series)[1]
    wanted = {"max": each.max(0), "noisy_or": 1 - np.prod(1 - each, 0)}[model.pooling]
    code, out, err = type_in(capsys, "predict", run, series, "--out", tmp_path / "p.csv")
    assert code == 0, err
    (row,) = rows_of(tmp_path / "p.csv")
    assert float(row["any"]) == pytest.approx(wanted[5], abs=1e-6)
    assert (row["study"], row["slices"], row["any present"], row["problem"]) == ("study", "5", "1", "")
    assert f"any                  {wanted[5]:.4f}  present" in out


def test_a_nifti_is_a_study_and_gives_what_the_same_dicom_gives(tmp_path):
    run, series = untrained(tmp_path / "run"), write_study(tmp_path / "study")
    pixels = read_series(series, "study")[0]
    affine = np.array([[0, 4.0, 0, 0], [4.0, 0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 1]])  # rows to the back, columns left
    write_nifti(tmp_path / "head.nii.gz", pixels.values, affine * np.array([[-1], [-1], [1], [1]]))
    reader = Reader(finished_model(run))
    found = [reader.answer(read_study(path, reader.model)) for path in (series, tmp_path / "head.nii.gz")]
    assert np.abs(found[0].each - found[1].each).max() < 1e-6


def test_what_is_no_head_ct_and_what_is_two_studies_is_refused(capsys, tmp_path):
    run = untrained(tmp_path / "run")
    write_study(tmp_path / "mr", Modality="MR")
    refused(capsys, "mr: no brain series: Modality MR", "predict", run, tmp_path / "mr", "--out", tmp_path / "p.csv")
    for seed in (1, 2):
        write_study(tmp_path / "two" / str(seed), seed)
    refused(capsys, "two: 2 studies, wanted one", "predict", run, tmp_path / "two", "--out", tmp_path / "p.csv")
    refused(capsys, "give one of them", "predict", run, tmp_path / "two", "--folder", tmp_path)
    refused(capsys, "are for a study", "predict", run, "--sr", "--out", tmp_path / "p.csv")
    refused(capsys, "gives no masks", "predict", run, write_study(tmp_path / "s"), "--seg", "--out", tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def folder_of_studies(place: Path, count: int) -> Path:
    for number in range(count):
        write_study(place / f"study-{number:02}", number, slices=3)
    write_study(place / "not-ct", 99, slices=3, Modality="MR")
    return place


def test_a_folder_is_answered_study_by_study_and_a_cut_table_is_completed(capsys, tmp_path):
    run, studies = untrained(tmp_path / "run"), folder_of_studies(tmp_path / "studies", 4)
    code, out, err = type_in(capsys, "predict", run, "--folder", studies, "--out", tmp_path / "whole.csv")
    assert (code, "4 studies in" in out, "1 studies could not be read" in out) == (0, True, True), err
    whole = (tmp_path / "whole.csv").read_text()
    rows = rows_of(tmp_path / "whole.csv")
    assert [row["study"] for row in rows] == ["not-ct", *(f"study-{number:02}" for number in range(4))]
    assert "Modality MR" in rows[0]["problem"]
    lines = whole.splitlines(keepends=True)
    (tmp_path / "cut.csv").write_text("".join(lines[:3]) + lines[3][: len(lines[3]) // 2])
    code, out, err = type_in(capsys, "predict", run, "--folder", studies, "--out", tmp_path / "cut.csv")
    assert (code, "3 studies in" in out, "2 were there before" in out) == (0, True, True), out + err
    assert (tmp_path / "cut.csv").read_text() == whole
    other = untrained(tmp_path / "other", "densenet")
    refused(
        capsys, "has answers of another model", "predict", other, "--folder", studies, "--out", tmp_path / "cut.csv"
    )
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    refused(capsys, "is not a table of this", "predict", run, "--folder", studies, "--out", tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.slow
def test_a_killed_run_over_a_folder_continues_to_the_same_table(tmp_path):
    run, studies = untrained(tmp_path / "run"), folder_of_studies(tmp_path / "studies", 12)
    command = [sys.executable, "-m", "brainct.cli", "predict", str(run), "--folder", str(studies), "--out"]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "custom")}
    cut, whole = tmp_path / "cut.csv", tmp_path / "whole.csv"
    started = subprocess.Popen([*command, str(cut)], env=env)
    ends = time.monotonic() + 120
    while not (cut.exists() and cut.read_text().count("\n") >= 4):
        assert started.poll() is None or cut.read_text().count("\n") >= 4
        assert time.monotonic() < ends
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    subprocess.run([*command, str(cut)], env=env, check=True)
    subprocess.run([*command, str(whole)], env=env, check=True)
    assert cut.read_text() == whole.read_text()
    assert len(rows_of(whole)) == 13


def test_an_sr_says_each_findings_certainty_and_refers_to_the_slices(capsys, tmp_path):
    run, series = untrained(tmp_path / "run"), write_study(tmp_path / "study")
    write_calibration(
        run / "calibration.json", Calibration(findings={"any": OfFinding(temperature=1.5, threshold=0.2)})
    )
    code, _, err = type_in(capsys, "predict", run, series, "--sr", "--out", tmp_path / "p.csv")
    assert code == 0, err
    (row,) = rows_of(tmp_path / "p.csv")
    report = highdicom.sr.srread(tmp_path / "study.sr.dcm")
    source = pydicom.dcmread(next(series.iterdir()))
    assert (report.PatientID, report.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    groups = report.content.get_image_measurement_groups()
    assert [one.finding_type.value for one in groups][-1] == "1386000"
    found = [float(one.get_measurements()[0].value) for one in groups]
    findings = finished_model(run).findings
    assert found == pytest.approx([100 * float(row[name]) for name in findings], abs=1e-3)
    (there,) = groups[5].get_qualitative_evaluations()
    assert there.value.meaning == ("Present" if row["any present"] == "1" else "Absent")
    assert not groups[0].get_qualitative_evaluations()
    plain = pydicom.dcmread(tmp_path / "study.sr.dcm")
    assert plain.SOPClassUID.name == "Comprehensive SR Storage"
    referred = plain.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert len(referred.ReferencedSOPSequence) == 5


@pytest.mark.parametrize("turned", [False, True])
def test_a_seg_lies_on_the_slices_where_the_model_marked(capsys, tmp_path, turned):
    run, series = masks_model(tmp_path / "run"), tmp_path / "study"
    turn = {"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]} if turned else {}
    write_study(series, **turn)
    write_calibration(run / "calibration.json", Calibration(findings={"any": OfFinding(threshold=0.45)}))
    code, _, err = type_in(capsys, "predict", run, series, "--seg", "--out", tmp_path / "p.csv")
    assert code == 0, err
    reader = Reader(finished_model(run))
    answer = reader.answer(read_study(series, reader.model))
    made = highdicom.seg.segread(tmp_path / "study.seg.dcm")
    assert [made.get_segment_description(at).segment_label for at in made.segment_numbers] == list(
        reader.model.findings
    )
    own = sorted((pydicom.dcmread(one) for one in series.iterdir()), key=lambda one: one.ImagePositionPatient[2])
    uids = [one.SOPInstanceUID for one in own]
    found = made.get_pixels_by_source_instance(uids, segment_numbers=[6], ignore_spatial_locations=True)[..., 0]
    assert found.shape == (5, 40, 48)
    assert 0 < found.sum() < found.size
    upright = found[:, ::-1, ::-1] if turned else found
    again = np.stack([letterbox_of(one, 32) for one in upright])
    agree = (again >= 0.5) == (answer.each[:, 5] >= 0.45)
    assert agree[:, 3:28].mean() > 0.8  # the other rows are the letterbox's border
    turned_over = (again[:, :, ::-1] >= 0.5) == (answer.each[:, 5] >= 0.45)
    assert turned_over[:, 3:28].mean() < 0.7
    (row,) = rows_of(tmp_path / "p.csv")
    assert float(row["any ml"]) == pytest.approx(found.sum() * 4 * 4 * 5 / 1000, abs=1e-3)


def letterbox_of(mask: np.ndarray, size: int) -> np.ndarray:
    import torch

    return letterbox(torch.from_numpy(mask.astype(np.float32)), size, 0.0).numpy()


@pytest.mark.parametrize(("shape", "fov"), [((40, 32), None), ((32, 44), 30.0), ((20, 24, 12), None)])
def test_masks_return_to_the_place_from_which_the_letterbox_took_them(shape, fov):
    import torch

    values = torch.zeros(shape)
    values[tuple(slice(length // 3, 2 * length // 3) for length in shape)] = 1
    small = letterbox(values, 64, 0.0, None, fov)
    again = unletterboxed(small[None, None] if len(shape) == 2 else small[None], shape, (1.0,) * len(shape), fov)
    assert ((again.reshape(shape) >= 0.5) == (values >= 0.5)).float().mean() > 0.97


@pytest.mark.parametrize("kind", ["findings", "masks"])
def test_a_picture_shows_the_slice_with_the_highest_probability(capsys, tmp_path, kind):
    run = untrained(tmp_path / "run") if kind == "findings" else masks_model(tmp_path / "run")
    code, out, err = type_in(
        capsys, "predict", run, write_study(tmp_path / "s"), "--picture", "--out", tmp_path / "p.csv"
    )
    assert code == 0, err
    answer = Reader(finished_model(run)).answer(read_study(tmp_path / "s", finished_model(run)))
    slice_ = int(answer.each[:, 5].reshape(5, -1).max(1).argmax())
    assert f"slice {slice_ + 1} of 5 from below" in out
    picture = np.asarray(Image.open(tmp_path / "s.png"))
    assert picture.shape == (208, 420, 3)
    assert (picture[:, :208] == picture[:, :208, :1]).all()
    assert (picture[:, 212:, 0] != picture[:, 212:, 2]).any()
