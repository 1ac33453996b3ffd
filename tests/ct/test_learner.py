"""What a learner does with weights, and that it depends on nothing but plan, site and round."""

import math

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from brainct.core.learner import PublicLabels
from brainct.core.weights import add, scale, sha256
from brainct.ct.learner import learner_of
from brainct.ct.model import network_of
from brainct.errors import Refused
from brainct.security.credentials import offline
from brainct.training.batches import batches
from brainct.training.data import Dataset, Fold
from tests.conftest import PUBLIC, first_weights, tiny_learner, tiny_plan


def test_a_fit_depends_on_seed_site_and_round_and_on_nothing_else():
    def fit(site="site-1", round=0, disturb=0, **choices):
        torch.manual_seed(disturb)
        np.random.seed(disturb)
        plan = tiny_plan(fit={"augment": {"scanner": 0.5}, "batch_size": 3}, **choices)
        learner = learner_of(plan, tiny_learner(tiny_plan(), site="site-1").data, offline(plan, site, round))
        return sha256(learner.fit(first_weights(tiny_plan())).weights)

    same = fit()
    assert fit(disturb=5) == same
    assert len({same, fit(site="site-2"), fit(round=1), fit(seed=9)}) == 4


def test_a_fit_leaves_the_global_random_state_alone():
    learner = tiny_learner(tiny_plan())
    before = torch.random.get_rng_state()
    learner.fit(first_weights(tiny_plan()))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("choices", "asked", "steps"),
    [
        ({}, {}, 3),
        ({"epochs": 4}, {}, 12),
        ({"steps": 5}, {}, 5),
        ({"steps": 5}, {"epochs": 2}, 6),
        ({}, {"steps": 1}, 1),
    ],
)
def test_epochs_and_steps_are_counted_in_batches(choices, asked, steps):
    learner = tiny_learner(tiny_plan(fit={"batch_size": 3, **choices}))
    fitted = learner.fit(first_weights(tiny_plan()), **asked)
    assert (fitted.steps, fitted.examples) == (steps, 8)


def test_each_pass_uses_every_scan_once():
    learner = tiny_learner(tiny_plan(fit={"batch_size": 3}))
    fold = learner.data.folds["train"]
    order = np.random.default_rng(0)
    seen = torch.cat([images for _, images, _ in batches(learner.task, fold, 3, order, 2, None)])
    for index in range(8):
        assert (seen == fold.inputs[index]).flatten(1).all(1).sum() == 2


def test_the_gradient_is_that_of_the_mean_loss_by_finite_differences():
    plan = tiny_plan()
    learner = tiny_learner(plan)
    learner.network.double()
    learner.data = Dataset("", {"train": Fold(*(part.double() for part in unlabelled(learner)))}, "", (), 3)
    weights = {key: value.double() for key, value in first_weights(plan).items()}
    found = learner.gradient(weights)
    for key, index in (("head.weight", (2, 3)), ("conv1.weight", (1, 0, 1, 1)), ("norm2.bias", (4,))):
        nudge = torch.zeros_like(weights[key])
        nudge[index] = 1e-6  # small enough to cross no kink of ReLU or max-pooling
        up, down = (learner.gradient(add(weights, {key: sign * nudge})).loss for sign in (1, -1))
        assert found.weights[key][index].item() == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-9)


def unlabelled(learner):
    """The learner's training fold with some labels unknown."""
    fold = learner.data.folds["train"]
    labels = fold.labels.clone()
    labels[0], labels[3, 2] = math.nan, math.nan
    return fold.inputs, labels


def test_one_step_of_sgd_over_all_scans_is_one_step_down_the_gradient():
    plan = tiny_plan(fit={"rate": 0.2, "batch_size": 8})
    learner, weights = tiny_learner(plan), first_weights(plan)
    down = add(weights, scale(learner.gradient(weights).weights, -0.2))
    for key, value in learner.fit(weights).weights.items():
        torch.testing.assert_close(value, down[key], rtol=0, atol=1e-6)


def test_a_penalty_a_correction_and_frozen_parameters_do_what_they_say():
    plan = tiny_plan(fit={"rate": 0.1, "batch_size": 8})
    learner, weights = tiny_learner(plan), first_weights(plan)
    plain = learner.fit(weights).weights
    pulled = learner.fit(weights, penalty=lambda now: 3.0 * now["head.bias"].sum()).weights
    torch.testing.assert_close(pulled["head.bias"], plain["head.bias"] - 0.3, rtol=0, atol=1e-6)
    corrected = learner.fit(weights, correction={"head.bias": torch.full((6,), 3.0)}).weights
    torch.testing.assert_close(corrected["head.bias"], plain["head.bias"] - 0.3, rtol=0, atol=1e-6)
    frozen = learner.fit(weights, frozen={"conv1.weight"}).weights
    assert torch.equal(frozen["conv1.weight"], weights["conv1.weight"])
    assert not torch.equal(frozen["head.bias"], weights["head.bias"])


def test_the_rate_falls_along_a_cosine_over_the_rounds_of_the_run():
    plan = tiny_plan(rounds=10, fit={"rate": 0.4, "decay": "cosine"})
    rates = [tiny_learner(plan, round=number).fit(first_weights(plan)).rate for number in range(10)]
    assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * number / 10)) for number in range(10)])


def test_scans_without_a_label_change_nothing_in_the_gradient():
    learner = tiny_learner(tiny_plan())
    weights, (images, labels) = first_weights(tiny_plan()), unlabelled(learner)
    learner.data = Dataset("", {"train": Fold(images, labels)}, "", ())
    whole = learner.gradient(weights).weights
    learner.data = Dataset("", {"train": Fold(images[1:], labels[1:])}, "", ())
    for key, value in learner.gradient(weights).weights.items():
        torch.testing.assert_close(value, whole[key], rtol=1e-5, atol=1e-7)


def test_a_site_without_a_labelled_training_scan_is_refused_by_name():
    learner = tiny_learner(tiny_plan(), site="st-elsewhere")
    fold = learner.data.folds["train"]
    learner.data = Dataset("", {"train": Fold(fold.inputs, torch.full_like(fold.labels, math.nan))}, "", ())
    with pytest.raises(Refused, match="st-elsewhere has no labelled training sample"):
        learner.fit(first_weights(tiny_plan()))


def test_weights_of_another_network_are_refused():
    other = first_weights(tiny_plan(network={"architecture": "cnn", "size": 32, "options": {"widths": [8, 16]}}))
    with pytest.raises(
        Refused, match=r"site-1, round 0: the model sent: tensor conv2.weight has shape \(16, 8, 3, 3\)"
    ):
        tiny_learner(tiny_plan()).fit(other)


def test_predictions_are_probabilities_in_the_order_of_the_fold():
    learner, weights = tiny_learner(tiny_plan(), batch_size=3), first_weights(tiny_plan())
    found = learner.predict(weights)
    assert found.shape == (8, 6)
    images = learner.data.folds["test"].inputs
    torch.testing.assert_close(found[5:6], learner.network(images[5:6]).sigmoid().detach())


def test_an_empty_fold_is_evaluated_to_null_with_a_reason():
    learner = tiny_learner(tiny_plan())
    learner.data = Dataset("", {"test": Fold(torch.empty(0, 3, 32, 32), torch.empty(0, 6))}, "", ())
    found = learner.evaluate(first_weights(tiny_plan()))["any"]
    assert found["auroc"] is None
    assert found["reason"]


def test_the_gradient_does_not_depend_on_how_the_scans_are_batched():
    weights, found = first_weights(tiny_plan()), []
    for batch_size in (8, 3):
        learner = tiny_learner(tiny_plan(), batch_size=batch_size)
        learner.data = Dataset("", {"train": Fold(*unlabelled(learner))}, "", ())
        found.append(learner.gradient(weights))
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-6)
    for key, value in found[0].weights.items():
        torch.testing.assert_close(found[1].weights[key], value, rtol=1e-4, atol=1e-7)


def test_pseudo_labels_count_as_much_as_said_next_to_the_sites_own():
    # one step of plain gradient descent over all scans at once: what moved is rate times the gradient of the loss
    plan = tiny_plan(fit={"steps": 1, "rate": 0.5})
    learner = tiny_learner(plan, batch_size=100)
    pseudo = torch.full((PUBLIC, 6), math.nan)
    pseudo[:7, 5] = torch.tensor([1.0, 0, 0, 1, 1, 0, 1])
    before = {key: value.requires_grad_() for key, value in first_weights(plan).items()}

    def loss(images, labels):
        logits, known = functional_call(network_of(plan.network, plan.seed), before, (images,)), ~labels.isnan()
        return binary_cross_entropy_with_logits(logits[known], labels[known])

    whole = 0.8 * loss(*learner.samples("train")) + 0.2 * loss(learner.samples("public")[0], pseudo)
    gradients = dict(zip(before, torch.autograd.grad(whole, list(before.values())), strict=True))
    after = learner.fit({key: value.detach() for key, value in before.items()}, public_labels=PublicLabels(pseudo, 0.8))
    assert after.examples == 8
    for key, value in before.items():
        torch.testing.assert_close(after.weights[key], value.detach() - 0.5 * gradients[key])


def test_a_pass_goes_over_the_sites_scans_and_every_public_scan_with_a_label():
    plan, pseudo = tiny_plan(), torch.full((PUBLIC, 6), math.nan)
    learner = tiny_learner(plan, batch_size=1)
    weights = first_weights(plan)
    assert learner.fit(weights).steps == learner.fit(weights, public_labels=PublicLabels(pseudo)).steps == 8
    assert sha256(learner.fit(weights).weights) == sha256(
        learner.fit(weights, public_labels=PublicLabels(pseudo)).weights
    )
    pseudo[2, 1] = pseudo[5, 5] = pseudo[5, 4] = 1.0
    assert learner.fit(weights, public_labels=PublicLabels(pseudo)).steps == 10


def test_public_scans_can_be_predicted_and_have_no_label():
    learner = tiny_learner(tiny_plan())
    assert learner.predict(first_weights(tiny_plan()), "public").shape == (PUBLIC, 6)
    assert learner.samples("public")[1].isnan().all()


def test_a_learner_that_answers_by_another_rule_is_evaluated_by_it():
    learner = tiny_learner(tiny_plan())
    labels = learner.samples("test")[1]
    seeing = learner.adapted(predictor=lambda fold: learner.samples(fold)[1])
    assert torch.equal(seeing.predict({}, "test"), labels)
    assert seeing.evaluate({}, "test")["any"]["brier"] == 0.0
    assert learner.evaluate(first_weights(tiny_plan()), "test")["any"]["brier"] > 0.0
