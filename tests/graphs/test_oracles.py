"""Ten oracles of federated causal discovery: what must hold exactly, and what must fail exactly."""

import itertools
import math

import numpy as np
import pytest

from brainct.graphs import orion, relay
from brainct.graphs.aggregate import score_of
from brainct.graphs.cpdag import acyclic, completed, extension
from brainct.graphs.environments import Environments, extensions, families_of
from brainct.graphs.mdl import DescriptionLength, coefficient, integer
from brainct.graphs.moments import bic, moments_of, pooled, regression
from brainct.graphs.orientation import orient
from brainct.graphs.search import Rules, State, advance, search, start
from tests.graphs.population import drawn, population, sampled, summed, truth, weights

TABLE = np.array([(0, 1, 2), (1, 0, 1), (2, 2, 5), (3, 1, 4), (4, 5, 9), (5, 3, 8)], float)
WORKED = {(2,): -10.306258, (2, 0): -6.528547, (2, 0, 1): 0.865678, (0, 1): -5.836680}


def regrets_of(sites, base):
    """Each site's L - base, where base is the score of its own graph's columns."""
    own = [search(one.variables, summed([one])).graph for one in sites]
    bases = [
        [bic(one, (i, *np.flatnonzero((extension(g) if base == "dag" else g)[:, i]).tolist())) for i in range(len(g))]
        for one, g in zip(sites, own, strict=True)
    ]
    return lambda f: [bic(one, f) - each[f[0]] for one, each in zip(sites, bases, strict=True)]


def by(kind, regrets):
    return lambda families: {one: score_of(kind, regrets(one)) for one in families}


def test_t1_bic_has_its_worked_values_and_a_scale_changes_no_decision():
    moments, scaled = moments_of(TABLE), moments_of(TABLE * [1, 1, 10])
    for family, value in WORKED.items():
        assert bic(moments, family) == pytest.approx(value, abs=1e-6)
    shifts = {round(bic(scaled, one) - bic(moments, one), 9) for one in WORKED if one[0] == 2}
    assert shifts == {round(-3 * math.log(100), 9)}
    assert bic(scaled, (0, 2)) == pytest.approx(bic(moments, (0, 2)), abs=1e-9)


def test_t1_bits_have_their_worked_values():
    for z, bits in {1: 1.518567, 2: 2.518567, 3: 3.767979, 4: 4.518567, 16: 8.518567, 1000: 17.321872}.items():
        assert integer(z) == pytest.approx(bits, abs=2e-6)
    for value, bits in {1: 22.840439, 0.5: 26.510155, 1234: 20.221239}.items():
        assert coefficient(value) == pytest.approx(bits, abs=2e-6)


def test_t2_the_sum_is_the_same_for_all_dags_of_a_class_and_the_minimum_is_not():
    rng = np.random.default_rng(3)
    w = weights(5, rng, 2.5)
    sites = [population(np.where(w != 0, w * rng.uniform(0.5, 1.5, w.shape), 0), n=20_000) for _ in range(4)]
    dags, every = extensions(truth(w))
    assert every
    assert len(dags) > 1
    regrets = regrets_of(sites, "dag")
    spread = {}
    for kind in ("sum", "min"):
        totals = [sum(by(kind, regrets)(families_of(dag)).values()) for dag in dags]
        spread[kind] = max(totals) - min(totals)
    assert spread["sum"] < 1e-6
    assert spread["min"] > 1


ROWS = {"nothing": (8, True, True), "all": (8, True, False), "hard": (7, False, False)}


def of_row(row, seed):
    """A graph, and the sites of one row of the table of exact populations."""
    rng = np.random.default_rng(seed)
    w = weights(5 + seed % (ROWS[row][0] - 4), rng)
    sites = []
    for k in range(4):
        own, noise = w, np.ones(len(w))
        if row == "all":
            own = np.where(w != 0, rng.uniform(0.5, 1.2, w.shape) * rng.choice([-1, 1], w.shape), 0)
            noise = rng.uniform(0.5, 2, len(w))
        if row == "hard" and k > 1:
            own = w.copy()
            own[:, rng.integers(len(w))] = 0
        sites.append(population(own, noise))
    return w, sites


@pytest.mark.parametrize("row", ROWS)
def test_t3_the_sum_is_exact_on_populations_and_pooling_is_not_once_sites_differ(row):
    exact = {"sum": 0, "min": 0, "pooled": 0}
    for seed in range(8):
        w, sites = of_row(row, seed)
        ways = {"sum": summed(sites), "pooled": summed([pooled(sites)]), "min": by("min", regrets_of(sites, "cpdag"))}
        for name, ask in ways.items():
            exact[name] += np.array_equal(search(len(w), ask, Rules(9)).graph, truth(w))
    assert exact["sum"] == 8
    assert (exact["pooled"] == 8) == (row == "nothing")
    assert row == "hard" or exact["min"] == 8
    assert row != "all" or exact["pooled"] < 4


def test_t4_an_insert_makes_a_collider_of_an_undirected_edge_in_one_step():
    import ges

    w = np.zeros((3, 3))
    w[0, 2] = w[1, 2] = 0.9
    one = population(w, n=10_000)
    scores = {f: bic(one, f) for i in range(3) for k in range(3) for f in _families(i, k)}
    half = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], np.int8)
    after, missing = advance(State(half), scores, Rules())
    assert missing == []
    assert after.graph.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert after.steps[0][:4] == ("insert", 1, 2, (0,))
    assert np.array_equal(ges.insert(1, 2, {0}, half.astype(int)), after.graph)
    assert completed(ges.insert(1, 2, set(), half.astype(int))).sum() == 4


def _families(i, k):
    return [(i, *chosen) for chosen in itertools.combinations([j for j in range(3) if j != i], k)]


def test_t5_four_nodes_have_543_dags_in_185_classes():
    pairs = list(itertools.combinations(range(4), 2))
    classes, dags = set(), 0
    for marks in itertools.product((0, 1, 2), repeat=6):
        dag = np.zeros((4, 4), np.int8)
        for (i, j), mark in zip(pairs, marks, strict=True):
            dag[i, j], dag[j, i] = mark == 1, mark == 2
        if acyclic(dag):
            dags += 1
            found = completed(dag)
            classes.add(found.tobytes())
            assert np.array_equal(completed(extension(found)), found)
    assert (dags, len(classes)) == (543, 185)


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("linear", -0.1, 0.1), ("cubic", -2400, -1600), ("square", -2900, -2400)]
)
def test_t6_orion_finds_a_direction_only_where_there_is_one(kind, low, high):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, e = rng.standard_normal(2000), 0.6 * rng.standard_normal(2000)
        y = {"linear": 0.8 * x + e, "cubic": x**3 / 2 + 0.3 * x + e, "square": x**2 + e}[kind]
        for order in ((0, 1), (1, 0)):
            bits = DescriptionLength(np.stack([x, y], 1)[:, order]).bits
            i, j = order.index(0), order.index(1)
            assert low < bits((j, i)) - bits((j,)) - bits((i, j)) + bits((i,)) < high
            graph = orion.search(2, {"a": bits}).graph
            assert graph.sum() == (kind != "linear")
            assert kind == "linear" or graph[i, j] == 1


def test_t8_the_shared_fit_is_the_stacked_regression_and_relays_flag_the_same_sites():
    rng, agree, count = np.random.default_rng(5), 0, 0
    w = weights(5, rng)
    tables = [drawn(w, 400, rng) + 3.0 * k for k in range(6)]
    tables[2][:, 1] = 2.0 * rng.standard_normal(400)
    sites = [moments_of(one) for one in tables]
    stacked = moments_of(np.concatenate([one - one.mean(0) for one in tables]))
    score = Environments(sites)
    for family in families_of(w != 0):
        pen, variance = score.penalty(family), regression(stacked.covariance, family)[1]
        wanted = -0.5 * stacked.n * (1 + math.log(variance)) - pen
        assert score.value(family, ()) == pytest.approx(wanted, abs=1e-6)
        alone = [bic(one, family) + 0.5 * math.log(one.n) * len(family) for one in sites]
        each = sum(alone) - 6 * (pen + math.log(6))
        assert score.value(family, range(6)) == pytest.approx(each, abs=1e-6)
        named = {f"site-{k}": one for k, one in enumerate(sites)}
        agree, count = agree + (relay.grouped(named, family)[1] == score.group(family).deviating), count + 1
    assert agree >= 0.9 * count


def two_nodes(change, seed):
    """J(true) - J(reversed) of y = .8 x + e at 4 sites, the second of which doubles one noise."""
    rng, w = np.random.default_rng(seed), np.array([[0, 0.8], [0, 0]])
    noises = [np.array([4.0 if k == 1 and change == i else 1.0 for i in "xy"]) for k in range(4)]
    score = Environments([sampled(w, 5000, rng, noise) for noise in noises])

    def best(family):
        sets = [one for size in range(5) for one in itertools.combinations(range(4), size)]
        return max(score.value(family, one) for one in sets)

    return best((0,)) + best((1, 0)) - best((1,)) - best((0, 1))


@pytest.mark.parametrize(("change", "most"), [("x", math.log(80_000)), ("y", math.log(4 * 20_000**0.5))])
def test_t9_a_change_at_one_site_tells_the_direction(change, most):
    for seed in range(8):
        assert 0 < two_nodes(change, seed) <= most + 1e-6


def test_t9_without_a_change_the_edge_stays_undirected():
    rng, w = np.random.default_rng(0), np.array([[0, 0.8], [0, 0]])
    score = Environments([sampled(w, 5000, rng) for _ in range(4)])
    found = orient(truth(w), score.total)
    assert found.value - found.second == pytest.approx(0, abs=1e-6)
    assert found.graph.tolist() == [[0, 1], [1, 0]]


def test_t10_one_site_without_intervention_settles_the_chain():
    """x -> y -> z with an intervention on y at one site and on z at the other: both graphs occur."""
    shapes = {"chain": 0, "other": 0}
    w = np.zeros((3, 3))
    w[0, 1] = w[1, 2] = 0.9
    on_y, on_z = w.copy(), w.copy()
    on_y[0, 1] = on_z[1, 2] = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        sites = [sampled(one, 5000, rng) for one in (on_y, on_z)]
        alone = search(3, summed(sites)).graph
        shapes["chain" if np.array_equal(alone, truth(w)) else "other"] += 1
        sites.append(sampled(w, 5000, rng))
        assert np.array_equal(search(3, summed(sites)).graph, truth(w))
    assert min(shapes.values()) > 0


def test_the_batched_search_is_the_one_of_ges():
    import ges

    for seed in range(6):
        rng = np.random.default_rng(seed)
        rows = drawn(weights(5 + seed % 3, rng), 500, rng)
        found, _ = ges.fit_bic(rows, phases=["forward", "backward"])
        assert np.array_equal(search(rows.shape[1], summed([moments_of(rows)]), Rules(9)).graph, found)


def test_every_accepted_step_of_the_sum_gains():
    w, sites = of_row("all", 4)
    assert all(step[4] > 0 for step in search(len(w), summed(sites)).steps)
    assert start(3).graph.sum() == 0


def test_regrets_give_away_every_correlation():
    rng = np.random.default_rng(1)
    one = sampled(weights(5, rng), 300, rng)
    deviation = np.sqrt(np.diag(one.covariance))
    for i, j in itertools.permutations(range(5), 2):
        gain = bic(one, (i, j)) - bic(one, (i,)) + 0.5 * math.log(300)
        known = abs(one.covariance[i, j] / deviation[i] / deviation[j])
        assert math.sqrt(max(0.0, 1 - math.exp(-2 * gain / 300))) == pytest.approx(known, abs=1e-6)
