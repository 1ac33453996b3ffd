"""A site's own batch size counts within the job's bounds, and is refused beyond them when its data are opened."""

import pytest

from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from tests.conftest import PHANTOM, tiny_learner, tiny_plan


def batch(size, own=8):
    plan = tiny_plan(fit={"batch_size": size})
    return plan.fit.batch_of(own, "hospital-b")


def test_the_jobs_number_counts_before_the_sites_and_the_sites_counts_within_bounds():
    assert batch(4) == 4
    assert batch(None) == 8
    assert batch([4, 16]) == 8
    assert tiny_learner(tiny_plan(fit={"batch_size": [4, 16]})).batch_size == 8


@pytest.mark.parametrize("bounds", [[9, 16], [1, 7]])
def test_a_site_beyond_the_bounds_is_refused_by_its_name(bounds):
    with pytest.raises(Refused, match=rf"hospital-b trains with batches of 8 .* takes {bounds[0]} to {bounds[1]}"):
        batch(bounds)


@pytest.mark.parametrize("wrong", [[8], [8, 4], [0, 4], [1, 2, 3]])
def test_bounds_that_are_none_are_refused(wrong):
    with pytest.raises(Refused, match="batch_size"):
        batch(wrong)


def test_a_run_is_refused_at_the_roll_call_and_within_bounds_is_the_sites_own(tmp_path, small_site):
    def run(folder, size):
        plan = tiny_plan(rounds=1, fit={"batch_size": size})
        return rehearse(plan, site_names(2), tmp_path / folder, log=lambda line: None).record.model_sha256

    assert "batch_size: 4" in PHANTOM
    assert run("bounds", [2, 6]) == run("number", 4) != run("other", 8)
    with pytest.raises(Refused, match="the roll call can't be closed.*batches of 4"):
        run("beyond", [8, 16])
