"""What is true of distributed mini-batches alone."""

import pytest
import torch

from brainct.core.learner import Fitted, Model
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedsgd import fedsgd
from brainct.training.data import Dataset, Fold
from tests.conftest import first_weights, tiny_learner, tiny_plan

COUNTS = {"site-1": 4, "site-2": 9, "site-3": 14}


def rounds(scheme, plan, count):
    """The model after each round on sites of different sizes."""
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), list(COUNTS), 0)
    for number in range(count):
        reports = {
            site: scheme.reply(task, tiny_learner(plan, site, number, scans=COUNTS[site]), {})[0]
            for site, task in scheme.assign(memory, number, list(COUNTS)).items()
        }
        memory = scheme.combine(memory, number, reports)
        yield scheme.model(memory)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_is_one_optimiser_on_the_union_of_the_sites_batches(momentum):
    plan = tiny_plan("fedsgd")
    folds = [tiny_learner(plan, site, scans=count).data.folds["train"] for site, count in COUNTS.items()]
    union = Fold(torch.cat([fold.inputs for fold in folds]), torch.cat([fold.labels for fold in folds]))
    pooled = tiny_learner(plan, "pooled")
    pooled.data = Dataset("pooled", {"train": union}, "", (), 100)
    descended = {key: torch.nn.Parameter(value) for key, value in first_weights(plan).items()}
    optimiser = torch.optim.SGD(descended.values(), lr=0.3, momentum=momentum)
    for model in rounds(fedsgd(0.3, momentum), plan, 4):
        gradient = pooled.gradient({key: value.detach() for key, value in descended.items()}).weights
        for key, value in descended.items():
            value.grad = gradient[key].clone()
        optimiser.step()
        for key, value in model.items():
            torch.testing.assert_close(value, descended[key].detach(), rtol=0, atol=1e-6)


def test_it_is_the_average_of_models_after_every_single_sgd_step():
    averaged = tiny_plan("fedavg", fit={"rate": 0.3, "steps": 1, "batch_size": 100})
    pairs = zip(rounds(fedsgd(0.3), tiny_plan("fedsgd"), 4), rounds(fedavg(), averaged, 4), strict=True)
    for stepped, model in pairs:
        for key, value in model.items():
            torch.testing.assert_close(value, stepped[key], rtol=0, atol=1e-6)


def test_what_has_no_gradient_never_changes_and_arrives_as_zero():
    weights = {"w": torch.ones(2), "running_mean": torch.full((2,), 3.0), "count": torch.tensor(7)}

    class Learner:
        def gradient(self, weights):
            return Fitted({"w": torch.tensor([1.0, -2.0])}, 5, 1, 0.1, 0.5)

    scheme = fedsgd(0.5, 0.9)
    memory = scheme.start(Model(weights), ["a"], 0)
    for number in range(2):
        report, _ = scheme.reply(scheme.assign(memory, number, ["a"])["a"], Learner(), {})
        assert report.weights.keys() == weights.keys()
        assert report.weights["count"].dtype == weights["count"].dtype
        memory = scheme.combine(memory, number, {"a": report})
    # two steps of velocity g and 1.9 g at rate 0.5
    torch.testing.assert_close(scheme.model(memory)["w"], 1 - 0.5 * (1 + 1.9) * torch.tensor([1.0, -2.0]))
    assert scheme.model(memory)["running_mean"].tolist() == [3.0, 3.0]
    assert scheme.model(memory)["count"].item() == 7


@pytest.mark.parametrize("arguments", [{"rate": 0}, {"rate": -1}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(Refused, match=f"fedsgd: {next(iter(arguments))} is .*; wanted a finite number"):
        fedsgd(**arguments)
