"""The search against other libraries' on the same rows; nightly: causal-learn takes seconds to import."""

import numpy as np
import pytest

from brainct.graphs.moments import moments_of
from brainct.graphs.search import Rules, search
from tests.graphs.population import drawn, summed, weights


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_gies_and_causal_learn_find_the_same_class(seed):
    import gies
    from causallearn.search.ScoreBased.GES import ges

    rng = np.random.default_rng(seed)
    rows = drawn(weights(5 + seed, rng), 2000, rng)
    own = search(rows.shape[1], summed([moments_of(rows)]), Rules(9)).graph
    assert np.array_equal(gies.fit_bic([rows], [[]], phases=["forward", "backward"])[0], own)
    marks = ges(rows, "local_score_BIC", parameters={"lambda_value": 0.5})["G"].graph
    theirs = np.array([[marks[i, j] == -1 for j in range(len(own))] for i in range(len(own))])
    assert np.array_equal(theirs, own)


@pytest.mark.slow
def test_gadjid_counts_what_its_documentation_says():
    import gadjid

    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], np.int8)
    fork = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0]], np.int8)
    assert gadjid.sid(chain, fork, edge_direction="from row to column")[1] == 3
    assert gadjid.shd(chain, fork)[1] == 1
