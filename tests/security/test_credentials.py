"""What a site draws from its secrets: the same for the same words, and nothing in common for others."""

import numpy as np
import pytest

from brainct.errors import Refused
from brainct.security.credentials import SiteCredentials, digest_of, offline
from tests.conftest import tiny_plan


def drawn(*words, secret="s", site="site-1", round=0, count=4):
    return SiteCredentials(1, site, round, "0" * 64, secret).private_uniform(count, *words).tolist()


def test_private_numbers_follow_from_the_secret_and_all_words_and_are_refused_without_one():
    assert drawn("a") == drawn("a")
    others = [drawn("b"), drawn("a", secret=""), drawn("a", site="site-2"), drawn("a", round=1)]
    assert not any(set(drawn("a")) & set(other) for other in others)
    counts = np.histogram(drawn(count=40_000), 20, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 43.8  # chi-square with 19 degrees of freedom, p = 0.001
    with pytest.raises(Refused, match="site-1 has no secret .* set BRAINCT_SECRET"):
        drawn("a", secret=None)


def test_a_key_is_the_same_in_all_rounds_of_a_run_and_another_in_another_run():
    def key(run=b"run", site="site-1", round=0, seed=1):
        return SiteCredentials(seed, site, round, "0" * 64, run_secret=lambda: run).run_key()

    assert key() == key(round=5)
    assert len({key(), key(run=b"other"), key(site="site-2"), key(seed=2)}) == 4


def test_every_choice_of_a_job_changes_its_digest_and_outside_a_federation_it_is_the_jobs_too():
    plans = [tiny_plan(), tiny_plan(seed=2), tiny_plan(fit={"rate": 0.1}), tiny_plan("feddc"), tiny_plan(rounds=4)]
    assert len({digest_of(plan) for plan in plans}) == len(plans)
    assert offline(tiny_plan(), "site-1").credentials.job_digest() == digest_of(tiny_plan())
