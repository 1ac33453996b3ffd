"""A server that cheats: each attack as it was run, what it gets now, and random requests that get nothing unlisted."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainct.protocol.terms import evaluations
from brainct.security.disclosures import check_reply, leaves, row_of
from tests.conftest import CHAIN, first_weights, tiny_plan
from tests.support.guarded import SITE, SITES, begun, door, hospital, moved, request
from tests.support.hostile import ATTACKS
from tests.support.requests import task_of

STANDARD = {
    "limits": {"networks": ["cnn", {"architecture": "cnn", "options": {"widths": [8, 8]}}], "runs_a_day": 20},
    "scores": {"form": "rounded"},
    "least_class": 5,
}
NOISY = {"clip": 1.0, "noise": 20.0, "budget": {"epsilon": 50.0}}


# D1: another plan under the same round ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"fit": {"rate": 1e-30}}, "(fit)"),
        ({"network": {"architecture": "cnn", "size": 64}}, "(network)"),
        ({"rounds": 99}, "(rounds)"),
        ({"seed": 2}, "(seed)"),
        ({"evaluate_every": 1}, "(evaluate_every)"),
    ],
)
@pytest.mark.parametrize("what", ["train", "evaluate"])
def test_what_a_run_is_can_not_change_after_the_roll_call(tmp_path, what, change, named):
    site = begun(tmp_path, tiny_plan())
    found = request(tiny_plan(**change), what, fold="test", round=3 if what == "evaluate" else 0)
    error = site.reply_plain(found)["error"]
    assert error.startswith(ATTACKS["run that changes"].line)
    assert named in error


def test_other_sites_than_at_the_roll_call_are_not_answered(tmp_path):
    site = begun(tmp_path, tiny_plan())
    assert "(sites)" in site.reply_plain(request(tiny_plan(), sites=SITES[:2]))["error"]


def test_nothing_is_answered_without_a_roll_call_nor_in_a_run_that_begins_twice(tmp_path):
    assert "knows no roll call" in door(tmp_path).reply_plain(request(tiny_plan()))["error"]
    site = begun(tmp_path, tiny_plan())
    assert "weights" in site.reply_plain(request(tiny_plan()))
    assert site.reply_plain(request(tiny_plan(), "describe"))["error"] == ATTACKS["run that begins again"].line
    assert "(seed)" in site.reply_plain(request(tiny_plan(seed=5), "describe", new=False))["error"]


def test_a_request_that_comes_again_gets_the_same_bytes_whatever_became_of_the_scans(tmp_path):
    plan = tiny_plan()
    first = begun(tmp_path, plan, scans=hospital(0)).reply_plain(request(plan))
    again = door(tmp_path, hospital(1)).reply_plain(request(plan))
    assert all(torch.equal(first["weights"][key], again["weights"][key]) for key in first["weights"])
    error = door(tmp_path).reply_plain(request(plan, task=moved(first_weights(plan), 1)))["error"]
    assert ATTACKS["second request for a round"].line in error


# D4: evaluation as an oracle --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [None, STANDARD], ids=["none", "standard"])
def test_a_server_gets_the_scores_of_as_many_models_as_the_plan_says_and_no_more(tmp_path, policy):
    plan, got = tiny_plan(rounds=4, evaluate_every=2), 0
    site = begun(tmp_path, plan, policy=policy)
    for number in range(40):
        task = moved(first_weights(plan), number / 100)
        for fold in ("valid", "test"):
            got += "scores" in site.reply_plain(request(plan, "evaluate", fold=fold, round=number % 6, task=task))
    assert got == evaluations(plan) == 3


def test_the_oracle_of_thresholds_isolates_no_scan_any_more(tmp_path):
    """Four weights, whose output bias moves a threshold through the scans, gave one test scan's label: now one does."""
    plan = tiny_plan(rounds=3, evaluate_every=0)
    site = begun(tmp_path, plan, policy=STANDARD)
    answers = []
    for bias in (-1.0, -0.5, 0.5, 1.0):
        weights = {**first_weights(plan), "head.bias": torch.full((6,), bias)}
        task = task_of(weights)
        answers.append(site.reply_plain(request(plan, "evaluate", fold="test", round=3, task=task)))
    assert sum("scores" in answer for answer in answers) == 1
    assert answers[0]["scores"]["any"]["confusion"] is None
    assert all(answer["error"] == ATTACKS["scores as an oracle"].line for answer in answers[1:])


def test_as_many_runs_begin_in_a_day_as_the_policy_says(tmp_path):
    site = door(tmp_path, policy={"limits": {"runs_a_day": 3}})
    answers = [site.reply_plain(request(tiny_plan(seed=n), "describe", run=f"run-{n}")) for n in range(5)]
    assert ["about" in answer for answer in answers] == [True] * 3 + [False] * 2
    assert answers[-1]["error"].startswith(ATTACKS["many runs a day"].line)
    assert "about" in site.reply_plain(request(tiny_plan(seed=0), "describe", run="run-0", new=False))


def test_noised_scores_are_paid_for_and_stop_when_the_budget_is_spent(tmp_path):
    policy = {"scores": {"form": "noised", "noise": 2.0}, "budget": {"epsilon": 3.0}}
    told = 0
    for number in range(12):
        plan = tiny_plan(seed=number, evaluate_every=0)
        site = door(tmp_path, policy=policy)
        if "about" in site.reply_plain(request(plan, "describe", run=f"run-{number}")):
            told += "scores" in site.reply_plain(request(plan, "evaluate", fold="test", round=3, run=f"run-{number}"))
    spent = door(tmp_path, policy=policy).filter.ledger.spent(1e-5)
    assert 1 <= told < 12
    assert spent["scores"] == spent["all"] <= 3.0


# D5: refusals as a channel ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [None, {"clip": 1.0}, STANDARD], ids=["none", "clipped", "standard"])
def test_what_a_failed_training_says_does_not_depend_on_the_scans(tmp_path, policy):
    plan = tiny_plan(fit={"rate": 3e38})
    answers = [
        begun(tmp_path / str(seed), plan, scans=hospital(seed), policy=policy).reply_plain(request(plan))
        for seed in range(3)
    ]
    assert answers == [{"error": ATTACKS["failure as an oracle"].line, "exchange": "round 0"}] * 3


def test_under_noise_a_failed_training_looks_like_any_other_and_is_paid_for(tmp_path):
    plan = tiny_plan(fit={"rate": 3e38})
    site = begun(tmp_path, plan, policy=NOISY)
    answer = site.reply_plain(request(plan))
    assert set(answer) == {"weights", "examples", "metrics", "extra", "exchange"}
    assert answer["examples"] == 20
    gap = torch.cat([(answer["weights"][key] - value).flatten() for key, value in first_weights(plan).items()])
    assert float(gap.std()) == pytest.approx(20, rel=0.1)
    assert len(site.filter.ledger.releases()) == 1


# D6: the fingerprint ------------------------------------------------------------------------------------------------


def test_a_fingerprint_says_nothing_to_who_guesses_at_the_scans_and_stays_the_same_at_the_site(tmp_path):
    held = hospital(0, fingerprint="a" * 64)

    def said(folder, run, scans=held):
        return door(folder, scans).reply_plain(request(tiny_plan(), "describe", run=run))["about"]["fingerprint"]

    first = said(tmp_path / "here", "one")
    assert first == said(tmp_path / "here", "two") != held.fingerprint
    assert first != said(tmp_path / "elsewhere", "one")
    assert first != said(tmp_path / "here", "three", hospital(0, fingerprint="b" * 64))
    secret = next((tmp_path / "here").rglob("site-1.secret"))
    assert len(secret.read_bytes()) == 32
    assert secret.stat().st_mode & 0o077 == 0


# D7: labels at an epsilon of the job's ------------------------------------------------------------------------------


def votes(site, seed, epsilon, run):
    plan = tiny_plan("fedct", arguments={"epsilon": epsilon, "warmup": 0, "period": 1}, seed=seed)
    about = site.reply_plain(request(plan, "describe", run=run))
    if "error" in about:
        return about
    task = task_of({}, {"scans": 10, "vote": True, "forest": False})
    return site.reply_plain(request(plan, task=task, run=run))


def test_labels_leave_at_the_sites_own_epsilon_and_while_its_budget_lasts(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINCT_SECRET", "a long random text")
    site = door(tmp_path, policy={"labels": 0.5, "budget": {"epsilon": 40.0}})
    for epsilon in (None, 0.6):
        error = votes(site, 0, epsilon, f"none-{epsilon}")["error"]
        assert error.startswith(ATTACKS["labels without noise"].line)
    answers = [votes(site, seed, 0.5, f"run-{seed}") for seed in range(8)]
    each = 16 * 0.5  # two bytes of packed bits
    assert ["weights" in answer for answer in answers] == [True] * int(40 / each) + [False] * (8 - int(40 / each))
    assert site.filter.ledger.spent(1e-5) == {"labels": 40.0, "all": 40.0}


# D8: networks of a job's own making ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["fedsgd", "fedavg"])
def test_a_network_that_the_site_does_not_list_gets_nothing_out(tmp_path, scheme):
    pixels = {"architecture": "vgg-small", "size": 32, "options": {"widths": [3], "hidden": 1024, "grid": 16}}
    for number, network in enumerate((pixels, CHAIN)):
        plan = tiny_plan(scheme, network=network)
        site = door(tmp_path, policy=STANDARD)
        for what in ("describe", "train", "evaluate"):
            found = request(plan, what, run=f"run-{number}", fold="test", round=3 if what == "evaluate" else 0)
            error = site.reply_plain(found)["error"]
            assert error.startswith(ATTACKS["network of a job's making"].line)


# Any request ----------------------------------------------------------------------------------------------------------

PLANS = [tiny_plan(), tiny_plan(seed=2), tiny_plan("fedsgd"), tiny_plan(fit={"rate": 3e38})]
VALUES = st.sampled_from([0.0, 1e-3, 1.0, 1e30, float("inf"), float("nan")])


PARTS = {
    "run": ["a-run", "another", "../../elsewhere", ""],
    "round": [0, 0, 1, 2, 3, -1, 10**12, True, "1"],
    "step": [0, 0, 0, 1, 2],
    "fold": ["valid", "test", "train", None],
    "new": [True, False, "yes"],
    "sites": [SITES, SITES, SITES[:2], [SITE, SITE], "site-1", []],
    "exchange": ["round 0", "round 0", "", "a\nb", 7, "x" * 2000],
    "shared": [{}, {}, {"mean": 1.0}, []],
}


@st.composite
def orders(draw):
    """What a server might send: sound requests with single parts exchanged, in any order and for any round."""
    plan = draw(st.sampled_from(PLANS))
    task = moved(first_weights(plan), draw(VALUES))
    if draw(st.booleans()):
        task["extra"] = draw(st.dictionaries(st.sampled_from(["do", "arrived", "own", "measure"]), st.integers()))
    if draw(st.integers(0, 9)) == 0:
        task["weights"].pop(draw(st.sampled_from(sorted(task["weights"]))))
    found = request(plan, draw(st.sampled_from(["describe", "train", "train", "evaluate"])), task=task)
    found |= {key: draw(st.sampled_from(values)) for key, values in PARTS.items() if key in found}
    for key in draw(st.sets(st.sampled_from(sorted({*PARTS, *found})), max_size=1)):
        if draw(st.integers(0, 4)) == 0 and found.pop(key, None) is None:
            found[key] = draw(st.sampled_from(PARTS[key])) if key in PARTS else None
    return found


POLICIES = [{}, STANDARD, NOISY, {"scores": {"form": "noised", "noise": 4.0}}]


@settings(max_examples=25)
@given(st.lists(orders(), min_size=1, max_size=8), st.sampled_from(POLICIES))
def test_whatever_a_server_asks_it_gets_the_listed_values_alone_and_words_that_no_scan_changes(
    tmp_path_factory, asked, policy
):
    """Two hospitals whose scans differ and whose counts do not: every word that they say is the same."""
    folder = tmp_path_factory.mktemp("cheated")
    sites = [door(folder / str(seed), hospital(seed), policy) for seed in range(2)]
    first = request(PLANS[0], "describe")
    for one in (first, *asked):
        answers = [site.reply_plain(one) for site in sites]
        for answer in answers:
            check_reply(answer)
            assert all(row_of(place) for place, value in leaves(answer) if isinstance(value, str))
        shown = [_words(answer) for answer in answers]
        assert shown[0] == shown[1]


def _words(answer):
    """A reply without what may follow from the scans: tensors, scores, losses and the fingerprint."""
    hidden = ("weights/", "scores/", "metrics/")
    return {
        place: "*" if place.startswith(hidden) or place.endswith("fingerprint") else value
        for place, value in leaves(json.loads(json.dumps(answer, default=lambda tensor: list(tensor.shape))))
    }
