"""Jobs of which one a family is tried by day and all by night: what is tried knows nothing of schemes."""

import pytest

from brainct.job import folders
from brainct.schemes import about

FIRST = {about(folders.JOBS[name]["scheme"]).family: name for name in sorted(folders.JOBS, reverse=True)}
one_a_family = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.nightly] * (name not in FIRST.values())) for name in sorted(folders.JOBS)],
)
