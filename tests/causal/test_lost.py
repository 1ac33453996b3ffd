"""A site is lost in each phase of each search: what is delivered is what the others alone would have delivered."""

import pytest
import torch

from brainct.causal.generator import draw, random_graph
from tests.causal.tables import SITES, causal_plan, played

P = 6
LOST = SITES[-1]
RUNS = {
    "peri": ("peri", {}, {"forward", "backward"}),
    "peri, min": ("peri", {"aggregate": "min", "baseline": "dag"}, {"learn", "forward", "backward"}),
    "peri, median": ("peri", {"aggregate": "median", "outer_loop": 1}, {"learn", "forward", "backward"}),
    "orion": ("orion", {}, {"forward", "flips", "backward"}),
    "regrets": ("peri_environments", {"share": "regrets"}, {"forward", "backward", "own", "grouping"}),
}
"""Scheme, arguments, and the phases in which sites are asked; orientation asks none, it is the server's."""


def tables(linear):
    return draw(random_graph(P, 2.5, 0), [300] * 4, 0, 1, linear).rows


def phase_of(memory):
    """In which phase of a search the server asks."""
    if "peri" not in memory:
        return memory["phase"]
    if memory["peri"]["phase"] != "done":
        return memory["peri"]["phase"]
    return "grouping" if memory["stage"].get("count", 0) else "own"


def rounds_of(plan, rows):
    """Phase -> its last round: most is known to the server by then."""
    seen = []
    played(plan, rows, watch=lambda memory: seen.append(phase_of(memory)))
    return {phase: number for number, phase in enumerate(seen)}


@pytest.mark.parametrize("name", RUNS)
def test_a_site_lost_in_any_phase_leaves_the_graph_and_groups_of_the_others(name):
    scheme, arguments, phases = RUNS[name]
    plan, rows = causal_plan(scheme, P, arguments=arguments), tables(scheme != "orion")
    wanted, told = played(plan, rows[:3])
    assert wanted["graph"].any()
    rounds = rounds_of(plan, rows)
    assert set(rounds) == phases
    for phase, number in rounds.items():
        found, extra = played(plan, rows, lost=[(LOST, number)])
        assert torch.equal(found["graph"], wanted["graph"]), phase
        assert extra["edges"] == told["edges"], phase
        assert extra["warnings"] == [f"without {LOST}, lost during the search"]
        if "changed" in wanted:
            assert torch.equal(found["changed"][:, :3], wanted["changed"])
            assert not found["changed"][:, 3].any()


def test_a_site_whose_moments_do_not_come_is_asked_once_more_and_then_left_out():
    plan, rows = causal_plan("peri_environments", P, rounds=2), tables(True)
    (whole, told), (others, less) = played(plan, rows), played(plan, rows[:3])
    late = played(plan, rows, lost=[(LOST, 0)])[0]
    gone, extra = played(plan, rows, lost=[(LOST, 0), (LOST, 1)])
    assert told["value"] < less["value"]
    for key in ("graph", "changed"):
        assert torch.equal(late[key], whole[key])
    assert torch.equal(gone["graph"], others["graph"])
    assert torch.equal(gone["changed"][:, :3], others["changed"])
    assert extra["warnings"] == [f"without {LOST}, lost during the search"]
