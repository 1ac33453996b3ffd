"""The pages of a run of another workload than head CT: its headline numbers, and no word of head CT's scores."""

import json

import pytest

from brainct.report.build import report
from brainct.run.rehearse import rehearse
from tests.support.reader import read
from tests.table.tables import SITES, table_plan


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder of a table's run of two rounds, with evaluations."""
    folder = tmp_path_factory.mktemp("table") / "run"
    rehearse(table_plan(evaluate_every=1), SITES, folder, log=lambda line: None)
    return folder


def test_the_page_of_a_table_shows_its_headline_numbers_by_hospital(run):
    seen = read(report([run])[0])
    record = json.loads((run / "record.json").read_text())
    for site in SITES:
        [scores] = record["test"][site].values()
        assert f"{site} {scores['auroc']:.3f} {scores['accuracy']:.3f} {scores['log_loss']:.3f}" in seen.text
    samples = sum(record["sites"][site]["folds"]["train"]["samples"] for site in SITES)
    assert f"{samples} samples to learn from" in seen.text
    names = {path.stem for path in (run / "report-pictures").glob("*.svg")}
    assert names == {"participation", "validation", "training-loss", "seconds"}


def test_it_speaks_of_no_bleeding_and_no_scan(run):
    text = read(report([run])[0]).text
    assert "A model of the workload `table`." in text
    assert not [word for word in ("bleeding", "CT", "Grad-CAM", "Model card", "phantom") if word in text]


def test_runs_of_tables_are_shown_side_by_side_without_scores(run, tmp_path):
    seen = read(report([run, run], tmp_path / "both.html")[0])
    assert "A: fedavg, seed 1" in seen.text
    assert "Scores are shown side by side only if all runs are of head CT" in seen.text
