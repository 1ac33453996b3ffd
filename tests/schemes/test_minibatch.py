"""What is true of distributed mini-batches alone."""

import pytest
import torch

from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedsgd import fedsgd
from brainct.schemes.minibatch import minibatch
from brainct.training.data import Dataset, Fold
from tests.conftest import first_weights, tiny_learner, tiny_plan

COUNTS = {"site-1": 3, "site-2": 9, "site-3": 14}
"""The first site has fewer scans than a batch of 4."""


def rounds(scheme, plan, count, counts=COUNTS):
    """After each round the model, and the scans that went through the sites' networks in it."""
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), list(counts), 0)
    for number in range(count):
        reports, batches = {}, []
        for site, task in scheme.assign(memory, number, list(counts)).items():
            learner = tiny_learner(plan, site, number, scans=counts[site])
            seen = []
            learner.network.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0].detach()))
            reports[site], _ = scheme.reply(task, learner, {})
            batches.append(batch_of(learner.data.folds["train"], torch.cat(seen)))
        memory = scheme.combine(memory, number, reports)
        yield scheme.model(memory), batches


def batch_of(fold, images):
    """The scans of a fold that were seen, with their labels."""
    index = [next(i for i, known in enumerate(fold.inputs) if torch.equal(known, image)) for image in images]
    return Fold(images, fold.labels[index])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_is_one_optimiser_on_the_union_of_the_rounds_batches(momentum):
    plan = tiny_plan("minibatch", fit={"batch_size": 4})
    pooled = tiny_learner(plan, "pooled")
    descended = {key: torch.nn.Parameter(value) for key, value in first_weights(plan).items()}
    optimiser = torch.optim.SGD(descended.values(), lr=0.3, momentum=momentum)
    drawn = []
    for model, batches in rounds(minibatch(0.3, momentum), plan, 4):
        assert [len(batch) for batch in batches] == [3, 4, 4]
        drawn.append(batches[2].inputs)
        union = Fold(torch.cat([x.inputs for x in batches]), torch.cat([x.labels for x in batches]))
        pooled.data = Dataset("pooled", {"train": union}, "", (), 100)
        gradient = pooled.gradient({key: value.detach() for key, value in descended.items()}).weights
        for key, value in descended.items():
            value.grad = gradient[key].clone()
        optimiser.step()
        for key, value in model.items():
            torch.testing.assert_close(value, descended[key].detach(), rtol=0, atol=1e-6)
    assert not torch.equal(drawn[0], drawn[1]), "a batch is drawn anew in each round"


@pytest.mark.parametrize("augment", [None, {"scanner": 0.5}])
def test_it_is_the_average_of_models_after_every_single_step_on_a_batch(augment):
    counts = {"site-1": 8, "site-2": 9, "site-3": 14}
    plan = tiny_plan(fit={"rate": 0.3, "steps": 1, "batch_size": 4, "augment": augment})
    models = []
    for scheme in (minibatch(0.3), fedavg(weight_by="equal")):
        memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), list(counts), 0)
        for number in range(4):
            tasks = scheme.assign(memory, number, list(counts))
            learners = {site: tiny_learner(plan, site, number, scans=counts[site]) for site in counts}
            reports = {site: scheme.reply(tasks[site], learners[site], {})[0] for site in counts}
            memory = scheme.combine(memory, number, reports)
        models.append(scheme.model(memory))
    for key, value in models[0].items():
        torch.testing.assert_close(value, models[1][key], rtol=0, atol=1e-6)


def test_where_a_batch_holds_all_scans_it_is_fedsgd_and_else_it_is_not():
    for size, same in ((100, True), (4, False)):
        plan = tiny_plan("minibatch", fit={"batch_size": size})
        (stepped, _), (whole, _) = (list(rounds(scheme(0.3), plan, 2))[-1] for scheme in (minibatch, fedsgd))
        close = [torch.allclose(value, whole[key], rtol=0, atol=1e-6) for key, value in stepped.items()]
        assert all(close) == same
        assert sha256(stepped) != sha256(first_weights(plan))


def test_arguments_out_of_range_are_refused():
    with pytest.raises(Refused, match="rate is 0; wanted a finite number"):
        minibatch(rate=0)
    with pytest.raises(Refused, match="momentum is 1.0; wanted a finite number"):
        minibatch(momentum=1.0)
