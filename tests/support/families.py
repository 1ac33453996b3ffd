"""Jobs of which one a family is tried by day and all by night: what is tried knows nothing of schemes."""

import pytest

from brainct.job import folders
from brainct.schemes import SCHEMES, about

TRAINING = sorted(name for name, make in SCHEMES.items() if "columns" not in make().needs)
"""Schemes that train a model; those that search a graph are tried in tests/causal."""
JOBS = sorted(name for name, row in folders.JOBS.items() if row["scheme"] in TRAINING)
FIRST = {about(folders.JOBS[name]["scheme"]).family: name for name in reversed(JOBS)}
FIRST["wrappers"] = "secagg"  # of the wrappers it has the most that can break
one_a_family = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.nightly] * (name not in FIRST.values())) for name in JOBS],
)
