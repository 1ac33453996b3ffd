"""What is true of the one-shot ridge head alone."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.core import serialization
from brainct.core.learner import Layer, Model
from brainct.core.report_check import check_report
from brainct.core.scheme import Report
from brainct.core.weights import sha256
from brainct.ct.model import model_of, network_of
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.schemes._gram import head_inputs, matrices
from brainct.schemes.ridge import ridge
from brainct.schemes.sitenorm import sitenorm
from brainct.training.data import Dataset, Fold
from brainct.training.networks import channels_last
from tests.conftest import first_weights, tiny_learner, tiny_plan

SITES = ["site-1", "site-2", "site-3"]
LAM = 0.03
N, D, F = 60, 5, 3


def pooled(unknown=0.2):
    """(N, D) features that lie off 0 and (N, F) labels: findings of 10, 50 and 80 %, a share of them not known."""
    rng = np.random.default_rng(5)
    features = rng.normal(2.0, 3.0, (N, D)) * [1, 1, 1, 1, 0.1]
    labels = (rng.random((N, F)) < [0.1, 0.5, 0.8]).astype(float)
    labels[rng.random((N, F)) < unknown] = math.nan
    return torch.from_numpy(features), torch.from_numpy(labels)


def solve(features, labels, owners, scheme=None, lost=(), rounds=1):
    """The head (weight, bias) of a federation in which each scan lies at the site that `owners` says."""
    scheme = scheme or ridge(LAM)
    weights = {"head.weight": torch.full((F, D), 9.0).double(), "head.bias": torch.full((F,), 9.0).double()}
    sites = [f"site-{number}" for number in sorted(set(owners))]
    network = Model(weights, (Layer("head", "Linear", tuple(weights)),))
    memory = scheme.start(network, sites, 0)
    for number in range(rounds):
        reports = {}
        for site, task in scheme.assign(memory, number, sites).items():
            mine = torch.tensor([site == f"site-{owner}" for owner in owners])

            def observe(weights, layers, record, mine=mine):
                record(layers[0], features[mine], None)
                return labels[mine]

            learner = SimpleNamespace(initial=lambda: network, observe=observe)
            report, _ = scheme.reply(task, learner, {})
            check_report(report, task, scheme, site)
            if (site, number) not in lost:
                reports[site] = report
        memory = scheme.combine(memory, number, reports)
    model = scheme.model(memory)
    return model["head.weight"], model["head.bias"]


def by_sklearn(features, labels, j):
    """2w and 2b of scikit-learn's ridge for one finding, with the weights of balanced classes."""
    from sklearn.linear_model import Ridge

    known = ~labels[:, j].isnan()
    x, y = features[known].double().numpy(), labels[known, j].numpy()
    share = np.where(y == 1, 1 / (y == 1).sum(), 1 / (y == 0).sum())
    mean = np.average(x, axis=0, weights=share)
    alpha = LAM * (share[:, None] * (x - mean) ** 2).sum(0).mean()
    found = Ridge(alpha, solver="cholesky").fit(x, 2 * y - 1, sample_weight=share)
    return 2 * torch.from_numpy(found.coef_), 2 * float(found.intercept_)


@given(st.lists(st.integers(1, 7), min_size=N, max_size=N))
def test_the_head_is_the_same_for_every_partition_of_the_scans(owners):
    features, labels = pooled()
    whole, parts = solve(features, labels, [1] * N), solve(features, labels, owners)
    torch.testing.assert_close(parts[0], whole[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(parts[1], whole[1], rtol=0, atol=1e-9)


def test_the_head_is_scikit_learns_ridge_with_balanced_classes_on_the_pooled_features():
    features, labels = pooled()
    weight, bias = solve(features, labels, [1, 2, 3] * 20)
    for j in range(F):
        wanted = by_sklearn(features, labels, j)
        torch.testing.assert_close(weight[j], wanted[0], rtol=0, atol=1e-9)
        assert bias[j].item() == pytest.approx(wanted[1], abs=1e-9)


def test_a_scan_whose_label_is_not_known_has_no_share_in_that_finding_and_its_share_in_the_others():
    features, labels = pooled(unknown=0)
    unknown = labels.clone()
    unknown[30:, 1] = math.nan
    some, all_known = solve(features, unknown, [1, 2] * 30), solve(features, labels, [1, 2] * 30)
    without = solve(features[:30], labels[:30], [1, 2] * 15)
    torch.testing.assert_close(some[0][1], without[0][1], rtol=0, atol=1e-9)
    torch.testing.assert_close(some[0][[0, 2]], all_known[0][[0, 2]], rtol=0, atol=1e-9)


def test_a_site_that_doubles_its_healthy_scans_does_not_move_the_line():
    features, labels = pooled(unknown=0)
    healthy = labels[:, 1] == 0
    more = torch.cat([features, features[healthy]]), torch.cat([labels, labels[healthy]])
    once, twice = solve(features, labels, [1, 2] * 30), solve(*more, [1, 2] * 30 + [3] * int(healthy.sum()))
    torch.testing.assert_close(once[0][1], twice[0][1], rtol=0, atol=1e-9)
    assert (once[0][0] - twice[0][0]).abs().max() > 1e-3  # another finding, whose scans were not all doubled


def test_the_scale_of_the_features_changes_no_answer():
    features, labels = pooled()
    (weight, bias), (small, same) = (solve(scale * features, labels, [1, 2] * 30) for scale in (1.0, 1e-3))
    torch.testing.assert_close(weight, small * 1e-3, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(bias, same, rtol=1e-6, atol=1e-9)


def test_a_finding_with_one_class_over_all_sites_keeps_its_head():
    features, labels = pooled()
    labels[:, 0], labels[:, 2] = torch.where(labels[:, 0] == 0, 0.0, math.nan), math.nan
    weight, bias = solve(features, labels, [1, 2] * 30)
    assert (weight[[0, 2]] == 9).all()
    assert (bias[[0, 2]] == 9).all()
    assert (weight[1] != 9).all()


def test_a_lost_site_is_asked_again_and_then_nothing_changes_any_more():
    features, labels = pooled()
    owners = [1, 2, 3] * 20
    whole, lost = solve(features, labels, owners), {("site-2", 0), ("site-2", 1)}
    kept = torch.tensor([owner != 2 for owner in owners])
    without = solve(features[kept], labels[kept], [1, 3] * 20)
    left = solve(features, labels, owners, lost=lost, rounds=2)
    torch.testing.assert_close(left[0], without[0], rtol=0, atol=1e-9)
    late = solve(features, labels, owners, lost=lost, rounds=3)
    torch.testing.assert_close(late[0], whole[0], rtol=0, atol=1e-9)
    assert torch.equal(solve(features, labels, owners, lost=lost, rounds=9)[0], late[0])
    assert (left[0] - whole[0]).abs().max() > 1e-3


def test_what_travels_once_is_two_triangles_a_finding_in_double_precision_and_then_a_count():
    plan, scheme = tiny_plan("ridge"), ridge()
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0)
    task = scheme.assign(memory, 0, SITES)["site-1"]
    report, client_state = scheme.reply(task, tiny_learner(plan), {})
    assert 0 < serialization.size(report.weights) - 8 * 6 * (8 + 1) * (8 + 2) < 100
    assert (dict(report.extra), dict(report.metrics), set(client_state)) == ({}, {}, {"said"})
    memory = scheme.combine(memory, 0, {site: report for site in SITES})
    again, _ = scheme.reply(scheme.assign(memory, 1, SITES)["site-1"], None, {})
    assert again == Report({}, 8)
    assert scheme.combine(memory, 1, {site: again for site in SITES}) is memory


def test_only_the_head_changes_and_its_logits_are_twice_the_scores():
    plan, scheme = tiny_plan("ridge"), ridge(LAM)
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0)
    learners = {site: tiny_learner(plan, site) for site in SITES}
    tasks = scheme.assign(memory, 0, SITES)
    reports = {site: scheme.reply(tasks[site], learners[site], {})[0] for site in SITES}
    model, before = scheme.model(scheme.combine(memory, 0, reports)), first_weights(plan)
    assert [key for key in before if not torch.equal(before[key], model[key])] == ["head.weight", "head.bias"]
    found = [head_inputs(learners[site], before, "head") for site in SITES]
    features, labels = torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])
    logits = torch.cat([learners[site].predict(model).double().logit() for site in SITES])
    for j in range(6):
        weight, bias = by_sklearn(features, labels.double(), j)
        torch.testing.assert_close(logits[:, j], features.double() @ weight + bias, rtol=0, atol=1e-3)


def test_the_features_are_what_enters_the_head_in_the_order_of_the_fold_without_augmentation():
    plan = tiny_plan(fit={"augment": {"scanner": 1.0}})
    learner, weights = tiny_learner(plan, batch_size=3), first_weights(plan)
    features, labels = head_inputs(learner, weights, "head")
    fold, network = learner.data.folds["train"], network_of(plan.network, plan.seed)
    body = torch.nn.Sequential(*list(network)[:-1])
    torch.testing.assert_close(features, body(channels_last(fold.inputs)).detach(), rtol=0, atol=1e-6)
    assert torch.equal(labels, fold.labels)
    assert not features.requires_grad
    assert not learner.network.get_submodule("head")._forward_hooks


def test_one_scan_of_a_class_can_be_read_off_its_matrix():
    """What the row on privacy says: the last row of the triangle of a single scan is the scan's features, and 1."""
    features, labels = torch.tensor([[3.0, 5.0]]), torch.tensor([[1.0]])
    without, with_finding = matrices(features, labels)[:, 0]
    assert with_finding[-3:].tolist() == [3.0, 5.0, 1.0]
    assert not without.any()


def test_around_it_the_scans_can_be_normalised_per_site():
    plan, scheme = tiny_plan(), sitenorm(ridge(LAM))
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, 0)
    for number in range(3):
        tasks = scheme.assign(memory, number, SITES)
        reports = {site: scheme.reply(tasks[site], tiny_learner(plan, site), {})[0] for site in SITES}
        for site in SITES:
            check_report(reports[site], tasks[site], scheme, site)
        memory = scheme.combine(memory, number, reports)
    assert not torch.equal(scheme.model(memory)["head.weight"], first_weights(plan)["head.weight"])


@pytest.mark.usefixtures("small_site")
def test_a_run_is_the_same_to_the_bit_with_two_workers_and_starts_from_a_checkpoint(tmp_path):
    plan = tiny_plan("ridge", rounds=2)
    hashes = [
        rehearse(plan, SITES, tmp_path / str(n), workers=n, log=lambda line: None).content["model_sha256"]
        for n in (1, 2)
    ]
    assert hashes[0] == hashes[1]
    body = {key: value + 0.1 for key, value in first_weights(plan).items()}
    found = rehearse(plan, SITES, tmp_path / "3", initial=body, log=lambda line: None).content
    assert found["model_sha256"] not in {*hashes, sha256(body)}
    assert set(found["test"]) == set(SITES)


def test_what_it_can_not_work_with_is_refused():
    with pytest.raises(Refused, match="ridge: lam is 0; wanted a finite number above 0"):
        ridge(lam=0)
    with pytest.raises(Refused, match="ridge: tiny has no linear layer with a bias"):
        ridge().start(Model({"w": torch.ones(1)}, (Layer("conv", "Conv2d", ("w",)),), "tiny"), SITES, 0)
    with pytest.raises(Refused, match="last features are the same for all scans"):
        solve(torch.zeros(N, D), pooled()[1], [1, 2] * 30)
    learner = tiny_learner(tiny_plan(), "st-elsewhere")
    fold = learner.data.folds["train"]
    learner.data = Dataset("", {"train": Fold(fold.inputs, torch.full_like(fold.labels, math.nan))}, "")
    with pytest.raises(Refused, match="st-elsewhere has no labelled training sample"):
        head_inputs(learner, first_weights(tiny_plan()), "head")
