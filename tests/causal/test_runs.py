"""Whole runs of causal discovery: federated against central, lost and lying sites, resume, secure aggregation."""

import numpy as np
import pytest
import torch

from brainct.causal.generator import draw, random_graph
from brainct.core.scheme import Task
from brainct.errors import Refused
from brainct.graphs import orion
from brainct.graphs.environments import Environments
from brainct.graphs.mdl import DescriptionLength
from brainct.graphs.moments import moments_of
from brainct.run.rehearse import rehearse, resume
from tests.causal.tables import SITES, causal_plan, context_of, delivered, opener_of, played, shd

P, ROWS = 5, 300
NAMES = [f"x{at}" for at in range(P)]


def tables(linear=True, changes=0, seed=2, rows=ROWS):
    return draw(random_graph(P, 2.0, seed), [rows] * 4, seed, changes, linear)


def run(plan, data, folder, **choices):
    record = rehearse(plan, SITES, folder, opener=opener_of(data.rows), log=lambda line: None, **choices)
    return delivered(plan, record)


def graph_of(plan, rows):
    return played(plan, rows)[0]["graph"].numpy()


def test_t7_federated_orion_is_the_central_one_bit_by_bit(tmp_path):
    data = tables(linear=False)
    lengths = {site: DescriptionLength(rows).bits for site, rows in zip(SITES, data.rows, strict=True)}
    central = orion.search(P, lengths)
    weights, extra = run(causal_plan("orion", P), data, tmp_path / "out")
    assert np.array_equal(weights["graph"].numpy(), central.graph)
    assert extra["bits"] == pytest.approx(central.bits, abs=1e-6)
    assert central.graph.sum() > 0
    swapped = {site: lengths[other] for site, other in zip(SITES, reversed(SITES), strict=True)}
    turned = orion.search(P, swapped)
    assert np.array_equal(turned.graph, central.graph)
    assert turned.bits == pytest.approx(central.bits, abs=1e-6)


def test_t7_the_running_total_is_the_total_from_nothing():
    lengths = {site: DescriptionLength(rows) for site, rows in zip(SITES, tables(linear=False).rows, strict=True)}
    bits = {site: {} for site in SITES}
    state = empty = orion.start(P, SITES)
    while wanted := (found := orion.advance(state, bits))[1]:
        state = found[0]
        if state.steps:
            from_nothing = orion.total(state, bits) - orion.total(empty, bits)
            assert state.bits == pytest.approx(from_nothing, abs=1e-6)
        for site, families in wanted.items():
            bits[site] |= {one: lengths[site].bits(one) for one in families}
    assert state.steps > 1
    assert found[0].bits < orion.total(empty, bits)


@pytest.mark.parametrize("aggregate", ["sum", "min", "median"])
def test_a_site_lost_in_any_phase_is_as_if_it_never_took_part(aggregate, tmp_path):
    data, plan = tables(), causal_plan("peri", P, arguments={"aggregate": aggregate})
    wanted = graph_of(plan, data.rows[:3])
    for number in (0, 1, 3):
        weights, extra = run(plan, data, tmp_path / str(number), lose=[("site-4", number)])
        assert np.array_equal(weights["graph"].numpy(), wanted)
        assert extra["warnings"] == ["without site-4, lost during the search"]


def test_a_site_lost_to_orion_is_as_if_it_never_took_part(tmp_path):
    data, plan = tables(linear=False), causal_plan("orion", P)
    wanted = graph_of(plan, data.rows[:3])
    for number in (0, 2):
        weights, _ = run(plan, data, tmp_path / str(number), lose=[("site-4", number)])
        assert np.array_equal(weights["graph"].numpy(), wanted)


def test_with_fewer_sites_than_wanted_the_graph_is_incomplete(tmp_path):
    plan = causal_plan("peri", P, arguments={"min_sites": 4})
    _, extra = run(plan, tables(), tmp_path / "out", lose=[("site-4", 1)])
    assert "the search did not end: the graph is incomplete" in extra["warnings"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("scheme", ["peri", "orion"])
def test_a_resumed_run_ends_with_the_same_hash(scheme, tmp_path):
    data, plan = tables(linear=scheme == "peri"), causal_plan(scheme, P)
    calm = rehearse(plan, SITES, tmp_path / "calm", opener=opener_of(data.rows), log=lambda line: None)

    def kill(row):
        if row["round"] == 2:
            raise Killed

    with pytest.raises(Killed):
        rehearse(
            plan, SITES, tmp_path / "out", opener=opener_of(data.rows), log=lambda line: None, on_round_closed=kill
        )
    again = resume(tmp_path / "out", opener=opener_of(data.rows), log=lambda line: None)
    assert again.content["model_sha256"] == calm.content["model_sha256"]


def test_under_secure_aggregation_the_graph_is_the_same_and_the_minimum_is_refused(tmp_path):
    data = tables()
    plain, _ = run(causal_plan("peri", P), data, tmp_path / "plain")
    inner = {"scheme": "peri", "arguments": {}}
    masked, _ = run(causal_plan("secagg", P, arguments={"inner": inner}), data, tmp_path / "masked")
    assert torch.equal(plain["graph"], masked["graph"])
    inner = {"scheme": "peri", "arguments": {"aggregate": "min"}}
    with pytest.raises(Refused, match="peri"):
        causal_plan("secagg", P, arguments={"inner": inner})


@pytest.mark.parametrize("share", ["moments", "regrets"])
def test_peri_environments_finds_who_changed(share, tmp_path):
    data = tables(changes=1, rows=600)
    weights, extra = run(causal_plan("peri_environments", P, arguments={"share": share}), data, tmp_path / "out")
    found = {(int(i), int(k)) for i, k in weights["changed"].nonzero()}
    assert len(found & data.changed) >= 2
    assert len(found - data.changed) <= 1
    assert shd(weights["graph"], data.graph) <= shd(graph_of(causal_plan("peri", P), data.rows), data.graph)
    if share == "moments":
        score = Environments([moments_of(rows) for rows in data.rows])
        assert extra["value"] >= score.total(data.graph) - 1e-6


def test_tiers_orient_what_data_can_not():
    rng = np.random.default_rng(0)
    chain = np.zeros((3, 3))
    chain[0, 1] = chain[1, 2] = 0.8
    rows = [rng.standard_normal((300, 3)) @ np.linalg.inv(np.eye(3) - chain) for _ in SITES]
    graph = lambda **arguments: graph_of(causal_plan("peri", 3, arguments=arguments), rows).tolist()  # noqa: E731
    assert graph() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert graph(tiers=[["x0"], ["x1", "x2"]]) == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert graph(tiers=[["x2"], ["x0", "x1"]]) == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert graph(forbidden=[["x0", "x1"]]) == [[0, 0, 0], [1, 0, 1], [0, 1, 0]]
    with pytest.raises(Refused, match="tiers names age"):
        graph(tiers=[["age"]])


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"p": 101}, "at most 100"),
        ({"scheme": "peri_environments", "arguments": {"share": "regrets", "dp_epsilon": 1.0}}, "needs share moments"),
        ({"scheme": "fedavg"}, "needs|lacks|offer|training"),
        ({"arguments": {"aggregate": "mean"}}, "aggregate is 'mean'"),
    ],
)
def test_what_makes_no_sense_is_refused(choices, words, tmp_path):
    with pytest.raises(Refused, match=words):
        rehearse(causal_plan(**choices), SITES, tmp_path / "out", log=lambda line: None)


def test_a_site_declines_columns_that_the_job_does_not_have():
    plan = causal_plan("peri", P)
    learner = plan.kind.learner(
        plan, opener_of(tables().rows)(None, "site-1", SITES, plan), context_of(plan, "site-1", 0), None
    )
    with pytest.raises(Refused, match="columns that this job does not have"):
        plan.build().reply(Task({}, {"ask": "scores", "families": torch.tensor([[0, 9]])}), learner, {})
