"""Every site's model on every site's test fold: what is scored, who may ask for it, and that it survives a crash."""

import json

import pytest

from brainct.cli.main import main
from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.report.build import report
from brainct.run import cross_site
from brainct.run.rehearse import rehearse, resume
from brainct.run.summary import crossed
from tests.conftest import first_weights, tiny_plan
from tests.schemes.test_sent_model import NEVER
from tests.support.families import TRAINING
from tests.support.guarded import SITES, begun, moved, request

HEADLINES = {"auroc", "balanced_accuracy", "brier"}


def run(folder, scheme="fedavg", sites=3, cross=True, lose=(), **choices):
    plan = tiny_plan(scheme, evaluate_every=0, **({"cross_site": True} if cross else {}), **choices)
    return rehearse(plan, site_names(sites), folder, lose=lose, log=lambda line: None).record


def test_the_models_that_sites_sent_are_those_that_local_training_would_give(tmp_path, small_site):
    """Of one round, two ways to one matrix: what FedAvg's sites sent, and what sites use that train alone."""
    sent = run(tmp_path / "sent", rounds=1).cross_site
    run(tmp_path / "alone", "local", cross=False, rounds=1)
    used = cross_site.cross(tmp_path / "alone")
    assert {site: one.scores for site, one in sent.items()} == used
    assert used.keys() == used["site-1"].keys() == {"site-1", "site-2", "site-3"}
    assert used["site-1"]["site-1"].keys() == HEADLINES
    assert len({json.dumps(row) for row in used.values()}) == 3


def test_a_model_that_a_site_sent_is_scored_as_it_was_sent(tmp_path, small_site):
    """Ditto's sites use models of their own; those that they send in round 0 are FedAvg's."""
    assert run(tmp_path / "ditto", "ditto", rounds=1).cross_site == run(tmp_path / "fedavg", rounds=1).cross_site


def test_the_run_ends_with_the_same_model_and_the_same_test(tmp_path, small_site):
    with_it, without = run(tmp_path / "with"), run(tmp_path / "without", cross=False)
    assert (with_it.model_sha256, with_it.test) == (without.model_sha256, without.test)
    assert "cross_site" not in without.plan
    assert "cross_site" not in without.as_json()
    assert crossed(without) == ""
    assert crossed(with_it).startswith("the last models that 3 sites sent have AUROC 0.")


def test_a_site_that_was_lost_has_the_model_that_it_sent_before(tmp_path, small_site):
    found = run(tmp_path / "out", lose=[("site-2", 1), ("site-2", 2)]).cross_site
    assert {site: one.round for site, one in found.items()} == {"site-1": 2, "site-2": 0, "site-3": 2}
    assert found["site-2"].scores == run(tmp_path / "first", rounds=1).cross_site["site-2"].scores


@pytest.mark.parametrize("last", [0, 2])
def test_a_killed_run_scores_the_same_models(tmp_path, small_site, last):
    calm = run(tmp_path / "calm", lose=[("site-2", 2)])

    def die(row):
        if row["round"] == last:
            raise KeyboardInterrupt

    plan = tiny_plan(evaluate_every=0, cross_site=True)
    with pytest.raises(KeyboardInterrupt):
        rehearse(plan, site_names(3), tmp_path / "cut", lose=[("site-2", 2)], log=print, on_round_closed=die)
    assert resume(tmp_path / "cut", log=lambda line: None).record.cross_site == calm.cross_site


@pytest.mark.parametrize("name", TRAINING)
def test_a_scheme_whose_server_has_no_site_s_model_is_refused_by_name(name):
    if name in NEVER:
        with pytest.raises(Refused, match=f"with {name} no site's whole model reaches the server"):
            tiny_plan(name, cross_site=True)
    else:
        assert tiny_plan(name, cross_site=True).cross_site


def test_a_hospital_s_policy_may_refuse_that_its_model_goes_to_other_hospitals(tmp_path, small_site, monkeypatch):
    policy = {"path": "brainct.flare.filters.Privacy", "args": {"limits": {"cross_site": False}}}
    scope = {"name": "all", "task_result_filters": [policy]}
    (tmp_path / "privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "all"}))
    monkeypatch.setenv("BRAINCT_PRIVACY", str(tmp_path / "privacy.json"))
    with pytest.raises(Refused, match=r"other sites to score \(cross_site\), which it does not allow"):
        run(tmp_path / "out")
    assert run(tmp_path / "without", cross=False).finished


def asked(site, plan, of, by=0.0):
    task = moved(first_weights(plan), by)
    return site.reply_plain(request(plan, "evaluate", fold="test", round=plan.rounds, of=of, task=task))


def test_a_server_gets_the_scores_of_one_model_for_each_site_and_no_more(tmp_path):
    plan = tiny_plan(cross_site=True)
    site = begun(tmp_path, plan)
    got = [asked(site, plan, of, by) for of in ("", *SITES, "site-9") for by in (0.0, 0.1)]
    assert sum("scores" in reply for reply in got) == 1 + len(SITES)
    assert "wanted one of this run's sites" in got[-1]["error"]


def test_a_job_that_did_not_ask_gets_no_model_of_a_site_scored(tmp_path):
    plan = tiny_plan()
    assert "cross_site in the run's plan" in asked(begun(tmp_path, plan), plan, "site-2")["error"]


def test_the_report_draws_what_sites_sent_and_what_sites_use(tmp_path, small_site, capsys):
    run(tmp_path / "sent")
    page, *pictures = report([tmp_path / "sent"])
    assert "Every hospital&#39;s model at every hospital" in page.read_text()
    assert "sent last, before the server combined it" in page.read_text()
    assert "cross-site.svg" in {path.name for path in pictures}
    run(tmp_path / "own", "fedper", cross=False)
    main_in_process("cross", tmp_path / "own")
    assert "model of  site-1  site-2  site-3" in capsys.readouterr().out
    assert "with the part that never leaves it" in report([tmp_path / "own"])[0].read_text()


def main_in_process(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0


def test_of_a_run_whose_sites_use_the_delivered_model_there_is_nothing_to_cross(tmp_path, small_site):
    run(tmp_path / "out", cross=False, rounds=1)
    with pytest.raises(Refused, match="every site uses the delivered model"):
        cross_site.cross(tmp_path / "out")
    run(tmp_path / "votes", "fedct", cross=False, rounds=2, arguments={"forests": ["site-2"]})
    with pytest.raises(Refused, match="is no network"):
        cross_site.cross(tmp_path / "votes")
