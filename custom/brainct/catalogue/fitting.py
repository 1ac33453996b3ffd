"""Which schemes run on a workload with its default network, and why the others are refused."""

from dataclasses import replace

from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.schemes import SCHEMES

RUNS = "runs"
SITES, PUBLIC = 7, 96
"""Sites, enough for every robust scheme's defaults, and scans of the public set, if a scheme needs one."""


def fitting(workload: str) -> dict[str, str]:
    """Scheme -> RUNS, or the sentence with which a run of it is refused before it begins; defaults everywhere."""
    return {name: _verdict(name, workload) for name in sorted(SCHEMES)}


def _verdict(name: str, workload: str) -> str:
    try:
        plan = plan_of({"scheme": name, "workload": workload}, name)
        model = replace(plan.kind.initial(plan, plan.seed, plan.rounds), public=PUBLIC)
        plan.build().start(model, site_names(SITES), plan.seed)
    except Refused as error:
        return str(error).removeprefix(f"{name}: ")
    return RUNS
