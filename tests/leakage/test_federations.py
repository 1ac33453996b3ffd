"""Shadow federations: equal halves for all schemes, what each attacker sees, and attacks that find what is there."""

import numpy as np
import pytest
import torch

from brainct.compare import ledger
from brainct.compare.ledger import LEDGER
from brainct.core.scheme import Task
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.leakage.attack_results import LIRA, LOSS, SHARE, summarise
from brainct.leakage.attackers import (
    FINAL,
    GRADIENT,
    GRADIENTS,
    NEXT,
    OWN,
    SERVER,
    SERVER_ALL,
    Exchange,
    ModelProbe,
    attacker_views,
    confidence,
    forwarded_models,
)
from brainct.leakage.federation_row import FederationRow, parse_bits
from brainct.leakage.shadow_federation import keep_members, mu_of, train_federation
from brainct.leakage.shadow_training import missing, train_missing
from brainct.leakage.study import draw_halves, study_of
from brainct.security.credentials import offline
from tests.support.small_study import CHOICES, FEDERATION, FIT, attacked, public_pools, random_pictures, small, specs

ALL = ("fedavg", "feddc", "fedct", "dynamic", {"scheme": "layerwise", "arguments": {"depth": 3}}, "local")
VOTING = {"scheme": "fedct", "arguments": {"period": 1, "warmup": 0}}
STEADY = {"optimizer": "adamw", "rate": 0.01, "steps": 30, "augment": None}


def quiet(line):
    pass


def federations_in(path):
    """The rows of a ledger."""
    return ledger.read_rows(path, FederationRow)


@pytest.fixture
def pictures(monkeypatch):
    """Random pictures in place of the study's federation, which would take longer to score."""
    monkeypatch.setattr("brainct.leakage.shadow_training._scans", lambda study, size, dims: random_pictures(study))


def untimed(rows):
    """All of the rows but how long they took."""
    return [row.model_dump(exclude={"seconds"}) for row in rows]


@pytest.fixture(scope="module")
def seen():
    """One federation of each scheme, by name; feddc hops after every round, and fedct votes in each."""
    feddc = {"scheme": "feddc", "arguments": {"aggregation_period": None}}
    schemes = [feddc if each == "feddc" else VOTING if each == "fedct" else each for each in ALL]
    study = small(*schemes, rounds=3, fit=STEADY | {"steps": 3})
    opened = random_pictures(study)
    return {spec.variant.scheme: train_federation(spec, opened) for spec in specs(study)[: len(schemes)]}


def test_every_scheme_trains_on_the_same_halves(seen):
    members = [row.members for row in seen.values()]
    assert all(one == members[0] for one in members)
    assert {site: parse_bits(text).sum() for site, text in members[0].items()} == {"site-1": 4, "site-2": 4}


def test_halves_differ_between_federations_and_each_scan_is_in_about_half_of_them():
    drawn = np.stack([draw_halves({"a": 20}, 1, number)["a"] for number in range(400)])
    assert (drawn.sum(1) == 10).all()
    assert np.abs(drawn.mean(0) - 0.5).max() < 0.12
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.15


def test_who_sees_what(seen):
    model = {FINAL, SERVER, SERVER_ALL}
    views = {name: set(row.views) for name, row in seen.items()}
    assert views["fedavg"] == views["dynamic"] == model
    assert views["feddc"] == model | {NEXT}
    assert views["layerwise"] == model | {OWN}
    assert views["local"] == {OWN}
    assert views["fedct"] == {FINAL, SERVER, OWN}


@pytest.mark.parametrize(
    "scheme", ["fedsgd", "minibatch", "turns", {"scheme": "bf16", "arguments": {"inner": {"scheme": "fedsgd"}}}]
)
def test_the_server_of_a_scheme_of_gradients_sees_a_share_of_each_scan(scheme):
    study = small(scheme, rounds=4)
    row = train_federation(specs(study)[0], random_pictures(study))
    assert row.error == ""
    assert set(row.views) == {FINAL, GRADIENT, GRADIENTS}
    for view in (row.views[GRADIENT], row.views[GRADIENTS]):
        assert {site: len(of) for site, of in view.signals.items()} == {"site-1": 8, "site-2": 8}


@pytest.mark.parametrize("scheme", ["fedsgd", "turns"])
def test_a_share_says_how_often_a_scan_is_in_the_batch_of_a_gradient(scheme):
    study = small(scheme, rounds=1)
    plan, (scans, *_) = specs(study)[0].plan, random_pictures(study).values()
    members = np.arange(8) % 2 == 0
    probe, built = ModelProbe(plan, "site-1", scans), plan.build()
    memory = built.start(model_of(plan.network, plan.seed, 1), ["site-1"], 1)
    task = built.assign(memory, 0, ["site-1"])["site-1"]
    half = keep_members(scans, members)
    report, _ = built.reply(task, learner_of(plan, half, offline(plan, "site-1", 1)), {})
    found = probe.shares(*built.sent_gradient(task.weights, report.weights, probe.initial))
    assert found == pytest.approx(members / members.sum(), abs=0.05)


def test_all_gradients_of_a_site_count_as_their_mean():
    study = small("fedsgd", rounds=3)
    plan, scans = specs(study)[0].plan, random_pictures(study)
    probe, built = ModelProbe(plan, "site-1", scans["site-1"]), plan.build()
    each = [{name: torch.full_like(value, 0.1 * (at + 1)) for name, value in probe.initial.items()} for at in range(3)]
    heard = [Exchange(at, "site-1", probe.initial, sent) for at, sent in enumerate(each)]
    views = attacker_views(built, {"site-1": probe}, heard, Task(probe.initial), {})
    alone = [probe.shares(probe.initial, sent) for sent in each]
    assert views[GRADIENT].signals["site-1"] == pytest.approx(alone[-1])
    assert views[GRADIENTS].signals["site-1"] == pytest.approx(np.mean(alone, axis=0))


@pytest.mark.parametrize("scheme", ["fedsgd", "turns"])
def test_both_attacks_find_the_scans_behind_a_gradient(scheme):
    alone = FEDERATION | {"sites": 1, "scans": 16}
    [found] = summarise(attacked(small(scheme, federation=alone, federations=6, rounds=2)), 100, 100)
    of = {(each.attacker, each.attack): each.auc for each in found.results}
    assert {attack for attacker, attack in of if attacker == GRADIENTS} == {LIRA, SHARE}
    for attack in (LIRA, SHARE):
        assert of[GRADIENTS, attack].value > 0.95
        assert of[GRADIENTS, attack].p < 0.02


def test_votes_are_seen_as_labels_and_models_as_confidences(seen):
    votes = seen["fedct"].views
    assert votes[SERVER].signals == votes[FINAL].signals == {}
    assert len(votes[SERVER].votes["site-1"]) >= 3 * 11
    assert votes[SERVER].votes["site-1"] != votes[SERVER].votes["site-2"]
    assert votes[FINAL].votes["site-1"] == votes[FINAL].votes["site-2"]
    assert {len(of) for of in seen["fedavg"].views[SERVER].signals.values()} == {8}


def test_the_next_hospital_receives_the_model_that_another_trained_last():
    def heard(round, site, given, sent):
        return Exchange(round, site, {"w": torch.tensor([given])}, {"w": torch.tensor([sent])})

    first = [heard(0, "a", 0.0, 1.0), heard(0, "b", 0.0, 2.0)]
    hop = [heard(1, "a", 2.0, 3.0), heard(1, "b", 1.0, 4.0)]
    stay = [heard(2, "a", 3.0, 5.0), heard(2, "b", 4.0, 6.0)]
    found = forwarded_models([*first, *hop, *stay])
    assert {site: float(weights["w"]) for site, weights in found.items()} == {"a": 1.0, "b": 2.0}
    assert forwarded_models(stay) == {}


def test_a_confidence_is_the_logit_towards_the_truth():
    labels = torch.full((3, 6), torch.nan)
    labels[0, 5], labels[1, 5] = 1.0, 0.0
    logits = torch.zeros(3, 6)
    logits[:, 5] = 2.5
    assert confidence(logits, labels).tolist() == pytest.approx([2.5, -2.5, 0.0])
    labels[0], logits[0] = 1.0, torch.tensor([60.0] * 6)
    assert torch.isfinite(confidence(logits, labels)).all()


@pytest.mark.parametrize(("scheme", "attacker"), [("fedavg", SERVER), ("local", OWN)])
def test_both_attacks_find_a_model_that_memorised_its_scans(scheme, attacker):
    alone = FEDERATION | {"sites": 1, "scans": 16}
    [found] = summarise(attacked(small(scheme, federation=alone, federations=6, rounds=1, fit=STEADY)), 100, 100)
    of = {(each.attacker, each.attack): each.auc for each in found.results}
    for attack in (LIRA, LOSS):
        assert of[attacker, attack].value > 0.8
        assert of[attacker, attack].value > of[attacker, attack].chance[1]
        assert of[attacker, attack].interval[0] > 0.6
        assert of[attacker, attack].p < 0.02


def test_models_that_never_moved_leak_nothing():
    still = FIT | {"rate": 1e-30}
    same = summarise(attacked(small("fedavg", fit=still)), 20, 20)
    assert [one.results for one in same] == [[]]
    own = attacked(small("fedavg", fit=still, seeds="own"))
    [one] = summarise(own, 200, 200)
    assert {each.attacker for each in one.results} == {SERVER, SERVER_ALL, FINAL}
    for each in one.results:
        assert each.auc.chance[0] <= each.auc.value <= each.auc.chance[1]
        assert each.auc.p > 0.02


@pytest.mark.slow
def test_votes_on_memorised_scans_are_found():
    """With all pools as the public set, a site votes on its own training scans as they are labelled."""
    study = small(VOTING, federations=16, rounds=1, fit=STEADY)
    [one] = summarise(attacked(study, public_pools(study)), 200, 200)
    auc = {each.attacker: each.auc for each in one.results if each.attack == LIRA}[SERVER]
    assert auc.value > 0.6
    assert auc.p < 0.02


def test_a_stopped_study_is_resumed(tmp_path, pictures):
    study, lines = small("fedavg", "local", rounds=1), []
    assert train_missing(study, tmp_path, log=lines.append) == 0
    whole = federations_in(tmp_path / LEDGER)
    assert lines[0] == "8 federations, 0 of them done already"
    assert len(whole) == 8
    text = (tmp_path / LEDGER).read_text().splitlines(keepends=True)
    (tmp_path / LEDGER).write_text("".join(text[:3]) + text[3][:50])
    assert len(missing(study, federations_in(tmp_path / LEDGER))) == 5
    train_missing(study, tmp_path, log=lines.append)
    again = federations_in(tmp_path / LEDGER)
    assert "8 federations, 3 of them done already" in lines
    assert [row.model_dump(exclude={"seconds"}) for row in again] == [
        row.model_dump(exclude={"seconds"}) for row in whole
    ]


def test_two_at_a_time_give_the_same_rows(tmp_path, pictures):
    study = small("fedavg", rounds=1)
    train_missing(study, tmp_path / "one", workers=1, log=quiet)
    train_missing(study, tmp_path / "two", workers=2, log=quiet)
    one, two = ({row.key: row.views for row in federations_in(tmp_path / name / LEDGER)} for name in ("one", "two"))
    assert one == two


def test_noise_is_reproducible_bounds_the_attacks_and_differs_between_shadows():
    noisy = {"name": "noisy", "scheme": "fedavg", "policy": {"clip": 1.0, "noise": 50.0}}
    first, second = attacked(small(noisy, federations=6)), attacked(small(noisy, federations=6))
    assert [row.views for row in first] == [row.views for row in second]
    assert first[0].mu == pytest.approx(np.sqrt(2) * 2 / 50) == mu_of(noisy["policy"], 2)
    assert mu_of({"clip": 1.0}, 2) is None
    [one] = summarise(first, 100, 100)
    for each in one.results:
        assert each.bounds[0] < 0.52
        assert each.auc.p > 0.02


def test_one_federations_fault_stops_no_other(tmp_path, pictures):
    lines = []
    study = small({"scheme": "fedma"}, "local")
    assert train_missing(study, tmp_path, log=lines.append) == 4
    rows = federations_in(tmp_path / LEDGER)
    assert {row.status for row in rows if row.name == "local"} == {"done"}
    assert all("fedma can't treat network 'cnn'" in row.error for row in rows if row.name == "fedma")
    assert len(missing(study, rows)) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schemes": ["ridge"]}, "`ridge` can't be attacked like this: sites send sums"),
        ({"schemes": ["fedavg", "fedavg"]}, "two schemes are called 'fedavg'; give each its own `name`"),
        ({"federations": 2}, "federations is 2"),
        ({"sites": 2}, "unknown key 'sites'"),
        ({"schemes": [{"scheme": "fedct", "policy": {"clip": 1}}]}, "the policy of `fedct`: updates must be changed"),
        ({"schemes": [{"scheme": "fedavg", "policy": {"noise": 1}}]}, "noise without clip"),
    ],
)
def test_a_plan_that_could_not_run_is_refused_before_anything_does(changes, said):
    with pytest.raises(Refused, match=said.replace("`", "`")):
        study_of(CHOICES | {"schemes": ["fedavg"]} | changes, "the test's plan")


def test_rows_of_other_halves_are_not_compared():
    rows = attacked(small("fedavg")) + attacked(small("local", seed=2))
    with pytest.raises(Refused, match="different halves"):
        summarise(rows, 10, 10)
