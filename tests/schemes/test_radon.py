"""What is true of the Radon machine as a scheme; the geometry is tested with brainct.core.robust."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.kernel_approximation import RBFSampler
from sklearn.preprocessing import StandardScaler

from brainct.core.learner import Model
from brainct.core.report_check import check_report
from brainct.core.robust import radon_point
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.radon import fitting_levels, machine, radon
from tests.conftest import seeded_model, tiny_learner, tiny_plan
from tests.support.byzantine import FACTORS, byzantine, close_a_round, flat, honest, same, within
from tests.support.hulls import in_hull


def points(models):
    return np.stack([flat(weights).numpy() for weights in models])


def test_whole_models_give_their_radon_point():
    models = honest(7)  # five numbers each: r = 7
    found = close_a_round(radon(part="whole"), models)
    np.testing.assert_allclose(flat(found), radon_point(points(models)), rtol=1e-6)
    assert same(found, close_a_round(radon(part="sketch"), models)), "a model of r - 2 numbers is its own sketch"


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_of_whole_models_one_byzantine_site_leaves_the_result_in_the_honest_hull(factor, place):
    told = honest(6)
    models = [*told[:place], *byzantine(factor, 1), *told[place:]]
    assert in_hull(flat(close_a_round(radon(part="whole"), models)).numpy(), points(told), slack=1e-6)


@pytest.mark.parametrize("factor", FACTORS)
def test_of_sketches_one_byzantine_site_leaves_the_sketch_in_the_honest_hull_and_the_model_near(factor):
    told = honest(4)
    for seed in range(5):
        found = close_a_round(radon(), told + byzantine(factor, 1), seed=seed)
        assert float((flat(found) - 5.0).norm()) < 100


def test_a_sketch_is_drawn_anew_in_each_round_from_the_servers_seed():
    models = honest(4)
    found = [
        close_a_round(radon(), models, number=number, seed=seed) for number, seed in ((0, 1), (0, 1), (1, 1), (0, 2))
    ]
    assert same(found[0], found[1])
    assert not same(found[0], found[2])
    assert not same(found[0], found[3])


@pytest.mark.parametrize("factor", FACTORS)
def test_coordinates_survive_three_byzantine_sites_of_nine(factor):
    told = honest(6)
    for order in ([0, 1, 2], [0, 3, 6], [0, 4, 8]):
        models, false = list(told), byzantine(factor, 3)
        for place, weights in zip(order, false, strict=True):
            models.insert(place, weights)
        assert within(close_a_round(radon(levels=2, part="coordinate"), models), told)


def test_sites_that_agree_are_believed_to_the_bit():
    one = honest(1)[0]
    assert same(close_a_round(radon(), [one] * 3), one)
    assert same(close_a_round(radon(2), [one] * 16), one)
    assert same(close_a_round(radon(part="whole"), [one] * 7), one)
    assert same(close_a_round(radon(part="coordinate"), [one] * 3), one)


@pytest.mark.parametrize(
    ("arguments", "count", "words"),
    [
        ({}, 2, "2 models; with levels 1 and part sketch it takes 3, 4, 5, ..."),
        ({"levels": 2}, 10, "10 models; with levels 2 and part sketch it takes 9, 16, 25, ..."),
        ({"part": "whole"}, 6, "6 models; with levels 1 and part whole it takes 7"),
        ({"part": "whole", "levels": 2}, 7, "it takes 49"),
        ({"part": "coordinate"}, 9, "9 models; with levels 1 and part coordinate it takes 3"),
    ],
)
def test_a_wrong_number_of_sites_is_refused_with_the_numbers_that_would_work(arguments, count, words):
    with pytest.raises(Refused, match=f"radon: {words}|radon: .*{words}"):
        close_a_round(radon(**arguments), honest(count))


def test_all_must_answer_unless_sketches_can_be_shorter():
    close_a_round(radon(), honest(5), lost=2)
    with pytest.raises(Refused, match="radon: 6 models; with levels 1 and part whole it takes 7"):
        close_a_round(radon(part="whole"), honest(7), lost=1)
    assert [radon().quorum(asked) for asked in (3, 4, 9)] == [3, 3, 5]
    assert [radon(part="coordinate").quorum(asked) for asked in (3, 9)] == [3, 9]
    assert radon(levels=2).quorum(16) == 16


@pytest.mark.parametrize(("count", "levels"), [(7, 1), (49, 2), (343, 3), (8, 1), (1, 1)])
def test_levels_that_need_no_sketch_are_found(count, levels):
    assert fitting_levels(count, honest(1)[0]) == levels


def test_arguments_out_of_range_are_refused():
    with pytest.raises(Refused, match="radon: levels is 0; wanted a whole number of at least 1"):
        radon(levels=0)
    with pytest.raises(Refused, match="radon: part is 'half'; wanted one of sketch, whole, head, coordinate"):
        radon(part="half")


def test_the_guarantee_on_a_convex_problem_the_machine_fails_less_often_than_a_site():
    """Sites fail with probability 0.1 < 1/r = 1/3; the bound for the machine is (3 * 0.1)^(2^2) = 0.0081."""
    rng, runs, eps = np.random.default_rng(0), 500, 1.0
    failed = 0
    for _ in range(runs):
        bad = rng.random(9) < 0.1
        models = [{"w": torch.tensor([rng.uniform(-eps, eps) + 50 * is_bad])} for is_bad in bad]
        failed += abs(machine(models, 2, "whole", rng)["w"].item()) > eps
    # 0.0081 * 500 = 4 failures at most are expected; with a standard deviation of 2, five of them allowed
    assert failed <= 14


LEVELS, D = 2, 3
"""h, and the numbers of a linear model on Fourier features: r = 5, so 25 sites."""


@pytest.fixture(scope="module")
def tabular():
    """(569, 2) random Fourier features of the Wisconsin breast cancer table, and a 1; labels -1 and 1."""
    table, labels = load_breast_cancer(return_X_y=True)
    sampler = RBFSampler(gamma=0.01, n_components=D - 1, random_state=1)
    features = sampler.fit_transform(StandardScaler().fit_transform(table))
    return np.column_stack([features, np.ones(len(features))]), 2.0 * labels - 1


def trained_alone(tabular, rng, scans=16):
    """The linear model with the least mean squared error, ridge 0.01, on a site's own rows: a convex problem."""
    chosen = rng.integers(0, len(tabular[0]), scans)
    phi, labels = tabular[0][chosen], tabular[1][chosen]
    return np.linalg.solve(phi.T @ phi + 0.01 * scans * np.eye(D), phi.T @ labels)


def risk(tabular, model):
    """The mean squared error over all rows: convex in the model."""
    return float(np.square(tabular[0] @ model - tabular[1]).mean())


def aggregated(models, rng):
    found = machine([{"w": torch.from_numpy(model)} for model in models], LEVELS, "whole", rng)
    return found["w"].numpy()


def test_on_fourier_features_the_machine_fails_as_seldom_as_the_paper_says(tabular):
    """eps is what a site alone misses with probability delta = 0.1 < 1/r; the bound is (r delta)^(2^h) = 0.0625."""
    rng, runs, sites = np.random.default_rng(0), 300, (D + 2) ** LEVELS
    alone = [risk(tabular, trained_alone(tabular, rng)) for _ in range(4000)]
    eps, bound = float(np.quantile(alone, 0.9)), ((D + 2) * 0.1) ** 2**LEVELS
    found = [risk(tabular, aggregated([trained_alone(tabular, rng) for _ in range(sites)], rng)) for _ in range(runs)]
    failed = np.mean(np.array(found) > eps)
    assert failed <= bound < 0.1
    assert np.median(found) < np.median(alone)


@pytest.mark.parametrize("factor", [1e6, -1e6, 1e30])
def test_on_fourier_features_three_arbitrary_models_of_25_make_it_no_worse_than_the_worst_honest_one(tabular, factor):
    rng = np.random.default_rng(1)
    for _ in range(20):
        models = [trained_alone(tabular, rng) for _ in range((D + 2) ** LEVELS)]
        false = rng.choice(len(models), 2**LEVELS - 1, replace=False)
        told = [models[index] for index in range(len(models)) if index not in false]
        models = [factor * (1 + rng.random(D)) if index in false else model for index, model in enumerate(models)]
        assert risk(tabular, aggregated(models, rng)) <= max(risk(tabular, model) for model in told) + 1e-6
        assert risk(tabular, np.mean(models, 0)) > 1e6


HEADED = {"architecture": "cnn-fourier", "size": 32, "options": {"widths": [8, 8], "fourier": 5}}
EIGHT = [f"site-{number}" for number in range(1, 9)]


def a_round_of_heads(spoil=()):
    plan, scheme = tiny_plan(network=HEADED, fit={"rate": 1.0, "epochs": 5}), radon(part="head")
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), EIGHT, 0)
    reports = {}
    for site, task in scheme.assign(memory, 0, EIGHT).items():
        reports[site], _ = scheme.reply(task, tiny_learner(plan, site), {})
        check_report(reports[site], task, scheme, site)
    for site in spoil:
        worse = {key: value * -1e6 + 7 for key, value in reports[site].weights.items()}
        reports[site] = type(reports[site])(worse, 8)
    return memory, reports, scheme.model(scheme.combine(memory, 0, reports))


def rows_of(weights):
    return torch.cat([weights["head.weight"], weights["head.bias"][:, None]], 1).double().numpy()


def test_only_the_head_is_trained_sent_and_replaced_by_each_findings_radon_point():
    memory, reports, found = a_round_of_heads()
    assert all(set(report.weights) == {"head.weight", "head.bias"} for report in reports.values())
    for key, value in memory["weights"].items():
        assert torch.equal(found[key], value) != key.startswith("head.")
    body = [key for key in found if not key.startswith("head.")]
    alone = tiny_learner(tiny_plan(network=HEADED, fit={"rate": 1.0, "epochs": 5}), "site-2")
    wanted = alone.fit(memory["weights"], frozen=body).weights
    assert all(torch.equal(value, wanted[key]) for key, value in reports["site-2"].weights.items())
    for finding in range(6):
        models = np.stack([rows_of(report.weights)[finding] for report in reports.values()])
        assert models.shape == (8, 6)
        np.testing.assert_allclose(rows_of(found)[finding], radon_point(models), rtol=1e-5, atol=1e-6)


def test_one_byzantine_site_leaves_every_findings_head_in_the_honest_hull():
    _, reports, found = a_round_of_heads(spoil=["site-3"])
    for finding in range(6):
        told = [rows_of(report.weights)[finding] for site, report in reports.items() if site != "site-3"]
        assert in_hull(rows_of(found)[finding], np.stack(told), slack=1e-4)


def test_a_head_that_the_sites_can_not_afford_is_refused_with_the_number_that_would_work():
    model = seeded_model(tiny_plan(network=HEADED))
    with pytest.raises(Refused, match="radon: 7 models; with levels 1 and part head it takes 8"):
        radon(part="head").start(model, EIGHT[:7], 0)
    with pytest.raises(Refused, match="the network does not end in a linear layer"):
        radon(part="head").start(Model({"w": torch.ones(6)}), EIGHT, 0)
