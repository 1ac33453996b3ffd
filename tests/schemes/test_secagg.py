"""What is true of secure aggregation alone: the inner scheme's model, of which the server sees sums only."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from brainct import plain
from brainct.desk import Desk
from brainct.errors import Refused
from brainct.identity import Identity
from brainct.masks import public_key
from brainct.privacy import objection, policy_of
from brainct.record import Record
from brainct.rounds import Run
from brainct.scheme import Report, Task, check_report
from brainct.schemes import SCHEMES, about, build
from brainct.schemes._keys import KEYS
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedexp import fedexp
from brainct.schemes.finetune import finetune
from brainct.schemes.local import local
from brainct.schemes.ridge import ridge
from brainct.schemes.secagg import ROUND, secagg
from brainct.schemes.sitenorm import sitenorm
from brainct.schemes.swa import swa
from brainct.weights import sha256
from tests.conftest import tiny_learner, tiny_model, tiny_plan, tiny_scans
from tests.hostile import ATTACKS
from tests.kit import Authority, hospital_kit

SITES = ["site-1", "site-2", "site-3", "site-4"]
COUNTS = {"site-1": 4, "site-2": 7, "site-3": 10, "site-4": 5}
INNER = sorted(name for name, make in SCHEMES.items() if make().coefficient is not None and not make().sealed)


def run(scheme, plan, rounds, first=0, lost=(), change=lambda site, number, report: report, sites=SITES):
    """Rounds by hand; `first` is the number that learners get in round 0; memory, keeps, and all tasks and reports."""
    memory, keeps, seen = scheme.start(tiny_model(plan), sites, 3), {site: {} for site in sites}, []
    for number in range(rounds):
        tasks, reports = dict(sorted(scheme.assign(memory, number, sites).items())), {}
        for site, task in tasks.items():
            if (site, number) not in lost:
                learner = tiny_learner(plan, site, number + first, scans=COUNTS[site])
                report, keeps[site] = scheme.reply(task, learner, keeps[site])
                reports[site] = change(site, number, report)
                check_report(reports[site], task, scheme, site)
        memory = scheme.combine(memory, number, reports)
        seen.append((tasks, reports))
    return memory, keeps, seen


@pytest.mark.parametrize("name", INNER)
def test_every_scheme_that_needs_sums_alone_has_the_model_that_it_has_without_masks(name):
    plan, inner = tiny_plan(name), build(name, {})
    plainly, kept, _ = run(inner, plan, 3, first=1)
    securely, kept_too, _ = run(secagg(inner), tiny_plan(name, rounds=4), 4)
    outcome, other = inner.model(plainly), secagg(inner).model(securely)
    assert any(not torch.equal(outcome[key], value) for key, value in tiny_model(plan).weights.items())
    for key, value in outcome.items():
        torch.testing.assert_close(other[key], value, atol=2e-5, rtol=1e-4)
    for site, keep in kept.items():
        assert set(kept_too[site]) == {"inner", ROUND}
        assert set(kept_too[site]["inner"]) == set(keep)


def test_the_server_sees_noise_and_two_rounds_of_a_site_that_stands_still_have_nothing_in_common():
    _, _, seen = run(secagg(), tiny_plan(fit={"rate": 1e-12}), 3)
    sent = [
        np.concatenate([x.numpy().ravel() for x in seen[number][1]["site-2"].weights.values()]) for number in (1, 2)
    ]
    assert not (sent[0] == sent[1]).any()
    for words in (*sent, sent[1] - sent[0]):
        assert stats.chisquare(np.bincount(words.view(np.uint8), minlength=256)).pvalue > 1e-3


def test_what_travels_is_a_key_then_eight_bytes_a_number():
    plan = tiny_plan()
    _, _, seen = run(secagg(), plan, 2)
    for task, report in zip(seen[0][0].values(), seen[0][1].values(), strict=True):
        assert (task, report.weights) == (Task({}), {})
        assert (len(report.extra[KEYS]["key"]), report.extra[KEYS]["proof"]) == (64, "")
    numbers = sum(value.numel() for value in tiny_model(plan).weights.values())
    for report in seen[1][1].values():
        assert sum(value.numel() * value.element_size() for value in report.weights.values()) == 8 * numbers
        assert report.extra == {}


def test_a_lost_site_costs_the_round_and_comes_back_after_its_key():
    plan, scheme = tiny_plan(), secagg()
    lost = {("site-2", 2)}
    memory, _, seen = run(scheme, plan, 5, lost=lost)
    asked = [sorted(task.extra.get(KEYS, {})) for task in (tasks["site-2"] for tasks, _ in seen)]
    assert asked == [[], SITES, SITES, [], SITES]
    assert sorted(seen[3][0]["site-1"].extra[KEYS]) == ["site-1", "site-3", "site-4"]
    models = [scheme.model(run(scheme, plan, rounds, lost=lost)[0]) for rounds in (2, 3, 4)]
    assert sha256(models[0]) == sha256(models[1]) != sha256(models[2])

    task = Task(models[1])
    reports = {site: fedavg().reply(task, tiny_learner(plan, site, 3, scans=COUNTS[site]), {})[0] for site in SITES}
    del reports["site-2"]
    without = fedavg().combine({"weights": models[1], "seed": 3}, 3, reports)["weights"]
    for key, value in without.items():
        torch.testing.assert_close(models[2][key], value, atol=1e-6, rtol=1e-6)
    assert memory["summed"] == 3


def test_fewer_than_three_are_never_summed():
    for least in (2, 0, 2.5):
        with pytest.raises(Refused, match="secagg: least is .*; wanted a whole number of at least 3"):
            secagg(least=least)
    with pytest.raises(Refused, match="the run has 3 sites and 3 rounds; wanted at least 4 sites"):
        secagg(least=4).start(tiny_model(tiny_plan()), SITES[:3], 0)
    with pytest.raises(Refused, match="fedavg asks 2 of 4 sites; wanted at least 3 in a sum"):
        run(secagg(fedavg(fraction=0.5)), tiny_plan(), 2)
    assert [secagg().quorum(asked) for asked in (1, 3, 4, 5, 9)] == [1, 3, 3, 3, 5]
    two_left = {("site-3", 1), ("site-4", 1)}
    _, _, seen = run(secagg(), tiny_plan(rounds=9), 3, lost=two_left)
    assert all(KEYS not in task.extra for task in seen[2][0].values())


def test_a_site_sends_nothing_for_a_list_of_keys_that_is_not_what_was_agreed():
    plan, scheme = tiny_plan(), secagg()
    task = run(scheme, plan, 2)[2][1][0]["site-1"]
    learner, keys = tiny_learner(plan, "site-1", 1), task.extra[KEYS]
    own, other = keys["site-1"], keys["site-2"]
    for bad in (
        {**keys, "site-1": other},
        {**keys, "site-2": own},
        {site: key for site, key in keys.items() if site != "site-1"},
        {"site-1": own, "site-2": other},
        {"site-1": own, "site-2": other, "site-3": other, "site-4": other},
        {**keys, "site-5": other},
    ):
        with pytest.raises(Refused, match="the server's list of keys has .*; it sends nothing"):
            scheme.reply(replace(task, extra={**task.extra, KEYS: bad}), learner, {})


def test_a_site_whose_training_diverged_says_so_before_it_is_masked():
    plan, scheme = tiny_plan(fit={"rate": 1e30}), secagg()
    with pytest.raises(Refused, match="its own update: tensor .* holds"):
        run(scheme, plan, 2)


def test_a_sum_that_no_honest_sites_could_have_ends_the_run():
    def wrongly(site, number, report):
        moved = {key: value + 2**55 for key, value in report.weights.items()}
        return replace(report, weights=moved) if (site, number) == ("site-3", 1) else report

    with pytest.raises(
        Refused, match="the sum over 4 sites, of which one masked wrongly: tensor .* wanted nothing above"
    ):
        run(secagg(), tiny_plan(), 2, change=wrongly)


def said(key="a" * 64, proof=""):
    return {KEYS: {"key": key, "proof": proof}}


@pytest.mark.parametrize(
    "extra",
    [{}, said("a" * 63), said("G" * 64), said(5), said(proof=5), said(proof="x" * 8193), {KEYS: 5}, {KEYS: "a" * 64}],
)
def test_a_report_without_the_key_that_was_asked_for_is_refused(extra):
    with pytest.raises(Refused, match="site-1: sent its update for its key, .*, or a key that is not 64 hex digits"):
        check_report(Report({}, 1, extra=extra), Task({}), secagg(), "site-1")


def test_a_key_in_place_of_an_update_is_refused():
    _, _, seen = run(secagg(), tiny_plan(), 2)
    report = replace(seen[1][1]["site-1"], extra=seen[0][1]["site-1"].extra)
    with pytest.raises(Refused, match="site-1: sent its update for its key, its key for its update"):
        check_report(report, seen[1][0]["site-1"], secagg(), "site-1")


def test_a_run_in_which_nothing_was_ever_summed_has_no_model():
    memory, _, _ = run(secagg(), tiny_plan(rounds=3), 3, lost={("site-1", 1), ("site-2", 2)})
    with pytest.raises(Refused, match="in no round did all sites answer that were asked; there is no trained model"):
        secagg().model(memory)
    with pytest.raises(Refused, match="4 sites and 1 rounds; wanted at least 3 sites, and a round for their keys"):
        secagg().start(tiny_model(tiny_plan(rounds=1)), SITES, 0)


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (fedexp(), "fedexp needs more than a sum"),
        (sitenorm(fedexp()), "sitenorm needs more than a sum"),
        (local(), "local shows nobody"),
        (secagg(), "secagg shows nobody"),
        ("fedavg", "inner is 'fedavg'"),
    ],
)
def test_what_can_not_be_summed_is_refused(inner, words):
    with pytest.raises(Refused, match=f"secagg: {words}"):
        secagg(inner)


@pytest.mark.parametrize(
    ("scheme", "allowed"),
    [
        (secagg(), True),
        (secagg(sitenorm()), True),
        (swa(secagg(finetune())), True),
        (local(), True),
        (sitenorm(secagg()), False),
        (fedavg(), False),
    ],
)
def test_a_site_that_demands_secure_aggregation_takes_part_where_every_sum_is_masked(scheme, allowed):
    said = objection(policy_of({"secure_aggregation": True}), scheme)
    assert said is None if allowed else 'take the scheme "secagg"' in said


def test_a_scheme_has_a_coefficient_if_its_row_says_that_the_sum_is_enough():
    for name, make in SCHEMES.items():
        assert (make().coefficient is None) == bool(about(name).no_secure_aggregation)


class Carrying:
    """Carries orders to real desks, each with a secret of its own, and notes what they send.

    kits: where the sites' kits lie, if they have any. change: what a server makes of a site's order, or of its answer.
    """

    def __init__(self, folder, kits=None, change=lambda site, what: what):
        scans = {site: tiny_scans(sum(site.encode())) for site in SITES}
        self.desks = {
            site: Desk(
                site,
                folder / site,
                None,
                lambda f, site, *_: scans[site],
                startup=kits / site / "startup" if kits else None,
            )
            for site in SITES
        }
        self.sent, self.change = [], change

    def __call__(self, orders, inbox):
        for site in sorted(orders):
            answer = self.change(site, self.desks[site].answer(self.change(site, orders[site])))
            self.sent += [plain.sha256(answer)] if orders[site]["what"] == "reply" else []
            inbox.accept(site, answer)


def test_sites_draw_other_keys_for_each_run_and_the_model_is_the_same_to_the_bit(tmp_path):
    plan, sent, models = tiny_plan("secagg", rounds=3, evaluate_every=0), [], []
    carrier = Carrying(tmp_path / "keep")
    for number in range(2):
        record = Record(tmp_path / str(number), plan, plan.build(), "test", board=False)
        models.append(sha256(Run(plan, SITES, carrier, record, tell=lambda line: None)()))
        files = sorted((tmp_path / "keep").rglob("*.secret"))
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * len(SITES)
        assert {len(file.read_bytes()) for file in files} == {32}
        sent.append({*carrier.sent, *(file.read_bytes() for file in files)})
        carrier.sent.clear()
    assert models[0] == models[1]
    assert not sent[0] & sent[1]


def test_a_site_that_starts_again_in_a_run_has_the_same_key(tmp_path):
    scans, orders = tiny_scans(1), {"what": "reply", "round": 0, "sites": SITES, "run": "run", "exchange": "round 0"}
    order = {**orders, "plan": tiny_plan("secagg").model_dump(), "task": {"weights": {}, "extra": {}}}
    keys = [Desk("site-1", tmp_path, None, lambda *_: scans).answer(order)["extra"] for _ in range(2)]
    assert keys[0] == keys[1]
    assert all(
        first != second for first, second in itertools.pairwise([keys[0], *_other_sites(tmp_path, order, scans)])
    )


def _other_sites(folder, order, scans):
    return [Desk(site, folder, None, lambda *_: scans).answer(order)["extra"] for site in ("site-2", "site-3")]


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    """The sites' kits, and the server's, of one project."""
    folder, authority = tmp_path_factory.mktemp("kits"), Authority()
    for name in (*SITES, "server"):
        hospital_kit(folder / name, authority, name=name)
    return folder


def federated(folder, carrier, rounds=3):
    plan = tiny_plan("secagg", rounds=rounds, evaluate_every=0)
    record = Record(folder, plan, plan.build(), "test", board=False)
    return sha256(Run(plan, SITES, carrier, record, tell=lambda line: None)()), record.content


def test_with_the_hospitals_certificates_the_model_is_the_same_to_the_bit(tmp_path, kits):
    signed, record = federated(tmp_path / "1", Carrying(tmp_path / "keep", kits))
    assert signed == federated(tmp_path / "2", Carrying(tmp_path / "other"))[0]
    assert not any(row["lost"] for row in record["rounds"])


class Dishonest:
    """A server that gives out a key of its own, or of its own making, in place of one site's."""

    def __init__(self, victim, signer):
        self.victim, self.signer = victim, signer

    def __call__(self, site, what):
        keys = what.get("task", {}).get("extra", {}).get(KEYS)
        if not keys or site == self.victim:
            return what
        key = public_key(b"the server's own".ljust(32))
        proof = self.signer.vouch(json.dumps(["brainct", self.victim, KEYS, key])) if self.signer else ""
        extra = {**what["task"]["extra"], KEYS: {**keys, self.victim: {"key": key, "proof": proof}}}
        return {**what, "task": {**what["task"], "extra": extra}}


def test_a_server_that_hands_out_keys_of_its_own_gets_nothing(tmp_path, kits):
    for number, signer in enumerate([None, *(Identity(kits / name / "startup") for name in ("server", "site-4"))]):
        carrier = Carrying(tmp_path / f"keep{number}", kits, Dishonest("site-2", signer))
        with pytest.raises(Refused, match="round 1 can't be closed") as refusal:
            federated(tmp_path / str(number), carrier)
        assert "site-1: " + ATTACKS["key of the server's"].line in str(refusal.value)
        assert str(refusal.value).count("it sends nothing") == 3


def test_an_honest_key_of_another_site_or_without_a_proof_is_not_believed(tmp_path, kits):
    def swapped(site, what):
        keys = what.get("task", {}).get("extra", {}).get(KEYS)
        if not keys:
            return what
        names = dict(zip(SITES, [SITES[1], SITES[0], *SITES[2:]], strict=True))
        extra = {**what["task"]["extra"], KEYS: {names[name]: key for name, key in keys.items()}}
        return {**what, "task": {**what["task"], "extra": extra}}

    with pytest.raises(Refused, match="a key for site-2, but site-2 has not signed it, but site-1|has not signed it"):
        federated(tmp_path / "1", Carrying(tmp_path / "keep", kits, swapped))


def test_a_site_masks_one_update_a_round_and_the_same_one_when_it_is_asked_again(tmp_path):
    """Of two updates under one mask the server could tell the difference."""
    refused = []

    def asked_again(site, what):
        if site == "site-1" and what.get("round") == 1 and "task" in what:
            desk = carrier.desks[site]
            assert plain.sha256(desk.answer(what)) == plain.sha256(desk.answer(what))
            moved = {key: value + 0.1 for key, value in what["task"]["weights"].items()}
            refused.append(desk.answer({**what, "task": {**what["task"], "weights": moved}})["error"])
        return what

    carrier = Carrying(tmp_path / "keep", change=asked_again)
    assert federated(tmp_path / "1", carrier)[0] == federated(tmp_path / "2", Carrying(tmp_path / "other"))[0]
    assert refused == [
        "the server asks for round 1, but site-1 keeps what it had after round 1 of this run: the server's state is an "
        "older copy; begin a new run"
    ]


def test_without_a_desk_too_no_round_is_masked_twice():
    plan, scheme = tiny_plan(), secagg()
    task = run(scheme, plan, 2)[2][1][0]["site-1"]
    _, keep = scheme.reply(task, tiny_learner(plan, "site-1", 1), {})
    for round in (0, 1):
        words = ATTACKS["two updates under one mask"].line.replace("for round 1", f"for round {round}")
        with pytest.raises(Refused, match=words):
            scheme.reply(replace(task, extra={**task.extra, ROUND: round}), tiny_learner(plan, "site-1", 1), keep)


@pytest.mark.parametrize("lost", ["site-1", "site-4"])
def test_a_site_that_missed_the_one_exchange_of_ridge_is_left_out_and_never_sums_alone(lost):
    plan, scheme = tiny_plan(), secagg(ridge())
    memory, _, seen = run(scheme, plan, 5, lost={(lost, 1)})
    others = [site for site in SITES if site != lost]
    for tasks, _ in seen[2:]:
        assert all(len(task.extra[KEYS]) >= 3 for task in tasks.values() if KEYS in task.extra)
    alone, _, _ = run(ridge(), plan, 1, first=1, sites=others)
    for key, value in ridge().model(alone).items():
        torch.testing.assert_close(scheme.model(memory)[key], value, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("inner", ["scaffold", "feddyn"])
def test_around_two_wrappers_and_a_scheme_that_keeps_something_a_run_goes_through(inner):
    memory, _, _ = run(secagg(sitenorm(build(inner, {}))), tiny_plan(), 4)
    assert memory["summed"] == 3
