"""The reply filter: the policy holds whatever the request, the budget lasts over runs, and noise can't be guessed."""

import json
import re

import pytest
import torch

from brainct.cli.main import app
from brainct.core import serialization
from brainct.core.privacy_event import Event
from brainct.core.weights import difference
from brainct.errors import Refused, failed
from brainct.protocol.requests import request_of_plain
from brainct.run.rehearse import rehearse
from brainct.security import policy as policies
from brainct.security.accounting import epsilon
from brainct.security.ledger import Ledger
from brainct.security.policy_file import FILTER, filtered, reply_filter_of
from brainct.security.reply_filter import FilteredAgent
from tests.conftest import tiny_plan
from tests.support.agreed import Agreed
from tests.support.hostile import ATTACKS
from tests.support.requests import request

pytestmark = pytest.mark.usefixtures("small_site")
NOISY = {"clip": 1.0, "noise": 20.0}


def allowed_by(policy):
    """The rounds that a fresh budget pays for."""
    policy = policies.policy_of(policy)
    return policies.rounds_left(policy.budget, [], [policies.update(policy)], 99)


@pytest.fixture
def site(tmp_path, small_site):
    """An agent behind a policy; call it with the policy to start it anew on the same disk."""

    def open_door(folder="disk", **policy):
        agent = Agreed("site-1", tmp_path / folder / "client_state", small_site)
        return FilteredAgent(agent, reply_filter_of(policy, tmp_path / folder, "site-1"))

    return open_door


def length(answer, given):
    return float(sum(value.square().sum() for value in difference(answer["weights"], given).values()) ** 0.5)


def test_what_leaves_is_as_long_as_the_policy_allows(site):
    found = request(tiny_plan(fit={"rate": 1.0}))
    free = length(site().reply_plain(found), found["task"]["weights"])
    assert free > 0.01
    assert length(site(clip=0.01).reply_plain(found), found["task"]["weights"]) == pytest.approx(0.01, rel=1e-3)
    assert length(site(clip=2 * free).reply_plain(found), found["task"]["weights"]) == pytest.approx(free, rel=1e-6)


def test_a_noised_answer_has_noise_and_no_training_loss(site):
    found = request(tiny_plan())
    plainly, noised = site().reply_plain(found), site(**NOISY).reply_plain(found)
    size = sum(value.numel() for value in plainly["weights"].values())
    assert "loss" in plainly["metrics"]
    assert noised["metrics"] == {}
    assert length(noised, found["task"]["weights"]) == pytest.approx(20 * size**0.5, rel=0.1)


def test_a_withheld_layer_comes_back_as_it_was_given(site):
    found = request(tiny_plan())
    answer = site(withhold=["head"]).reply_plain(found)
    same = [key for key, value in found["task"]["weights"].items() if torch.equal(value, answer["weights"][key])]
    assert same == ["head.weight", "head.bias"]


def test_the_same_update_has_the_same_noise_and_costs_once(site, tmp_path):
    found = request(tiny_plan())
    first = site(**NOISY).reply_plain(found)
    assert serialization.sha256(site(**NOISY).reply_plain(found)) == serialization.sha256(first)
    rows = json.loads((tmp_path / "disk" / "privacy" / "site-1" / "ledger.json").read_text())
    assert [(row["kind"], row["mu"]) for row in rows.values()] == [("update", 0.1)]
    assert site(**NOISY).reply_plain({**found, "round": 1})["weights"]
    assert len(json.loads((tmp_path / "disk" / "privacy" / "site-1" / "ledger.json").read_text())) == 2


def test_noise_differs_from_site_to_site_whatever_the_jobs_seed(site, tmp_path):
    found = request(tiny_plan())
    here, there = site(**NOISY).reply_plain(found)["weights"], site("other", **NOISY).reply_plain(found)["weights"]
    plainly = site().reply_plain(found)["weights"]
    noises = [torch.cat([(w[key] - plainly[key]).flatten() for key in plainly]) for w in (here, there)]
    assert abs(float(torch.corrcoef(torch.stack(noises))[0, 1])) < 0.1
    secret = tmp_path / "disk" / "privacy" / "site-1" / "secret"
    assert len(secret.read_bytes()) == 32
    assert secret.stat().st_mode & 0o077 == 0


def test_noise_differs_from_round_to_round(site):
    plan = tiny_plan()
    noises = []
    for number in (0, 1):
        found = request(plan, round=number)
        gap = difference(site(**NOISY).reply_plain(found)["weights"], site().reply_plain(found)["weights"])
        noises.append(torch.cat([value.flatten() for value in gap.values()]))
    assert abs(float(torch.corrcoef(torch.stack(noises))[0, 1])) < 0.1


def test_the_budget_is_kept_over_rounds_and_runs(site):
    policy = {**NOISY, "budget": {"epsilon": 0.9}}
    allowed = allowed_by(policy)
    assert 3 < allowed < 9
    answers = []
    for number in range(allowed + 1):
        plan = tiny_plan(seed=number)  # each another run, by a new process
        answers.append(site(**policy).reply_plain(request(plan, run=f"run-{number}")))
    assert all("weights" in answer for answer in answers[:-1])
    assert answers[-1]["error"].startswith("site-1 does not take part: the privacy budget of its patients (epsilon 0.9")
    assert "weights" not in answers[-1]


def test_a_run_that_needs_more_than_is_left_is_refused_at_the_roll_call(site):
    policy = {**NOISY, "budget": {"epsilon": 0.9}}
    allowed = allowed_by(policy)
    about = site(**policy).reply_plain(request(tiny_plan(rounds=allowed), "describe"))["about"]
    said = '{"clip": 1.0, "noise": 20.0, "budget": {"epsilon": 0.9}}'
    assert about["notes"][-1] == f"its privacy policy: {said}"
    error = site(**policy).reply_plain(request(tiny_plan(rounds=allowed + 1), "describe", run="another"))["error"]
    assert re.search(rf"this run needs {allowed + 1} rounds, and its privacy policy leaves room for {allowed}:", error)


def test_a_run_that_is_repeated_needs_nothing_new(site):
    policy = {**NOISY, "budget": {"epsilon": 0.9}}
    plan = tiny_plan(rounds=allowed_by(policy))
    for run in ("one", "again"):
        assert "error" not in site(**policy).reply_plain(request(plan, "describe", run=run))
        orders = [request(plan, round=number, run=run) for number in range(plan.rounds)]
        assert all("error" not in site(**policy).reply_plain(one) for one in orders)


@pytest.mark.parametrize("what", ["describe", "train", "evaluate"])
@pytest.mark.parametrize(
    ("scheme", "policy", "words"),
    [
        ("fedsgd", NOISY, "which `fedsgd` does not allow: sites send gradients"),
        ("feddc", {"secure_aggregation": True}, "with `feddc` somebody must: the server passes single models"),
        ("fedavg", {"secure_aggregation": True}, 'take the scheme "secagg" with `fedavg` as its `inner`'),
    ],
)
def test_a_scheme_that_can_not_do_what_the_site_demands_is_refused_at_the_site(site, what, scheme, policy, words):
    found = request(tiny_plan(scheme), what, fold="test", round=3 if what == "evaluate" else 0)
    error = site(**policy).reply_plain(found)["error"]
    assert error.startswith("site-1 does not take part: by its privacy policy ")
    assert words in error
    assert error.endswith("choose another scheme, or ask the hospital's data protection officer")


def test_a_layer_that_the_network_does_not_have_can_not_be_withheld(site):
    error = site(withhold=["hed"]).reply_plain(request(tiny_plan(), "describe"))["error"]
    assert "withholds hed, which network cnn does not have" in error


def test_an_update_of_another_shape_does_not_leave(site, caplog):
    found = request(tiny_plan())
    answer = {"weights": {"w": torch.ones(2)}, "examples": 1, "metrics": {}, "extra": {}}
    error = site(clip=1).filter.reply_plain(found, answer)["error"]
    assert error == failed("site-1")
    assert "missing tensors" in caplog.text


def policy_file(folder, **policy):
    """A privacy.json as a site has it."""
    row = {"path": FILTER, "args": policy}
    scope = {"name": "hospital", "task_data_filters": [], "task_result_filters": [row]}
    folder.mkdir(exist_ok=True)
    (folder / "privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "hospital"}))
    return folder / "privacy.json"


def rehearsed(folder, plan=None, workers=1, sites=("a", "b")):
    plan = plan or tiny_plan(rounds=2)
    return rehearse(plan, list(sites), folder, workers=workers, log=lambda line: None).content


def test_a_rehearsal_under_a_policy_is_repeated_bit_identically_and_pays_once(tmp_path, monkeypatch):
    bare = rehearsed(tmp_path / "bare")
    monkeypatch.setenv("BRAINCT_PRIVACY", str(policy_file(tmp_path / "local", clip=0.5, noise=0.1)))
    first, again = rehearsed(tmp_path / "1"), rehearsed(tmp_path / "2", workers=2)
    assert first["model_sha256"] == again["model_sha256"] != bare["model_sha256"]
    for name in ("a", "b"):
        assert len(json.loads((tmp_path / "local" / "privacy" / name / "ledger.json").read_text())) == 2
        assert '"noise": 0.1' in str(first["sites"][name]["notes"])


def test_a_rehearsal_whose_sites_refuse_the_scheme_ends_at_the_roll_call(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINCT_PRIVACY", str(policy_file(tmp_path / "local", clip=0.5)))
    with pytest.raises(
        Refused, match="the roll call can't be closed: 0 of 2 .* a: a does not take part: by its privacy"
    ):
        rehearsed(tmp_path / "out", tiny_plan("ridge"))


def test_sites_that_demand_secure_aggregation_take_part_in_it_alone(tmp_path, small_site, monkeypatch):
    plan = tiny_plan("secagg", rounds=3)
    bare = rehearsed(tmp_path / "bare", plan, sites="abc")
    monkeypatch.setenv("BRAINCT_PRIVACY", str(policy_file(tmp_path / "local", secure_aggregation=True)))
    assert rehearsed(tmp_path / "masked", plan, sites="abc")["model_sha256"] == bare["model_sha256"]
    with pytest.raises(Refused, match=r'nobody may see a single hospital.s update; take the scheme "secagg"'):
        rehearsed(tmp_path / "fedavg", sites="abc")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not a privacy.json"),
        ('{"scopes": [], "default_scope": "x"}', "KeyError"),
        (
            '{"scopes": [{"name": "x", "task_result_filters": []}], "default_scope": "x"}',
            "scope x has 0 brainct.flare.filters.Privacy",
        ),
    ],
)
def test_a_privacy_file_without_our_filter_is_refused_and_not_taken_for_no_policy(
    tmp_path, monkeypatch, content, words
):
    (tmp_path / "privacy.json").write_text(content)
    monkeypatch.setenv("BRAINCT_PRIVACY", str(tmp_path / "privacy.json"))
    with pytest.raises(Refused, match=words):
        filtered(None, "a")


def test_a_ledger_that_can_not_be_read_spends_nothing(site, tmp_path, caplog):
    site(**NOISY).reply_plain(request(tiny_plan()))
    (tmp_path / "disk" / "privacy" / "site-1" / "ledger.json").write_text("{")
    assert site(**NOISY).reply_plain(request(tiny_plan(), round=1))["error"] == failed("site-1")
    assert "ledger.json can't be read" in caplog.text


def test_a_sites_people_are_told_what_was_spent(tmp_path, monkeypatch, capsys):
    file = policy_file(tmp_path / "local", clip=0.5, noise=20.0, budget={"epsilon": 9.0})
    app(["privacy", str(file), "--site", "a"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[1:] == ["releases that its privacy budget pays for: 0"]
    monkeypatch.setenv("BRAINCT_PRIVACY", str(file))
    rehearsed(tmp_path / "out")
    app(["privacy", str(file), "--site", "a"], standalone_mode=False)
    spent = f"{epsilon([Event('update', mu=0.1)] * 2, 1e-5):.4g}"
    assert capsys.readouterr().out.splitlines()[1:] == [
        "releases that its privacy budget pays for: 2",
        f"update: 2, epsilon {spent}, for all training scans of the hospital together",
        f"epsilon spent in all, over 1 runs: {spent} of 9 (delta 1e-05)",
    ]


@pytest.mark.parametrize("what", ["predict", "", "Train"])
def test_a_request_of_an_unknown_kind_gets_nothing_out_whatever_replied_to_it(site, what):
    policy = {**NOISY, "withhold": ["head"], "budget": {"epsilon": 0.9}}
    found = request(tiny_plan(), what)
    assert set(site(**policy).reply_plain(found)) == {"error", "exchange"}
    trained = {"weights": {"w": torch.ones(2)}, "metrics": {"loss": 0.5}, "exchange": "round 0"}
    said = site(**policy).filter.reply_plain(found, trained)
    assert said["error"].startswith(f"site-1 does not take part: the server's request is {what!r}; wanted one of")
    assert set(said) == {"error", "exchange"}
    assert what != "predict" or said["error"] == ATTACKS["unknown kind of request"].line


def test_a_reply_to_a_request_for_scores_holds_scores_and_nothing_else(site):
    known = {"scores": {}, "exchange": "round 3"}
    answer = {**known, "weights": {"w": torch.ones(2)}, "metrics": {"loss": 0.5}}
    found = request(tiny_plan(), "evaluate", fold="test", round=3)
    assert site(clip=1.0).filter.reply_plain(found, answer) == known
    assert "error" in site(clip=1.0).filter.reply_plain({**found, "fold": "train"}, answer)


def test_another_policy_draws_other_noise_and_is_paid_for(site, tmp_path):
    """The same noise at two sizes would tell the update: 2 (w + z) - (w + 2 z) = w."""
    found, sent = request(tiny_plan()), []
    for noise in (1.0, 2.0):
        sent.append(site(clip=1000.0, noise=noise).reply_plain(found)["weights"])
    plainly = site().reply_plain(found)["weights"]
    guess = {key: 2 * sent[0][key] - sent[1][key] for key in plainly}
    assert length({"weights": guess}, plainly) > 1000
    assert len(json.loads((tmp_path / "disk" / "privacy" / "site-1" / "ledger.json").read_text())) == 2


def test_a_layer_is_withheld_whatever_network_comes_after_the_roll_call(site):
    door = site(withhold=["head"])
    assert "about" in door.reply_plain(request(tiny_plan(), "describe"))
    other = tiny_plan(network={"architecture": "densenet-small", "size": 32, "options": {}})
    answer = door.reply_plain(request(other))
    assert "differs from what site-1 agreed to at the roll call of run a-run (network)" in answer["error"]
    answer = door.reply_plain(request(other, run="another"))
    assert "withholds head, which network densenet-small does not have" in answer["error"]


TRAINING = {"clip": 1.0, "noise": 4.0, "sampling": 0.5}


def test_private_training_is_paid_for_once_from_the_same_ledger_and_refused_beyond_it(tmp_path):
    budget = epsilon([Event("training", noise=4.0, sampling=0.5, steps=10)], 1e-5)
    door = reply_filter_of({"training": TRAINING, "budget": {"epsilon": budget * 1.001}}, tmp_path, "site-1")
    private = door.private_training(request_of_plain(request(tiny_plan()), "site-1"))
    for digest in ("a", "a", "b", "a"):
        private.spend(digest, private.terms.event(5))
    with pytest.raises(Refused, match="is spent, so it makes no more releases"):
        private.spend("c", private.terms.event(1))
    assert private.secret == door.ledger.secret()
    assert [row["steps"] for row in door.ledger.releases().values()] == [5, 5]
    said = f"{door.ledger.spent(1e-5)['training']:.4g}"
    assert door.account().splitlines()[2:] == [
        f"training: 2, epsilon {said}, for one patient of the training fold, or one scan where patients are unknown",
        f"epsilon spent in all, over 1 runs: {said} of {budget * 1.001:g} (delta 1e-05)",
    ]
    assert (
        reply_filter_of(NOISY, tmp_path, "site-1").private_training(request_of_plain(request(tiny_plan()), "site-1"))
        is None
    )


@pytest.mark.parametrize(
    ("scheme", "arguments", "steps"),
    [("fedavg", {}, [2]), ("ditto", {"personal_epochs": 3}, [2, 6]), ("finetune", {"epochs": 2}, [2])],
)
def test_a_run_whose_trainings_need_more_than_is_left_is_refused_at_the_roll_call(site, scheme, arguments, steps):
    plan = tiny_plan(scheme, rounds=4, evaluate_every=2, arguments=arguments)
    run = [Event("training", noise=4.0, sampling=0.5, steps=count) for count in steps * 4]
    run += [Event("training", noise=4.0, sampling=0.5, steps=4)] * (3 if scheme == "finetune" else 0)
    needed = epsilon(run, 1e-5)
    for budget, left in ((needed * 1.001, 4), (needed * 0.999, 3)):
        answer = site(training=TRAINING, budget={"epsilon": budget}).reply_plain(request(plan, "describe"))
        said = f"this run needs 4 rounds, and its privacy policy leaves room for {left}:"
        assert ("error" not in answer) if left == 4 else said in answer["error"]


def test_rows_of_version_0_1_0_are_spent_and_stay_as_they_are(site, tmp_path):
    file = tmp_path / "disk" / "privacy" / "site-1" / "ledger.json"
    file.parent.mkdir(parents=True)
    old = {"run": "r", "round": 0, "day": "2026-01-01", "loss": 0.04}
    file.write_text(json.dumps({"0" * 64: old}))
    door = site(**NOISY)
    door.reply_plain(request(tiny_plan()))
    rows = json.loads(file.read_text())
    assert (rows.pop("0" * 64), len(rows)) == (old, 1)
    events = [Event("update", mu=0.2), Event("update", mu=0.1)]
    assert door.filter.ledger.spent(1e-5) == {"update": epsilon(events, 1e-5), "all": epsilon(events, 1e-5)}


def test_kinds_of_releases_are_told_apart_and_added_up(tmp_path):
    ledger = Ledger(tmp_path)
    events = [Event("labels", epsilon=1.0), Event("scores", mu=0.1), Event("update", mu=0.2)]
    assert all(ledger.spend(str(at), event, None, "run", 0) for at, event in enumerate(events))
    found = ledger.spent(1e-5)
    assert found == {**{event.kind: epsilon([event], 1e-5) for event in events}, "all": epsilon(events, 1e-5)}
    assert not ledger.spend("3", events[0], policies.Budget(epsilon=found["all"] + 0.99), "run", 1)
    assert ledger.spend("3", events[0], policies.Budget(epsilon=found["all"] + 1.01), "run", 1)


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', '{"a": {"kind": "update", "mu": "x"}}', '{"a": {"kind": "x"}}'])
def test_a_ledger_with_rows_that_nobody_wrote_spends_nothing(tmp_path, content):
    (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(Refused, match="restore it from a backup"):
        Ledger(tmp_path).spend("0", Event("update", mu=0.1), None, "run", 0)
    assert (tmp_path / "ledger.json").read_text() == content
