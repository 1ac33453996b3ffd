"""What is true of dynamic averaging alone."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from brainct.core import serialization
from brainct.core.learner import Fitted, Model
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Task
from brainct.core.weights import nbytes, sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.dynamic import dynamic
from brainct.schemes.fedavg import fedavg
from brainct.schemes.sitenorm import sitenorm
from brainct.schemes.swa import swa
from tests.conftest import seeded_model, tiny_learner, tiny_plan

SITES = [f"site-{number}" for number in range(1, 9)]
FIRST = Model({"w": torch.zeros(500), "steps": torch.tensor(0)})


def learner(step, examples=1):
    """One whose training adds a step to every number."""
    return SimpleNamespace(
        fit=lambda weights: Fitted(
            {"w": weights["w"] + step, "steps": weights["steps"] + 1}, examples, steps=1, rate=1.0, loss=0.5
        )
    )


def play(scheme, rounds, step, *, lost=(), sites=SITES, forget=()):
    """Rounds by hand, with the check of reports; yields (round, tasks, reports, memory, keeps) after each.

    step(site, round): what training adds to each of the 500 numbers. lost: (site, round) whose report does not arrive.
    """
    memory, keeps = scheme.start(FIRST, sites, 5), {site: {} for site in sites}
    for number in range(rounds):
        tasks, reports = scheme.assign(memory, number, sites), {}
        for site, task in sorted(tasks.items()):
            if (site, number) in forget:
                keeps[site] = {}
            task = Task(**serialization.unpack(serialization.pack({"weights": task.weights, "extra": task.extra})))
            report, keeps[site] = scheme.reply(task, learner(step(site, number)), keeps[site])
            check_report(report, tasks[site], scheme, site)
            if (site, number) not in lost:
                reports[site] = report
        memory = serialization.unpack(serialization.pack(scheme.combine(memory, number, reports)))
        yield number, tasks, reports, memory, dict(keeps)


def traffic(tasks, reports):
    down = sum(serialization.size({"weights": task.weights, "extra": task.extra}) for task in tasks.values())
    return down + sum(serialization.size(vars(report)) for report in reports.values())


def models(memory, keeps):
    """The model that each site goes on from: what the server has for it, else what it keeps."""
    return {
        site: (memory["news"][site]["weights"] if site in memory["news"] else client_state["model"])["w"].double()
        for site, client_state in keeps.items()
    }


def divergence(found):
    stack = torch.stack(list(found.values()))
    return float((stack - stack.mean(0)).square().sum(1).mean())


def uneven(site, number):
    """Sites that drift at different speeds, in changing directions."""
    return 0.01 * int(site[-1]) * (1 if (number + int(site[-1])) % 3 else -1)


ABSOLUTE = {"relative": False, "sync_every": None}


def test_a_round_without_a_violation_costs_no_model_traffic_and_says_how_far_each_site_is():
    rounds = list(play(dynamic(1e9, **ABSOLUTE), 4, uneven))
    for number, tasks, reports, memory, _ in rounds[1:]:
        assert traffic(tasks, reports) < nbytes(FIRST.weights), "eight sites together send less than one model"
        assert not any(task.weights for task in tasks.values())
        assert sha256(memory["reference"]) == sha256(FIRST.weights)
        gap = 500 * sum(uneven("site-3", earlier) for earlier in range(number + 1)) ** 2
        assert reports["site-3"].metrics["distance"] == pytest.approx(gap, rel=1e-4)
    sent, received = traffic(*rounds[0][1:3]), 8 * nbytes(FIRST.weights)
    assert received < sent < received + 8 * 300, "the first model goes out once and nothing comes back"


def test_fewer_bytes_travel_than_with_periodic_averaging():
    spent = {
        delta: sum(traffic(tasks, reports) for _, tasks, reports, _, _ in play(dynamic(delta, **ABSOLUTE), 12, uneven))
        for delta in (0.0, 1.0, 5.0)
    }
    assert spent[5.0] < spent[1.0] < 0.7 * spent[0.0]


@pytest.mark.parametrize("lost", [set(), {("site-2", 1)}, {("site-1", 0), ("site-3", 2)}])
@pytest.mark.parametrize("how", [{"delta": 0.0}, {"delta": 0.0, **ABSOLUTE}, {"delta": 7.0, "sync_every": 1}])
def test_without_a_delta_or_with_a_period_of_one_it_is_fedavg_with_equal_weights_to_the_bit(how, lost):
    plan, sites = tiny_plan(), SITES[:3]
    hashes = []
    for scheme in (dynamic(**how), fedavg(weight_by="equal")):
        memory, keeps = (
            scheme.start(model_of(plan.network, plan.seed, plan.rounds), sites, 5),
            {site: {} for site in sites},
        )
        for number in range(3):
            tasks, reports = scheme.assign(memory, number, sites), {}
            for count, site in enumerate(sites, 5):
                site_learner = tiny_learner(plan, site, number, scans=count)
                report, keeps[site] = scheme.reply(tasks[site], site_learner, keeps[site])
                if (site, number) not in lost:
                    reports[site] = report
            memory = scheme.combine(memory, number, reports)
        model = scheme.model(memory)
        hashes.append([sha256(model), *(sha256(scheme.personalise(Task(model), None, keeps[site])) for site in sites)])
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("delta", [0.05, 0.5, 1.0, 3.0])
def test_while_no_condition_is_violated_the_divergence_is_at_most_delta(delta):
    checked = balanced = 0
    for _, tasks, reports, memory, keeps in play(dynamic(delta, **ABSOLUTE), 40, uneven):
        for site, report in reports.items():
            if tasks[site].extra["do"] == "train":
                assert bool(report.weights) == (report.metrics["distance"] > delta)
        if not memory["asked"]:
            checked += 1
            balanced += any(not news["reference"] for news in memory["news"].values())
            assert divergence(models(memory, keeps)) <= delta * (1 + 1e-6)
    assert checked >= 10
    assert balanced or delta < 3.0


def test_balancing_changes_no_mean_over_all_sites_and_not_the_reference():
    """Two sites that move in opposite ways balance each other at the reference; the others are left alone."""
    steps = {"site-1": 0.5, "site-2": -0.5}
    rounds = list(play(dynamic(1.0, **ABSOLUTE), 2, lambda site, number: steps.get(site, 0.01)))
    _, _, reports, memory, keeps = rounds[0]
    assert [site for site, report in reports.items() if report.weights] == ["site-1", "site-2"]
    assert sha256(memory["reference"]) == sha256(FIRST.weights)
    assert memory["asked"] == []
    before = torch.stack([client_state["model"]["w"].double() for client_state in keeps.values()]).mean(0)
    torch.testing.assert_close(torch.stack(list(models(memory, keeps).values())).mean(0), before)
    _, tasks, _, _, keeps = rounds[1]
    assert [site for site, task in tasks.items() if task.weights] == ["site-1", "site-2"]
    assert keeps["site-1"]["model"]["w"][0].item() == pytest.approx(0.5), "half a step from the balanced zero"
    assert keeps["site-3"]["model"]["w"][0].item() == pytest.approx(0.02)


def test_asking_is_a_round_of_its_own_in_which_nobody_trains():
    """One of eight violates: two more are asked, then all; their mean is the new reference, which all get."""
    rounds = list(play(dynamic(1.0, **ABSOLUTE), 3, lambda site, number: 2.0 if site == "site-4" else 0.04))
    asked = rounds[0][3]["asked"]
    assert len(asked) == 2
    assert "site-4" not in asked
    _, tasks, reports, memory, keeps = rounds[1]
    assert {site for site, report in reports.items() if report.weights} == set(asked)
    assert {site: task.extra["do"] for site, task in tasks.items()} == {
        site: "send" if site in asked else "wait" for site in SITES
    }
    assert all(keeps[site]["model"]["steps"] == 1 for site in SITES)
    assert set(memory["asked"]) == set(SITES) - {"site-4", *asked}
    _, _, _, memory, keeps = rounds[2]
    assert memory["reference"]["w"][0].item() == pytest.approx((2.0 + 7 * 0.04) / 8)
    assert all(memory["news"][site]["reference"] for site in SITES)


def test_who_is_asked_is_drawn_at_random_from_the_servers_seed():
    scheme, reports = dynamic(1.0, **ABSOLUTE), {site: Report({}, 1) for site in SITES}
    reports["site-4"] = Report({"w": torch.full((500,), 2.0), "steps": torch.tensor(1)}, 1)
    drawn = [scheme.combine(scheme.start(FIRST, SITES, seed), 0, reports)["asked"] for seed in (*range(40), 0)]
    assert {site for asked in drawn for site in asked} == set(SITES) - {"site-4"}
    assert drawn[0] == drawn[-1]


def test_a_site_goes_on_from_its_own_model_until_it_is_sent_another():
    rounds = list(play(dynamic(1e9, relative=False, sync_every=3), 5, uneven))
    for site in SITES:
        for number, (_, tasks, _, _, keeps) in enumerate(rounds):
            assert bool(tasks[site].weights) == (number in (0, 3))
            assert (keeps[site] == {}) == (number == 2)
        assert rounds[1][4][site]["model"]["w"][0].item() == pytest.approx(uneven(site, 0) + uneven(site, 1), abs=1e-6)


def test_every_sync_every_rounds_all_synchronise_and_then_use_what_is_delivered():
    scheme = dynamic(1e9, relative=False, sync_every=3)
    for number, _, _, memory, keeps in play(scheme, 6, uneven):
        model = scheme.model(memory)
        if number % 3 < 2:
            assert sha256(scheme.personalise(Task(model), None, keeps["site-5"])) == sha256(keeps["site-5"]["model"])
        else:
            steps = [sum(uneven(site, earlier) for earlier in range(number + 1)) for site in SITES]
            assert model["w"][0].item() == pytest.approx(sum(steps) / 8, abs=1e-6)
            assert sha256(scheme.personalise(Task(model), None, keeps["site-5"])) == sha256(model)


def test_the_period_comes_before_a_balancing_that_is_under_way():
    rounds = list(play(dynamic(1.0, relative=False, sync_every=2), 2, lambda site, number: 2.0 * (site == "site-4")))
    assert rounds[0][3]["asked"]
    assert {task.extra["do"] for task in rounds[1][1].values()} == {"synchronise"}
    assert rounds[1][3]["asked"] == []
    assert rounds[1][3]["reference"]["w"][0].item() == pytest.approx(4.0 / 8)


def test_delta_is_in_units_of_how_far_an_average_site_moves_in_round_0():
    rounds = list(play(dynamic(2.5, sync_every=None), 3, lambda site, number: 0.01 * int(site[-1])))
    wanted = 2.5 * sum(500 * (0.01 * number) ** 2 for number in range(1, 9)) / 8
    assert rounds[0][3]["delta"] == rounds[2][3]["delta"] == pytest.approx(wanted, rel=1e-5)
    assert rounds[0][3]["reference"]["w"][0].item() == pytest.approx(0.045, rel=1e-5)
    assert rounds[1][1]["site-1"].extra["delta"] == rounds[0][3]["delta"]


def test_a_lost_site_is_sent_again_what_it_was_to_get_and_is_not_asked_to_balance():
    lost = {("site-2", 1), ("site-2", 2)}
    rounds = list(play(dynamic(1.0, relative=False, sync_every=None), 8, lambda site, number: 0.06, lost=lost))
    sent = [number for number, tasks, _, _, _ in rounds if tasks["site-2"].weights]
    synchronised = [number for number, _, _, memory, _ in rounds if len(memory["news"]) == 8]
    assert all("site-2" not in memory["asked"] for _, _, _, memory, _ in rounds[:2])
    assert synchronised
    assert sent == [0, *(number + 1 for number in synchronised if number < 7)]
    first = {("site-2", 0)}
    rounds = list(play(dynamic(1e9, **ABSOLUTE), 3, uneven, lost=first))
    assert [bool(tasks["site-2"].weights) for _, tasks, _, _, _ in rounds] == [True, True, False]


def test_a_site_that_lost_what_it_kept_says_so_and_comes_back_with_the_next_average():
    with pytest.raises(Refused, match="lost its model of dynamic averaging"):
        list(play(dynamic(1e9, **ABSOLUTE), 2, uneven, forget={("site-1", 1)}))
    list(play(dynamic(1e9, relative=False, sync_every=1), 2, uneven, forget={("site-1", 1)}))


def test_training_that_diverged_is_refused_and_not_kept():
    with pytest.raises(Refused, match="after local training, tensor w holds"):
        list(play(dynamic(), 1, lambda site, number: float("nan")))


def test_the_check_of_a_report_lets_nothing_in_that_was_not_asked_for_and_nothing_less_than_was():
    scheme = dynamic(1.0, **ABSOLUTE)
    rounds = list(play(scheme, 2, lambda site, number: 2.0 if site == "site-4" else 0.04))
    tasks, asked = rounds[1][1], rounds[0][3]["asked"]
    waits = next(site for site in SITES if site not in asked)
    for site, weights, words in (
        (waits, FIRST.weights, "not asked for: steps, w"),
        (asked[0], {}, "missing tensors: steps, w"),
        (asked[0], {**FIRST.weights, "w": torch.zeros(3)}, "has shape"),
        (asked[0], {**FIRST.weights, "w": torch.zeros(500).double()}, "has dtype"),
    ):
        with pytest.raises(Refused, match=f"{site}: .*{words}"):
            check_report(Report(weights, 1), tasks[site], scheme, site)


@pytest.mark.parametrize("arguments", [{"delta": -1.0}, {"delta": float("inf")}, {"sync_every": 0}])
def test_an_argument_out_of_range_is_refused(arguments):
    with pytest.raises(Refused, match="dynamic: .*; wanted"):
        dynamic(**arguments)


@pytest.mark.parametrize("sync_every", [None, 3, 4])
def test_in_the_last_round_all_synchronise_whatever_their_period(sync_every):
    model = replace(FIRST, rounds=5)
    scheme = dynamic(1e9, sync_every=sync_every, relative=False)
    memory = scheme.start(model, SITES, 0)
    for number, last in ((1, False), (4, True)):
        tasks = scheme.assign(memory, number, SITES)
        assert {task.extra["do"] for task in tasks.values()} == {"synchronise" if last else "train"}
    nested = swa(sitenorm(scheme)).start(replace(seeded_model(tiny_plan()), rounds=6), SITES, 0)
    assert nested["inner"]["inner"]["last"] == 4
