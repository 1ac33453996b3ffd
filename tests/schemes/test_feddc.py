"""What is true of federated daisy-chaining alone."""

import pytest
import torch

from brainct.core.learner import Model
from brainct.core.scheme import Report
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.feddc import feddc
from tests.conftest import tiny_learner, tiny_plan

SITES = [f"site-{number}" for number in range(1, 6)]


def travel(scheme, rounds, *, lost=(), sites=SITES, seed=11):
    """Each model carries a list of the sites that trained it, as digits; yields (tasks, memory) round by round."""
    memory = scheme.start(Model({"path": torch.zeros(1, dtype=torch.float64)}), sites, seed)
    for number in range(rounds):
        tasks = scheme.assign(memory, number, sites)
        reports = {
            site: Report({"path": task.weights["path"] * 10 + int(site[-1])}, 1)
            for site, task in tasks.items()
            if (site, number) not in lost
        }
        memory = scheme.combine(memory, number, reports)
        yield tasks, memory


def paths(memory):
    return {site: int(model["path"].item()) for site, model in memory["models"].items()}


def test_models_hop_by_a_permutation_and_none_is_lost_or_doubled():
    for _, memory in travel(feddc(daisy_period=1, aggregation_period=None), 1):
        assert sorted(paths(memory).values()) == [1, 2, 3, 4, 5]
    trained = [paths(memory) for _, memory in travel(feddc(1, None), 6)]
    assert all(len(set(found.values())) == 5 for found in trained)
    assert any(found[site] % 10 != int(site[-1]) for found in trained for site in SITES)


def test_a_site_trains_the_model_that_the_permutation_sent_it():
    memory_before = None
    for tasks, memory in travel(feddc(1, None), 5):
        if memory_before is not None:
            assert {site: int(task.weights["path"].item()) for site, task in tasks.items()} == paths(memory_before)
        memory_before = memory


def test_models_stay_where_they_are_between_the_daisy_periods():
    for number, (_, memory) in enumerate(travel(feddc(daisy_period=3, aggregation_period=None), 3)):
        stayed = all(str(path) == site[-1] * (number + 1) for site, path in paths(memory).items())
        assert stayed == (number < 2)


def test_aggregation_comes_every_b_rounds_and_wins_over_the_hop():
    for number, (_, memory) in enumerate(travel(feddc(daisy_period=1, aggregation_period=4), 12)):
        averaged = len(set(paths(memory).values())) == 1
        assert averaged == (number % 4 == 3)


def test_an_average_is_the_mean_of_the_models_that_were_out():
    scheme = feddc(1, 3)
    seen = list(travel(scheme, 3))
    sent = [int(task.weights["path"].item()) * 10 + int(site[-1]) for site, task in seen[2][0].items()]
    assert scheme.model(seen[2][1])["path"].item() == pytest.approx(sum(sent) / 5)


@pytest.mark.parametrize("weight_by", ["equal", "examples"])
@pytest.mark.parametrize("lost", [set(), {("site-2", 1)}, {("site-1", 0), ("site-3", 2)}])
def test_without_hops_and_with_an_average_each_round_it_is_fedavg_to_the_bit(weight_by, lost):
    plan, sites = tiny_plan(), SITES[:3]
    hashes = []
    for scheme in (feddc(None, 1, weight_by), fedavg(weight_by=weight_by)):
        memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), sites, 5)
        for number in range(3):
            tasks = scheme.assign(memory, number, sites)
            memory = scheme.combine(
                memory,
                number,
                {
                    site: scheme.reply(tasks[site], tiny_learner(plan, site, number, scans=5 + n), {})[0]
                    for n, site in enumerate(sites)
                    if (site, number) not in lost
                },
            )
        hashes.append(sha256(scheme.model(memory)))
    assert hashes[0] == hashes[1]


def test_the_pure_chain_never_averages_while_it_runs():
    assert all(len(set(paths(memory).values())) == 5 for _, memory in travel(feddc(1, None), 30))


def test_a_lost_sites_model_goes_on_from_the_servers_copy():
    seen = list(travel(feddc(1, None), 3, lost={("site-2", 1)}))
    had = int(seen[1][0]["site-2"].weights["path"].item())
    assert had in paths(seen[1][1]).values()
    assert sorted(len(str(path)) for path in paths(seen[1][1]).values()) == [1, 2, 2, 2, 2]


def test_the_permutation_follows_from_the_servers_seed_and_is_uniform():
    def hops(seed):
        return [tuple(paths(memory).items()) for _, memory in travel(feddc(1, None), 4, seed=seed)]

    assert hops(1) == hops(1)
    assert hops(1) != hops(2)
    counts, runs, scheme = [0] * 4, 400, feddc(1, None)
    for seed in range(runs):
        memory = scheme.start(Model({"w": torch.zeros(1)}), SITES[:4], seed)
        reports = {site: Report({"w": torch.tensor([float(n)])}, 1) for n, site in enumerate(SITES[:4])}
        counts[int(scheme.combine(memory, 0, reports)["models"]["site-1"]["w"].item())] += 1
    # each of 4 models comes to site-1 with probability 1/4: 100 expected, standard deviation 8.7, five of them allowed
    assert all(abs(count - runs / 4) < 5 * (runs * 0.25 * 0.75) ** 0.5 for count in counts)


def test_no_task_tells_a_site_whose_model_it_got():
    scheme = feddc(1, None)
    for tasks, _ in travel(scheme, 3):
        assert all(set(task.extra) == set() for task in tasks.values())


@pytest.mark.parametrize("arguments", [{"daisy_period": 0}, {"aggregation_period": -1}, {"daisy_period": 1.5}])
def test_a_period_out_of_range_is_refused(arguments):
    with pytest.raises(Refused, match="wanted a whole number of rounds of at least 1, or null for never"):
        feddc(**arguments)


def averaged(aggregator, values, lost=()):
    """The model after one round that ends in an average of these numbers."""
    scheme, sites = feddc(None, 1, aggregator=aggregator), [f"site-{number}" for number in range(len(values))]
    memory = scheme.start(Model({"w": torch.tensor([5.0])}), sites, 0)
    reports = {
        site: Report({"w": torch.tensor([value])}, 1)
        for site, value in zip(sites, values, strict=True)
        if site not in lost
    }
    memory = scheme.combine(memory, 0, reports)
    assert len({model["w"].item() for model in memory["models"].values()}) == 1
    return scheme.model(memory)["w"].item()


@pytest.mark.parametrize("aggregator", ["radon", "median", "geometric_median"])
@pytest.mark.parametrize("factor", [1e30, -1e6, 0.0])
def test_another_aggregator_keeps_one_byzantine_site_from_moving_the_average_out_of_the_honest_range(
    aggregator, factor
):
    assert 4.0 <= averaged(aggregator, [4.0, factor, 6.0]) <= 6.0
    assert not 4.0 <= averaged("mean", [4.0, factor, 6.0]) <= 6.0 or factor == 0.0
    assert averaged(aggregator, [4.0, 4.0, 4.0]) == 4.0


def test_radon_of_models_of_one_number_is_the_iterated_median_of_three_and_takes_the_lost_sites_copy():
    assert averaged("radon", [1.0, 2.0, 9.0, 3.0, 3.0, 4.0, 8.0, 8.0, 0.0]) == pytest.approx(3.0)
    assert averaged("radon", [1.0, 2.0, 9.0], lost={"site-0"}) == pytest.approx(5.0)


def test_the_geometric_median_of_three_corners_is_their_fermat_point_and_the_median_is_a_corner():
    """By symmetry it is (x, x), and from it each side is seen under 120 degrees: x = (3 - sqrt 3) / 6."""
    for aggregator, wanted in (("median", 0.0), ("geometric_median", (3 - 3**0.5) / 6)):
        scheme, sites = feddc(None, 1, aggregator=aggregator), ["a", "b", "c"]
        memory = scheme.start(Model({"w": torch.zeros(2)}), sites, 0)
        corners = zip(sites, ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0]), strict=True)
        memory = scheme.combine(memory, 0, {site: Report({"w": torch.tensor(corner)}, 1) for site, corner in corners})
        assert scheme.model(memory)["w"].tolist() == pytest.approx([wanted] * 2, abs=1e-3)


def test_an_aggregator_that_can_not_be_is_refused():
    with pytest.raises(Refused, match="aggregator is 'sum'; wanted one of mean, radon, median, geometric_median"):
        feddc(aggregator="sum")
    with pytest.raises(Refused, match="counts all models the same; wanted weight_by equal"):
        feddc(aggregator="median", weight_by="examples")
    with pytest.raises(Refused, match="aggregator radon needs at least 3 sites, not 2"):
        averaged("radon", [1.0, 2.0])
