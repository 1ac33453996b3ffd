"""What is true of extrapolation at the server alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.core.learner import Model
from brainct.core.scheme import Report
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedexp import fedexp

START = torch.tensor([1.0, 2.0], dtype=torch.float64)
changes = st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=1, max_size=6)


def after(scheme, found, counts=None):
    memory = scheme.start(Model({"w": START, "n": torch.tensor(1)}), ["a"], 0)
    reports = {
        f"site-{index}": Report({"w": START + torch.tensor(d, dtype=torch.float64), "n": torch.tensor(index)}, count)
        for index, (d, count) in enumerate(zip(found, counts or [1] * len(found), strict=True))
    }
    return scheme.model(scheme.combine(memory, 0, reports))["w"]


def test_a_step_by_hand():
    """|d_1|^2 + |d_2|^2 = 25 + 25, mean d = (0.5, 0.5), of squared length 0.5: 50 / (4 (0.5 + 0.1)) times the mean."""
    eta = 50 / (2 * 2 * (0.5 + 0.1))
    wanted = START + eta * torch.tensor([0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(after(fedexp(0.1), [(4.0, -3.0), (-3.0, 4.0)]), wanted)


def test_shares_by_examples_take_the_place_of_one_over_m():
    """Shares 3/4 and 1/4: the mean is (1, 0.75), of squared length 1.5625, and sum_k p_k |d_k|^2 = 43.75."""
    found = after(fedexp(1.0, weight_by="examples"), [(4.0, 3.0), (-8.0, -6.0)], [3, 1])
    mean = torch.tensor([1.0, 0.75], dtype=torch.float64)
    eta = (3 / 4 * 25 + 1 / 4 * 100) / (2 * (1.5625 + 1.0))
    torch.testing.assert_close(found, START + eta * mean)


@given(changes)
def test_the_step_is_never_shorter_than_fedavgs_and_in_its_direction(found):
    step, mean = after(fedexp(), found) - START, after(fedavg(), found) - START
    torch.testing.assert_close(step * mean.norm(), mean * step.norm(), rtol=1e-6, atol=1e-6)
    assert step.norm() >= mean.norm() * (1 - 1e-9)


@given(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), st.integers(1, 5))
def test_where_the_sites_agree_it_is_fedavg(change, count):
    assert torch.equal(after(fedexp(), [change] * count), after(fedavg(), [change] * count))


def test_where_the_changes_cancel_epsilon_holds_the_model():
    assert torch.equal(after(fedexp(), [(1.0, 1.0), (-1.0, -1.0)]), START)


def test_an_epsilon_out_of_range_is_refused():
    with pytest.raises(Refused, match="fedexp: epsilon is 0; wanted a finite number above 0"):
        fedexp(0)
