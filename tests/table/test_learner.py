"""What a table's learner does: its losses, what it converges to, and its scores."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy, mse_loss

from brainct.errors import Refused
from brainct.table.metrics import scores
from brainct.training.losses import masked_cross_entropy, masked_squares
from tests.table.tables import FIT, SITES, WINE, csv_site, learner_at, opened, table_plan


def test_losses_are_torchs_over_known_labels_and_unknown_ones_have_no_gradient():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 3, generator=rng, requires_grad=True)
    classes = torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    unknown = classes.clone()
    unknown[4] = torch.nan
    torch.testing.assert_close(masked_cross_entropy(logits, classes), cross_entropy(logits, classes))
    torch.testing.assert_close(masked_squares(logits, classes), mse_loss(logits, classes))
    for loss in (masked_cross_entropy, masked_squares):
        (gradient,) = torch.autograd.grad(loss(logits, unknown), logits)
        assert not gradient[4].any()
        assert gradient[[0, 1, 2, 3, 5]].abs().sum(1).min() > 0
        nothing = loss(logits, torch.full_like(classes, torch.nan))
        assert nothing == 0
        assert not torch.autograd.grad(nothing, logits)[0].any()
        shares = torch.full((6, 3), 1 / 3 if loss is masked_cross_entropy else 1.0)
        assert loss(logits, classes, shares) > 0


def test_shares_weigh_samples_as_they_say():
    logits, classes = torch.randn(4, 2, generator=torch.Generator().manual_seed(1)), torch.eye(2)[[0, 1, 1, 0]]
    shares = torch.tensor([[1.0, 1.0], [0.0, 0.0], [2.0, 2.0], [0.5, 0.5]])
    single = cross_entropy(logits, classes, reduction="none")
    expected = (single * torch.tensor([2.0, 0.0, 4.0, 1.0])).sum() / 4
    torch.testing.assert_close(masked_cross_entropy(logits, classes, shares), expected)
    expected = ((logits - classes).square() * shares).sum() / 4
    torch.testing.assert_close(masked_squares(logits, classes, shares), expected)


@pytest.mark.parametrize("choices", [{}, WINE, {**WINE, "model": {"kind": "mlp", "hidden": [8, 4]}}])
def test_the_gradient_is_that_of_the_mean_loss_by_finite_differences(choices):
    plan = table_plan(**choices)
    learner = learner_at(plan, opened(plan), "site-1")
    weights = dict(learner.initial().weights)
    found = learner.gradient(weights)
    nudge = torch.zeros_like(weights["head.weight"])
    nudge[0, 1] = 1e-2
    up, down = (
        learner.gradient({**weights, "head.weight": weights["head.weight"] + sign * nudge}).loss for sign in (1, -1)
    )
    assert float(found.weights["head.weight"][0, 1]) == pytest.approx((up - down) / 2e-2, rel=1e-2, abs=1e-4)


def test_logistic_regression_converges_to_scikit_learns():
    plan = table_plan(
        features=["mean smoothness", "mean texture"], fit={**FIT, "rate": 1.0, "epochs": 2000, "batch_size": 1000}
    )
    learner = learner_at(plan, opened(plan), "site-1")
    inputs, labels = learner.samples("train")
    wanted = LogisticRegression(C=1e9, max_iter=10**4, tol=1e-8).fit(inputs.numpy(), labels[:, 0].numpy())
    found = learner.fit(learner.initial().weights).weights
    np.testing.assert_allclose(found["head.weight"].numpy(), wanted.coef_, rtol=0.02)
    np.testing.assert_allclose(found["head.bias"].numpy(), wanted.intercept_, rtol=0.05, atol=0.02)


def test_a_regression_finds_the_line(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{x},{y},{2 * x - y + 1}" for x, y in rng.normal(size=(100, 2))]
    plan = table_plan(
        task="regression",
        features=["x", "y"],
        outputs=["z"],
        fit={**FIT, "rate": 0.1, "epochs": 200, "batch_size": 100},
    )
    data = opened(plan, ["a"], csv_site(tmp_path, ["x,y,target", *rows]))
    learner = learner_at(plan, data, "a")
    found = learner.evaluate(learner.fit(learner.initial().weights).weights)["all"]
    assert found["rmse"] < 0.01
    assert (found["auroc"], found["samples"], found["reason"]) == (None, 20, None)


def test_scores_of_perfect_predictions_and_of_labels_that_do_not_define_them():
    labels = np.array([[1.0], [0.0], [np.nan], [1.0]])
    found = scores("binary", labels, np.array([[0.9], [0.1], [0.5], [0.8]]))["all"]
    assert (found["auroc"], found["accuracy"], found["samples"], found["fewest"], found["unlabelled"]) == (
        1,
        1,
        3,
        1,
        1,
    )
    alone = scores("binary", labels[[0, 3]], np.array([[0.9], [0.8]]))["all"]
    assert (alone["auroc"], alone["accuracy"], alone["reason"]) == (None, 1.0, "a class has no sample")
    nothing = scores("classes", np.full((2, 3), np.nan), np.full((2, 3), 1 / 3))["all"]
    assert (nothing["accuracy"], nothing["samples"], nothing["reason"]) == (None, 0, "no labelled sample")


def test_the_auroc_of_classes_is_the_mean_over_those_that_are_there():
    labels = np.eye(3)[[0, 0, 1, 1]]
    guess = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.55, 0.35, 0.1]])
    found = scores("classes", labels, guess)["all"]
    assert found["auroc"] == pytest.approx((0.75 + 0.75) / 2)
    assert found["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"task": "classes"}, "outputs names one class"),
        ({"outputs": ["a", "b"]}, "outputs has 2 names; task binary has one output"),
        ({"features": ["a", "a"]}, "a is named twice"),
        ({"project": 30}, "project is 30; wanted fewer than the 30 columns"),
        ({"network": {}}, "unknown key 'network'"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(choices, words):
    with pytest.raises(Refused, match=words):
        table_plan(**choices)


def test_every_site_trains_the_same_model_from_the_same_start():
    plan = table_plan()
    data = opened(plan)
    starts = [learner_at(plan, data, site).initial().weights for site in SITES]
    assert all(torch.equal(one["head.weight"], starts[0]["head.weight"]) for one in starts)


def test_a_sample_to_which_every_tree_gives_0_counts_as_undecided():
    found = scores("classes", np.eye(2), np.array([[0.0, 0.0], [0.0, 1.0]]))["all"]
    assert found["log_loss"] == pytest.approx(np.log(2) / 2)
