"""The mathematics of bench/papers that its verdicts rest on: the coupon collector and FedDC's period."""

import numpy as np
import pytest

from tests.conftest import ROOT


@pytest.fixture
def guarantee(monkeypatch):
    for folder in ("bench", "bench/papers"):
        monkeypatch.syspath_prepend(ROOT / folder)
    import feddc_guarantee

    return feddc_guarantee


def test_the_coupon_collectors_mean_is_exact_for_few_sites(guarantee):
    assert guarantee.mean_hops(2, 2) == pytest.approx(3)  # one draw for the first site, two on average for the other
    assert guarantee.mean_hops(4, 1) == pytest.approx(1)
    assert guarantee.mean_hops(4, 2) == pytest.approx(1 + 4 / 3)


def test_the_period_is_that_of_the_authors_notebook_for_susy(guarantee):
    k = guarantee.sites_needed(0.05, 0.01, 2)
    assert k == 47
    assert guarantee.period(441, k, 0.01) == pytest.approx(49.898296243030956)
    assert guarantee.period(441, k, 0.01, d=3) == pytest.approx(3 * 49.898296243030956)


def test_of_two_models_both_have_seen_both_sites_after_the_first_exchange(guarantee):
    hops = guarantee.hops_until(2, 2, 4000, np.random.default_rng(0))
    assert (hops[:, 0] == hops[:, 1]).all()  # two models change places together
    assert hops.min() == 2
    assert np.mean(hops == 2) == pytest.approx(0.5, abs=0.03)
    assert hops.mean() == pytest.approx(3, abs=0.1)
