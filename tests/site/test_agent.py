"""A site's half: it refuses in words, and its client state survives a restart."""

from dataclasses import replace

import pytest
import torch

from brainct.core import serialization
from brainct.core.scheme import About, Report, registered
from brainct.ct.model import network_of
from brainct.schemes import SCHEMES
from brainct.schemes.fedavg import fedavg
from brainct.site.agent import SiteAgent
from brainct.site.data import site_file_of
from tests.conftest import PHANTOM, first_weights, tiny_plan
from tests.support.agreed import Agreed
from tests.support.hostile import ATTACKS
from tests.support.requests import request, task_of

pytestmark = pytest.mark.usefixtures("small_site")


@pytest.fixture
def counting(monkeypatch):
    """A scheme whose sites count their rounds and report the count."""

    @registered(About(paper="none", family="averaging", summary="A toy.", when="never"))
    def counting():
        def reply(task, learner, client_state):
            count = client_state.get("count", torch.tensor(0)) + 1
            return Report(task.weights, 1, metrics={"distance": float(count)}), {"count": count}

        return replace(
            fedavg(),
            reply=reply,
            personalise=lambda task, learner, client_state: {**task.weights, "head.bias": torch.ones(6) * 50},
        )

    monkeypatch.setitem(SCHEMES, "counting", counting)


def test_client_state_survives_its_process(counting, tmp_path, small_site):
    plan = tiny_plan("counting", rounds=9)
    counts = []
    for _ in range(3):
        agent = Agreed(
            "site-1", tmp_path / "client_state", small_site
        )  # a new one each time, as a respawned process has
        counts.append(agent.reply_plain(request(plan, round=len(counts)))["metrics"]["distance"])
    agent = Agreed("site-1", tmp_path / "client_state", small_site)
    counts += [agent.reply_plain(request(plan, round=number))["metrics"]["distance"] for number in (3, 4)]
    assert counts == [1, 2, 3, 4, 5]
    names = sorted(path.name for path in (tmp_path / "client_state").rglob("*.*"))
    assert names == ["site-1.lock", "site-1.safetensors", "site-1.terms.json"]
    assert serialization.load(tmp_path / "client_state" / "a-run" / "site-1.safetensors")["client_state"]["count"] == 5


def test_a_request_whose_reply_was_lost_on_the_way_gets_the_same_reply_again(counting, tmp_path, small_site):
    plan, counts = tiny_plan("counting"), []
    for number in (0, 1, 1, 2):
        agent = Agreed("site-1", tmp_path / "client_state", small_site)
        answers = [agent.reply_plain(request(plan, round=number)) for _ in range(2)]
        counts.append([answer["metrics"]["distance"] for answer in answers])
    assert counts == [[1, 1], [2, 2], [2, 2], [3, 3]]


def test_a_site_evaluates_its_personal_model(counting, tmp_path, small_site):
    agent = Agreed("site-1", tmp_path, small_site)
    plan = tiny_plan("counting")
    mine = agent.reply_plain(request(plan, "evaluate", fold="test", round=3, run="one"))["scores"]["any"]
    plan = tiny_plan("fedavg")
    theirs = agent.reply_plain(request(plan, "evaluate", fold="test", round=3, run="other"))["scores"]["any"]
    assert mine["brier"] != theirs["brier"]
    assert mine["balanced_accuracy"] == 0.5


def test_a_description_has_counts_and_no_path(tmp_path, small_site):
    about = SiteAgent("site-1", tmp_path, small_site).reply_plain(request(tiny_plan(), "describe"))["about"]
    counts = about["folds"]["train"]
    assert counts["scans"] == counts["positives"]["any"] + counts["negatives"]["any"] == 8
    assert str(small_site.parent) not in str(about)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: found["task"].update(weights={}), "missing tensors: conv1.weight"),
        (lambda found: found["plan"].update(scheme="unknown"), "unknown scheme 'unknown'"),
        (lambda found: found["plan"]["fit"].update(rate=-1.0), "fit.rate is -1.0"),
        (lambda found: found["plan"]["network"].update(channels=4), "3 HU windows, the job's network takes 4 channels"),
        (lambda found: found.pop("plan"), "the server's request has no usable plan"),
    ],
)
def test_a_request_that_can_not_be_met_is_refused_in_words(tmp_path, small_site, change, words):
    found = request(tiny_plan())
    change(found)
    assert words in Agreed("site-1", tmp_path, small_site, redact=False).reply_plain(found)["error"]


def test_the_kits_own_file_comes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINCT_SITE", "/from/the/environment.yaml")
    (tmp_path / "local").mkdir()
    assert str(site_file_of(tmp_path)) == "/from/the/environment.yaml"
    (tmp_path / "local" / "brainct.yaml").write_text(PHANTOM)
    assert site_file_of(tmp_path) == tmp_path / "local" / "brainct.yaml"
    monkeypatch.delenv("BRAINCT_SITE")
    assert site_file_of(None) is None


def test_a_hospital_that_only_knows_any_takes_part(tmp_path, small_site):
    agent = Agreed("site-1", tmp_path, small_site)
    plan = tiny_plan(fit={"rate": 0.5})
    agent.reply_plain(request(plan, "describe"))
    fold = agent.data.of(plan, ("site-1",), False).folds["train"]
    fold.labels[:, :5] = torch.nan
    before, after = first_weights(plan), agent.reply_plain(request(plan))["weights"]
    assert torch.equal(before["head.weight"][:5], after["head.weight"][:5])
    assert not torch.equal(before["head.weight"][5], after["head.weight"][5])
    assert network_of(plan.network, plan.seed).state_dict().keys() == after.keys()


@pytest.mark.parametrize(("redact", "told"), [(True, False), (False, True)])
def test_words_that_name_a_sites_files_stay_at_the_site(tmp_path, redact, told, caplog):
    (tmp_path / "site.yaml").write_text(f"kind: manifest\nroot: {tmp_path}/DOE_JANE\nlabels: labels.csv\n")
    agent = SiteAgent("site-1", tmp_path, tmp_path / "site.yaml", redact=redact)
    error = agent.reply_plain(request(tiny_plan(), "describe"))["error"]
    assert error.startswith("site-1")
    assert ("DOE_JANE" in error) == told
    assert ("DOE_JANE" in caplog.text) == redact


def test_the_reason_of_an_unexpected_fault_is_in_the_sites_log_alone(tmp_path, small_site, caplog):
    def fail(*_):
        raise OSError("/scans/DOE_JANE is gone")

    error = SiteAgent("site-1", tmp_path, small_site, fail).reply_plain(request(tiny_plan(), "describe"))["error"]
    assert error == "site-1 can't answer this; the reason is in the site's own log"
    assert "DOE_JANE is gone" in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "predict"}, "the server's request is 'predict'; wanted one of describe, train, evaluate"),
        ({"kind": "evaluate", "fold": "train"}, ATTACKS["scores of training scans"].line),
        ({"kind": "a\nb"}, "the server's request is 'a b'"),
    ],
)
def test_a_request_for_anything_else_is_refused(changes, words, tmp_path, small_site):
    answer = SiteAgent("site-1", tmp_path / "client_state", small_site).reply_plain(request(tiny_plan(), **changes))
    assert words in answer["error"]


def test_a_site_does_not_repeat_an_older_round_with_the_client_state_of_a_later_one(counting, tmp_path, small_site):
    plan, agent = tiny_plan("counting", rounds=9), Agreed("site-1", tmp_path / "client_state", small_site)
    for number in (0, 3):
        assert "error" not in agent.reply_plain(request(plan, round=number))
    other = task_of({key: value + 1 for key, value in first_weights(plan).items()})
    for changes in ({"round": 2}, {"round": 3, "task": other}):
        error = Agreed("site-1", tmp_path / "client_state", small_site).reply_plain(request(plan, **changes))["error"]
        assert "site-1 stored client state after round 3 of this run and replies to each request once" in error
    assert "error" not in agent.reply_plain(request(plan, round=3))
    assert agent.reply_plain(request(plan, "describe", new=False))["about"]["kept"] == {"round": 3, "empty": False}
    error = agent.reply_plain(request(plan, "describe"))["error"]
    assert error == "run a-run has begun at site-1 before; resume it, or begin a run of another name"
    again = SiteAgent("site-1", tmp_path / "client_state", small_site, reused=True)
    assert again.reply_plain(request(plan, "describe"))["about"]["kept"] == {"round": -1, "empty": True}
