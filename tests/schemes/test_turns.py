"""What is true of taking turns alone."""

from collections import Counter

import pytest
import torch

from brainct.core.scheme import Report, Task
from brainct.core.weights import nbytes, sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes._codes import BLOCK, CODES, LEVELS, SCALES, decoded, encoded, flat, packed, shaped
from brainct.schemes.turns import turns
from tests.conftest import first_weights, seeded_model, tiny_learner, tiny_plan

SITES = ["site-1", "site-2", "site-3"]
COUNTS = {"site-1": 5, "site-2": 10, "site-3": 5}


def started(scheme, rounds=8):
    plan = tiny_plan("turns", rounds=rounds)
    return scheme.start(model_of(plan.network, plan.seed, rounds), SITES, 3)


def knowing(scheme, counts):
    """The memory once each site has said how many scans it has."""
    return {**started(scheme), "scans": counts}


def asked(scheme, memory, rounds, sites=SITES):
    return [list(scheme.assign(memory, round, sites)) for round in rounds]


def played(scheme, rounds, choices=None):
    """The memory after each round, with the gradients that the round's sites found where the server's model was."""
    plan = tiny_plan("turns", rounds=rounds, fit={"batch_size": 4, **(choices or {})})
    memory = scheme.start(model_of(plan.network, plan.seed, rounds), SITES, 3)
    for number in range(rounds):
        reports, gradients = {}, []
        for site, task in scheme.assign(memory, number, SITES).items():
            learner = tiny_learner(plan, site, number, scans=COUNTS[site])
            gradients.append(learner.gradient(scheme.model(memory), batch=True).weights)
            reports[site], _ = scheme.reply(task, tiny_learner(plan, site, number, scans=COUNTS[site]), {})
        memory = scheme.combine(memory, number, reports)
        yield memory, gradients


@pytest.mark.parametrize("together", [1, 2])
def test_without_codes_it_is_torchs_adam_on_the_gradients_of_the_turns(together):
    scheme = turns(0.02, decay="constant", together=together, coded=False)
    kept = {key: torch.nn.Parameter(value.double()) for key, value in first_weights(tiny_plan("turns")).items()}
    optimiser = torch.optim.Adam(kept.values(), lr=0.02)
    for memory, gradients in played(scheme, 7):
        for key, value in kept.items():
            value.grad = torch.stack([one[key].double() for one in gradients]).mean(0)
        optimiser.step()
        for key, value in scheme.model(memory).items():
            torch.testing.assert_close(value.double(), kept[key].detach(), rtol=0, atol=2e-6)
    assert max((value - first_weights(tiny_plan("turns"))[key]).abs().max() for key, value in kept.items()) > 0.05


def test_cosine_decay_shortens_the_steps_to_almost_nothing():
    lengths = []
    scheme = turns(0.02, coded=False)
    before = started(scheme, 8)["exact"]
    for memory, _ in played(scheme, 8):
        lengths.append((memory["exact"] - before).abs().median().item())
        before = memory["exact"]
    assert lengths[0] == pytest.approx(0.02, rel=1e-3), "Adam's first step is the rate, whatever the gradient"
    assert lengths[-1] < 0.1 * lengths[0]


def test_a_message_has_little_more_than_a_byte_a_number():
    scheme, model = turns(), seeded_model(tiny_plan())
    ((site, task),) = scheme.assign(scheme.start(model, SITES, 0), 0, SITES).items()
    report, _ = scheme.reply(task, tiny_learner(tiny_plan(), site), {})
    for sent in (task.weights, report.weights):
        count = len(flat(model.weights))
        assert nbytes(sent) == count + 4 * -(-count // BLOCK)
        assert nbytes(sent) < 0.27 * nbytes(model.weights)


@pytest.mark.parametrize("count", [1, BLOCK, BLOCK + 1, 1000])
def test_a_number_moves_by_half_a_step_of_its_block_at_most(count):
    vector = torch.randn(count, generator=torch.Generator().manual_seed(count)) * torch.logspace(-6, 3, count)
    codes, scales = encoded(vector)
    back = decoded(codes, scales)
    assert codes.dtype == torch.int8
    assert codes.abs().max() == LEVELS
    steps = scales.repeat_interleave(BLOCK)[:count]
    assert ((back - vector).abs() <= steps * 0.5001).all()
    assert torch.equal(encoded(back)[0], codes), "what was rounded stays as it is"


def test_a_block_of_zeros_stays_zero():
    assert torch.equal(decoded(*encoded(torch.zeros(300))), torch.zeros(300))


def test_flat_and_shaped_are_each_others_inverse():
    weights = {"b": torch.randn(3, 2), "a": torch.randn(4), "count": torch.arange(2)}
    back = shaped(flat(weights), weights)
    assert back.keys() == {"a", "b"}
    assert all(torch.equal(back[key], weights[key]) for key in back)
    assert torch.equal(flat(weights)[:4], weights["a"])


def test_a_site_finds_its_gradient_where_the_rounding_of_the_servers_model_is():
    scheme, seen = turns(), []
    memory = started(scheme)
    ((site, task),) = scheme.assign(memory, 0, SITES).items()
    learner = tiny_learner(tiny_plan("turns"), site)
    real = learner.gradient
    learner.gradient = lambda weights, **how: seen.append(weights) or real(weights, **how)
    scheme.reply(task, learner, {})
    assert torch.equal(flat(seen[0]), decoded(*encoded(memory["exact"].float())))
    assert not torch.equal(flat(seen[0]), memory["exact"].float())
    assert torch.equal(flat(scheme.model(memory)), memory["exact"].float()), "the delivered model is not rounded"


def test_each_site_has_one_turn_in_a_cycle_and_the_order_changes():
    cycles = [asked(turns(), started(turns()), range(at, at + 3)) for at in range(0, 60, 3)]
    assert all(sorted(site for (site,) in cycle) == SITES for cycle in cycles)
    assert len({tuple(site for (site,) in cycle) for cycle in cycles}) == 6, "of three sites there are six orders"
    assert cycles[0] == asked(turns(), started(turns()), range(3)), "the seed alone decides"


@pytest.mark.parametrize(
    ("scans", "wanted"),
    [
        ({"site-1": 5, "site-2": 10, "site-3": 7}, {"site-1": 1, "site-2": 2, "site-3": 1}),
        ({"site-1": 1, "site-2": 1000, "site-3": 2}, {"site-1": 1, "site-2": 64, "site-3": 2}),
        ({"site-1": 0, "site-2": 1000, "site-3": 2}, {"site-1": 1, "site-2": 1, "site-3": 1}),
    ],
)
def test_a_site_has_turns_in_proportion_to_its_scans_once_all_are_known(scans, wanted):
    length = sum(wanted.values())
    found = Counter(site for (site,) in asked(turns(), knowing(turns(), scans), range(length, 2 * length)))
    assert found == wanted


def test_together_asks_so_many_sites_and_leaves_none_out():
    rounds = asked(turns(together=2), started(turns(together=2)), range(4))
    assert [len(sites) for sites in rounds] == [2, 1, 2, 1]
    assert sorted(rounds[0] + rounds[1]) == SITES


def test_a_site_that_is_away_is_not_asked():
    rounds = asked(turns(), started(turns()), range(6), sites=["site-1", "site-3"])
    assert Counter(site for (site,) in rounds) == {"site-1": 3, "site-3": 3}


def test_a_site_says_how_many_scans_it_has_and_not_how_large_its_batch_is():
    memory, _ = list(played(turns(), 3))[-1]
    assert memory["scans"] == COUNTS


def test_a_round_without_an_answer_changes_nothing():
    memory = started(turns())
    assert turns().combine(memory, 0, {}) is memory


def stepped(scheme, memory, factors):
    """The memory after one round each in which a site sends a gradient of ones, so many times as long."""
    for number, (site, factor) in enumerate(factors):
        sent = {key: torch.full_like(value, factor) for key, value in first_weights(tiny_plan("turns")).items()}
        report = Report(packed(flat(sent), coded=True), 5)
        memory = scheme.combine(memory, number, {site: report})
    return memory


HEARD = [("site-1", 1), ("site-2", 1), ("site-3", 1)]


@pytest.mark.parametrize(("limit", "wanted"), [(None, 1e4), (3, 3), (0.5, 0.5)])
def test_a_gradient_counts_for_no_longer_than_the_limit_times_the_median_of_the_sites(limit, wanted):
    scheme = turns(decay="constant", limit=limit)
    before = {**stepped(turns(), started(scheme), HEARD), "first": torch.tensor(0.0)}
    after = stepped(scheme, before, [("site-2", 1e4)])
    torch.testing.assert_close(after["first"] / 0.1, torch.full_like(after["exact"], wanted), rtol=1e-5, atol=0)
    again = stepped(scheme, after, [("site-2", 1e4)])
    torch.testing.assert_close(again["first"], 1.9 * after["first"], rtol=1e-9, atol=0)


def test_without_a_limit_one_false_gradient_stops_all_later_steps_and_with_one_it_does_not():
    moved = {}
    for limit in (None, 3):
        scheme = turns(0.01, decay="constant", limit=limit)
        lied = stepped(scheme, started(scheme), [*HEARD, ("site-2", -1e4), *HEARD * 10])
        moved[limit] = (stepped(scheme, lied, HEARD)["exact"] - lied["exact"]).abs().max().item()
    assert moved[None] < 0.001, "three steps at a rate of 0.01"
    assert moved[3] > 0.01


def test_with_a_limit_no_step_is_taken_until_more_than_half_of_the_sites_have_sent_a_gradient():
    scheme = turns(limit=3)
    first = stepped(scheme, started(scheme), [("site-3", 1e4), ("site-3", 1e4)])
    assert torch.equal(first["exact"], started(scheme)["exact"])
    assert first["steps"] == 0
    assert first["scans"]["site-3"] == 5
    second = stepped(scheme, first, [("site-1", 1)])
    assert second["steps"] == 1
    assert second["first"].max().item() == pytest.approx(0.1)
    third = stepped(scheme, {**second, "first": torch.tensor(0.0)}, [("site-3", 1e4)])
    assert third["first"].max().item() == pytest.approx(0.3), "the lower of two lengths is the median"


def test_a_gradient_of_zeros_is_within_any_limit():
    scheme = turns(limit=3)
    after = stepped(scheme, stepped(scheme, started(scheme), HEARD), [("site-1", 0), ("site-2", 1)])
    assert torch.isfinite(after["exact"]).all()
    assert after["steps"] == 4


def test_a_task_for_another_network_is_refused_at_the_site():
    plan = tiny_plan("turns")
    codes, scales = encoded(torch.zeros(10))
    with pytest.raises(Refused, match="site-1, round 0: the task: tensor turns.codes has shape"):
        turns().reply(Task({CODES: codes, SCALES: scales}), tiny_learner(plan, "site-1"), {})


def test_a_report_that_is_not_coded_as_asked_is_not_like_the_task():
    ((_, task),) = turns().assign(started(turns()), 0, SITES).items()
    wanted = turns().expects(task, Report({}, 1))
    assert wanted[CODES].dtype == torch.int8
    assert wanted.keys() == {CODES, SCALES}


def test_coded_and_exact_runs_differ_but_not_by_much():
    ends = [[memory for memory, _ in played(turns(coded=coded), 6)][-1]["exact"] for coded in (True, False)]
    moved = (ends[1] - started(turns())["exact"]).norm()
    assert 0 < (ends[0] - ends[1]).norm() < 0.5 * moved
    assert sha256(turns().model({**started(turns()), "exact": ends[0]})) != sha256(first_weights(tiny_plan("turns")))


def test_arguments_out_of_range_are_refused():
    with pytest.raises(Refused, match="turns: rate is 0; wanted a finite number above 0"):
        turns(rate=0)
    with pytest.raises(Refused, match="turns: limit is 0; wanted a finite number above 0"):
        turns(limit=0)
    with pytest.raises(Refused, match="turns: together is 0"):
        turns(together=0)
