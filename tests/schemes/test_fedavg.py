"""What is true of federated averaging alone."""

import pytest
import torch

from brainct.core.learner import Model
from brainct.core.scheme import Report
from brainct.core.weights import add, scale
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.training.data import Dataset, Fold
from tests.conftest import tiny_learner, tiny_plan

SITES = ["site-1", "site-2", "site-3"]
COUNTS = {"site-1": 4, "site-2": 9, "site-3": 14}


def test_one_full_batch_step_at_each_site_is_gradient_descent_on_the_pooled_scans():
    rate, plan = 0.3, tiny_plan("fedavg", fit={"rate": 0.3, "batch_size": 100})
    scheme = fedavg()
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0)
    learners = {site: tiny_learner(plan, site, scans=COUNTS[site]) for site in SITES}
    pooled = tiny_learner(plan, "pooled")
    folds = [learner.data.folds["train"] for learner in learners.values()]
    union = Fold(torch.cat([fold.inputs for fold in folds]), torch.cat([fold.labels for fold in folds]))
    pooled.data = Dataset("pooled", {"train": union}, "", (), 100)
    descended = memory["weights"]
    for number in range(3):
        tasks = scheme.assign(memory, number, SITES)
        reports = {site: scheme.reply(tasks[site], learners[site], {})[0] for site in SITES}
        memory = scheme.combine(memory, number, reports)
        descended = add(descended, scale(pooled.gradient(descended).weights, -rate))
        for key, value in scheme.model(memory).items():
            torch.testing.assert_close(value, descended[key], rtol=0, atol=1e-6)


def test_the_share_of_a_site_is_its_number_of_training_scans():
    scheme = fedavg()
    memory = scheme.start(Model({"w": torch.zeros(1)}), SITES, 0)
    reports = {
        site: Report({"w": torch.tensor([float(value)])}, COUNTS[site])
        for site, value in zip(SITES, (1, 10, 100), strict=True)
    }
    wanted = (4 * 1 + 9 * 10 + 14 * 100) / (4 + 9 + 14)
    assert scheme.model(scheme.combine(memory, 0, reports))["w"].item() == pytest.approx(wanted)
    equal = fedavg(weight_by="equal")
    assert equal.model(equal.combine(memory, 0, reports))["w"].item() == pytest.approx(111 / 3)


def test_a_site_that_does_not_answer_has_no_share():
    scheme = fedavg()
    memory = scheme.start(Model({"w": torch.zeros(1)}), SITES, 0)
    reports = {"site-2": Report({"w": torch.tensor([5.0])}, 3)}
    assert scheme.model(scheme.combine(memory, 0, reports))["w"].item() == 5.0


@pytest.mark.parametrize(("fraction", "asked"), [(1.0, 10), (0.5, 5), (0.25, 3), (0.01, 1)])
def test_a_fraction_of_the_sites_is_asked_seeded_and_changing_from_round_to_round(fraction, asked):
    scheme, sites = fedavg(fraction), [f"site-{number:02}" for number in range(10)]
    memory = scheme.start(Model({"w": torch.zeros(1)}), sites, 3)
    drawn = [list(scheme.assign(memory, number, sites)) for number in range(20)]
    assert all(len(names) == asked and names == sorted(set(names)) for names in drawn)
    assert drawn == [list(scheme.assign(memory, number, sites)) for number in range(20)]
    assert fraction == 1.0 or len({tuple(names) for names in drawn}) > 1


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(Refused, match="fraction is .*; wanted a finite number above 0 and at most 1"):
        fedavg(fraction)


def test_an_unknown_weighting_is_refused_with_the_choices():
    with pytest.raises(Refused, match="weight_by is 'size'; wanted one of examples, equal"):
        fedavg(weight_by="size")


def test_a_mean_over_reports_on_disk_holds_two_tensors_not_all_models(tmp_path):
    """Peak memory does not grow with the sites: derived by letting models count how many of their tensors are alive."""
    import gc
    import weakref
    from collections.abc import Mapping

    alive: list[weakref.ref] = []
    peak = 0

    class Counted(Mapping):
        def __init__(self, value):
            self.value = value

        def __getitem__(self, key):
            nonlocal peak
            tensor = torch.full((10,), self.value)
            alive.append(weakref.ref(tensor))
            peak = max(peak, sum(ref() is not None for ref in alive))
            return tensor

        def __iter__(self):
            return iter(["a", "b"])

        def __len__(self):
            return 2

    gc.collect()
    scheme = fedavg()
    reports = {f"site-{number:02}": Report(Counted(float(number)), 1) for number in range(40)}
    model = scheme.model(scheme.combine({"weights": {}, "seed": 0}, 0, reports))
    assert model["a"][0].item() == 19.5
    assert peak <= 3
