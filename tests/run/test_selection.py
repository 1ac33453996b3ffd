"""The best round by the sites' validation scores, the early end of a run, and what is said of both."""

import json

import pytest

from brainct.core.names import site_names
from brainct.core.version import VERSION
from brainct.errors import Refused
from brainct.run import selection
from brainct.run.model_file import model_sha256, read_model
from brainct.run.rehearse import rehearse, resume
from brainct.run.run_record import Round, RunRecord
from brainct.run.summary import chosen
from tests.conftest import tiny_plan
from tests.support.families import TRAINING

NEVER_BETTER = {"score": "brier", "patience": 2, "gain": 1.0}
"""A Brier score can't fall by more than 1: the first evaluation stays the best."""
PERSONAL = {
    *("ditto", "dynamic", "fedbabu", "fedbn", "fedct", "fedper", "fedrep", "finetune", "layerwise", "lgfedavg"),
    *("local", "silobn"),
}
WHOLE = {"fedma", "ridge", "swa"}


def recorded(plan, *evaluations):
    """A record with these validation scores, {site: AUROC}, one mapping a round; {} for none."""
    rows = [
        Round(
            round=number,
            lost={},
            reported=[],
            metrics={},
            bytes_sent={},
            bytes_received={},
            validation={site: {"any": {"auroc": value, "brier": value}} for site, value in scores.items()},
        )
        for number, scores in enumerate(evaluations)
    ]
    return RunRecord(version=VERSION, scheme="fedavg", seed=1, plan=plan.model_dump(), sites={}, rounds=rows)


def found(*evaluations, **choices):
    plan = tiny_plan(evaluate_every=1, rounds=9, selection=choices)
    return selection.standing(plan, recorded(plan, *evaluations))


def test_the_best_round_has_the_highest_mean_and_the_first_of_equal_ones_counts():
    standing = found({"a": 0.5, "b": 0.7}, {}, {"a": 0.7, "b": 0.7}, {"a": 0.8, "b": 0.6})
    assert (standing.best, standing.value, standing.worse) == (2, 0.7, 1)


def test_a_score_of_which_less_is_better_is_compared_the_other_way():
    assert found({"a": 0.5}, {"a": 0.4}, {"a": 0.6}, score="brier").best == 1


def test_a_gain_must_be_reached():
    assert found({"a": 0.5}, {"a": 0.55}, {"a": 0.61}, gain=0.1).best == 2


def test_a_site_that_is_missing_once_does_not_move_the_comparison():
    weak, strong = {"a": 0.9, "b": 0.3}, {"a": 0.8}
    assert found(weak, strong).best == 0
    assert found(weak, {"c": 1.0}).worse == 0
    assert found(weak, {"b": 0.4}).best == 1


def test_withheld_scores_decide_nothing():
    standing = found({"a": None}, {"a": None}, {}, patience=1)
    assert (standing.best, standing.value, standing.worse) == (None, None, 0)


def run(folder, site=None, **choices):
    return rehearse(tiny_plan("fedavg", **choices), site_names(2), folder, log=lambda line: None).record


def test_a_run_ends_early_with_the_model_of_its_last_round_and_keeps_that_of_its_best(tmp_path, small_site):
    ended = run(tmp_path / "early", rounds=9, evaluate_every=1, selection=NEVER_BETTER)
    assert len(ended.rounds) == 3
    assert (ended.selection.round, ended.selection.stopped_after, ended.finished) == (0, 2, True)
    assert ended.model_sha256 == run(tmp_path / "three", rounds=3).model_sha256
    best = read_model(tmp_path / "early" / "best.safetensors")
    assert ended.selection.model_sha256 == model_sha256(best.weights, best.extra)
    assert ended.selection.model_sha256 == run(tmp_path / "one", rounds=1).model_sha256
    scores = [ended.rounds[0].validation[site]["any"]["brier"] for site in ended.selection.sites]
    assert ended.selection.value == sum(scores) / len(scores)
    words = chosen(ended)
    assert f"best validation Brier score {ended.selection.value:.3f} after round 0 (mean over 2 sites)" in words
    assert ended.selection.model_sha256 in words
    assert "ended after round 2" in words
    assert [path.name for path in (tmp_path / "early" / "state").glob("best-*")] == ["best-0.safetensors"]


def test_a_killed_run_decides_as_an_uninterrupted_one(tmp_path, small_site):
    choices = {"rounds": 9, "evaluate_every": 1, "selection": NEVER_BETTER}
    calm = run(tmp_path / "calm", **choices)

    def die(row):
        if row["round"] == 1:
            raise KeyboardInterrupt

    plan = tiny_plan("fedavg", **choices)
    with pytest.raises(KeyboardInterrupt):
        rehearse(plan, site_names(2), tmp_path / "cut", log=lambda line: None, on_round_closed=die)
    again = resume(tmp_path / "cut", log=lambda line: None).record
    assert (again.selection, again.model_sha256) == (calm.selection, calm.model_sha256)
    same = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("calm", "cut")]
    assert same[0] == same[1]


def test_a_policy_that_changes_scores_is_said(tmp_path, small_site, monkeypatch):
    policy = {"path": "brainct.flare.filters.Privacy", "args": {"scores": {"form": "never"}}}
    scope = {"name": "all", "task_result_filters": [policy]}
    (tmp_path / "privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "all"}))
    monkeypatch.setenv("BRAINCT_PRIVACY", str(tmp_path / "privacy.json"))
    ended = run(tmp_path / "out", rounds=2, evaluate_every=1, selection={"patience": 1})
    assert ended.selection.score_forms == {"site-1": "never", "site-2": "never"}
    assert (ended.selection.round, ended.selection.stopped_after, len(ended.rounds)) == (None, None, 2)
    assert chosen(ended).startswith("no site sent a validation AUROC")
    assert not (tmp_path / "out" / "best.safetensors").exists()


@pytest.mark.parametrize("name", TRAINING)
def test_every_scheme_has_a_selection_or_refuses_it_by_name(name):
    best, early = {"selection": {}}, {"selection": {"patience": 3, "keep_best": False}}
    for choices, refuses in ((best, PERSONAL), (early, WHOLE)):
        if name in refuses:
            with pytest.raises(Refused, match=name):
                tiny_plan(name, rounds=9, **choices)
        else:
            assert tiny_plan(name, rounds=9, **choices).selection is not None


def test_a_wrapper_is_as_personal_as_what_it_wraps():
    inner = {"scheme": "fedper", "arguments": {}}
    with pytest.raises(Refused, match="a model of its own"):
        tiny_plan("secagg", rounds=9, arguments={"inner": inner}, selection={})


def test_what_can_not_be_chosen_by_is_refused():
    with pytest.raises(Refused, match="which ct does not have; known are auroc"):
        tiny_plan(selection={"score": "f1"})
    with pytest.raises(Refused, match="evaluate_every is 0"):
        tiny_plan(selection={}, evaluate_every=0)


def test_a_job_without_a_selection_has_the_digest_that_it_had():
    assert "selection" not in tiny_plan().model_dump()
