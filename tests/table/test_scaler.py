"""Standardising by sums: the pooled mean and deviation, whatever the partition, and the same at all sites."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.errors import Refused
from brainct.table.dataset import TableData
from brainct.table.scaler import pooled, scaler_of, sums_of
from brainct.training.data import Fold
from tests.table.tables import SITES, learner_at, opened, shared_of, table_plan


def site_with(values):
    return TableData("t", {"train": Fold(torch.from_numpy(values), torch.zeros(len(values), 1))}, "0")


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_sums_give_the_pooled_mean_and_deviation_whatever_the_partition(seed, sites):
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.normal(0, 1e6, 3), [1e-3, 1.0, 1e4], (50, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    owner = rng.integers(0, sites, 50)
    found = pooled([sums_of(site_with(values[owner == at])) for at in range(sites)])
    np.testing.assert_allclose(found["mean"], np.nanmean(values, 0), rtol=1e-12)
    np.testing.assert_allclose(found["deviation"], np.nanstd(values, 0), rtol=1e-6)


def test_a_constant_column_is_centred_and_a_column_without_any_value_is_refused():
    values = np.array([[3.0, np.nan], [3.0, np.nan]])
    assert pooled([sums_of(site_with(values[:, :1]))]) == {"mean": [3.0], "deviation": [1.0]}
    with pytest.raises(Refused, match="column 2 of the job has no value at any site"):
        pooled([sums_of(site_with(values))])


def test_all_sites_scale_alike_to_mean_0_and_deviation_1_and_a_missing_value_becomes_the_mean():
    plan = table_plan()
    data = opened(plan)
    seen = torch.cat([learner_at(plan, data, site).samples("train")[0] for site in SITES]).double()
    torch.testing.assert_close(seen.mean(0), torch.zeros(30).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(30).double(), rtol=0, atol=1e-5)
    scaler = scaler_of(plan, shared_of(plan, data), 1)
    assert not scaler.applied(torch.full((1, 30), torch.nan).double()).any()


def test_a_projection_follows_from_the_jobs_seed_alone():
    plans = [table_plan(project=2), table_plan(project=2), table_plan(project=2, seed=2)]
    first, same, other = (learner_at(plan, opened(plan), "site-1").samples("train")[0] for plan in plans)
    assert first.shape[1] == 2
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


def test_a_learner_without_the_shared_values_is_refused():
    with pytest.raises(Refused, match="came without their means and deviations"):
        scaler_of(table_plan(), {}, 1)
    assert scaler_of(table_plan(standardise=False), {}, 1).deviation.tolist() == [1.0] * 30
