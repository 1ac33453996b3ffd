"""What is true of the server's optimisers alone: first and second step by hand, per coordinate."""

import pytest
import torch

from brainct.core.learner import Model
from brainct.core.scheme import Report
from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedopt import fedadagrad, fedadam, fedavgm, fedyogi
from tests.conftest import tiny_learner, tiny_plan

FIRST, SECOND = (0.5, -0.002, 0.03), (-0.1, 0.004, 0.03)
RATE, B1, B2, TAU = 0.1, 0.9, 0.99, 0.01


def steps(scheme):
    """The model, from zeros, after the sites' mean changed by FIRST and then by SECOND."""
    memory = scheme.start(Model({"w": torch.zeros(3), "n": torch.tensor(0)}), ["a", "b"], 0)
    for number, change in enumerate((FIRST, SECOND)):
        sent = memory["weights"]["w"]
        # one site of three scans, one of one: the mean of 2 d / 3 and 2 d by their scans is d
        reports = {
            "a": Report({"w": sent + torch.tensor(change) * 2 / 3, "n": torch.tensor(number + 4)}, 3),
            "b": Report({"w": sent + torch.tensor(change) * 2, "n": torch.tensor(2)}, 1),
        }
        memory = scheme.combine(memory, number, reports)
        assert scheme.model(memory)["n"].item() == number + 4
        yield scheme.model(memory)["w"].tolist()


def by_hand(second, beta1):
    """Reddi et al., Algorithm 2, one coordinate at a time in plain numbers."""
    w, m, v = [0.0] * 3, [0.0] * 3, [TAU**2] * 3
    for change in (FIRST, SECOND):
        for i, d in enumerate(change):
            m[i] = beta1 * m[i] + (1 - beta1) * d
            v[i] = second(v[i], d)
            w[i] += RATE * m[i] / (v[i] ** 0.5 + TAU)
        yield list(w)


def sign(value):
    return (value > 0) - (value < 0)


@pytest.mark.parametrize(
    ("scheme", "second", "beta1"),
    [
        (fedadam(RATE, B1, B2, TAU), lambda v, d: B2 * v + (1 - B2) * d * d, B1),
        (fedyogi(RATE, B1, B2, TAU), lambda v, d: v - (1 - B2) * d * d * sign(v - d * d), B1),
        (fedadagrad(RATE, 0.0, TAU), lambda v, d: v + d * d, 0.0),
        (fedadagrad(RATE, 0.5, TAU), lambda v, d: v + d * d, 0.5),
    ],
    ids=["fedadam", "fedyogi", "fedadagrad", "fedadagrad with momentum"],
)
def test_two_adaptive_steps_by_hand(scheme, second, beta1):
    for got, wanted in zip(steps(scheme), by_hand(second, beta1), strict=True):
        assert got == pytest.approx(wanted, rel=1e-5)


def test_two_steps_with_momentum_by_hand():
    for got, velocities in zip(steps(fedavgm(0.5, 0.9)), (1, 2), strict=True):
        first = [0.5 * d for d in FIRST]
        second = [x + 0.5 * (0.9 * d + e) for x, d, e in zip(first, FIRST, SECOND, strict=True)]
        assert got == pytest.approx((first, second)[velocities - 1], rel=1e-5)


def test_without_momentum_at_rate_1_it_is_fedavg_to_the_bit():
    plan, sites, hashes = tiny_plan(), ["site-1", "site-2"], []
    for scheme in (fedavgm(1.0, 0.0), fedavg()):
        memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), sites, 0)
        for number in range(3):
            tasks = scheme.assign(memory, number, sites)
            reports = {
                site: scheme.reply(tasks[site], tiny_learner(plan, site, number, scans=5 + index), {})[0]
                for index, site in enumerate(sites)
            }
            memory = scheme.combine(memory, number, reports)
        hashes.append(sha256(scheme.model(memory)))
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(("make", "more"), [(fedadam, {"beta2": 1 - 1e-9}), (fedyogi, {}), (fedadagrad, {})])
def test_where_tau_dwarfs_all_changes_it_is_fedavg_at_rate_over_two_tau(make, more):
    """v stays at tau^2 (Adam's as beta2 nears 1), so that the step is eta Delta / (tau + tau)."""
    tau = 1e6
    after = torch.tensor(list(steps(make(rate=2 * tau, beta1=0.0, tau=tau, **more)))[1])
    torch.testing.assert_close(after, torch.tensor(FIRST) + torch.tensor(SECOND), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (fedavgm, {"rate": 0}),
        (fedavgm, {"momentum": 1}),
        (fedadam, {"rate": -1}),
        (fedadam, {"beta1": 1.0}),
        (fedadam, {"beta2": 1.0}),
        (fedyogi, {"beta2": -0.1}),
        (fedyogi, {"tau": 0}),
        (fedadagrad, {"tau": -1e-3}),
    ],
)
def test_arguments_out_of_range_are_refused(make, arguments):
    with pytest.raises(Refused, match=f"{make.__name__}: {next(iter(arguments))} is .*; wanted a finite number"):
        make(**arguments)
