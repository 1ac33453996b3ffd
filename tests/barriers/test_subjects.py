"""`brainct barriers` on a rehearsed run and on files: the file, the pictures, the layers of a job, and refusals."""

import json
from xml.etree import ElementTree

import pytest

from brainct.barriers.subjects import loss_on, models_of_run
from brainct.run.rehearse import rehearse
from brainct.schemes import build
from tests.conftest import tiny_plan
from tests.support.command import type_in

QUICK = ("--points", 3, "--refine", 0, "--orders", 1, "--samples", 1, "--pairs", 1, "--fold", "train")


@pytest.fixture
def run(tmp_path, small_site):
    """A run of two sites and one round."""
    plan = tiny_plan(rounds=1, evaluate_every=0, fit={"epochs": 1})
    rehearse(plan, ["site-1", "site-2"], tmp_path / "run", log=lambda line: None)
    return tmp_path / "run"


def test_a_runs_barriers_are_written_drawn_and_chosen_from(capsys, run):
    code, out, _ = type_in(capsys, "barriers", "--run", run, *QUICK)
    assert code == 0
    assert "full barrier" in out
    content = json.loads((run / "barriers.json").read_text())
    assert content["pairs"] == [["site-1", "site-2"]]
    assert content["loss"] == {"fold": "train", "finding": "all", "scans": 16}
    assert [row["path"] for row in content["layers"]] == ["conv1", "norm1", "conv2", "norm2", "head"]
    for name in ("path", "a", "b", "cumulative", "perturbed", "perturbed-layers"):
        root = ElementTree.parse(run / "barriers" / f"barriers-{name}.svg").getroot()
        assert len(root.find("{http://www.w3.org/2000/svg}title").text) > 50
        assert (run / "barriers" / f"barriers-{name}.png").stat().st_size > 1000
    assert not list((run / "state").rglob("*models*"))
    code, out, _ = type_in(capsys, "barriers", "--run", run, "--choose", 2)
    layers = json.loads(out)
    assert len(layers["layers"]) == 2
    assert build("layerwise", layers).arguments["layers"] == layers["layers"]


def test_sites_models_start_from_the_run_and_the_loss_is_the_learners_own(run):
    subject = models_of_run(run, epochs=0)
    one, two = subject.models.values()
    assert all(one[key].equal(two[key]) for key in one)
    whole = loss_on(subject, "train", "all")(one)
    single = [learner.gradient(one).loss for learner in subject.learners.values()]
    assert whole == pytest.approx(sum(single) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("wanted one of the two", []),
        ("need --out FOLDER", ["a/model.safetensors"]),
        ("measure first", ["--run", "nothing", "--choose", "1"]),
        ("wanted the folder of a run", ["--run", "nothing"]),
    ],
)
def test_what_can_not_be_measured_is_refused_in_words(capsys, words, arguments):
    code, _, err = type_in(capsys, "barriers", *arguments)
    assert code == 2
    assert words in err


def test_other_scans_than_the_runs_are_refused(capsys, run, small_site):
    small_site.write_text(small_site.read_text().replace("scans: 16", "scans: 20"))
    code, _, err = type_in(capsys, "barriers", "--run", run, *QUICK)
    assert code == 2
    assert "site-1's scans here are not those of" in err
