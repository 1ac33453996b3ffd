"""A federation played by hand with real learners, for tests that look at what travels and at what stays."""

from dataclasses import dataclass
from typing import Any

from brainct.core.learner import Model
from brainct.core.scheme import Report, Scheme, Task
from brainct.ct.model import model_of
from brainct.job.config import Plan
from tests.conftest import tiny_learner

COUNTS = {"site-1": 4, "site-2": 9, "site-3": 14}
SITES = list(COUNTS)


@dataclass
class Played:
    """What was seen of one round: its tasks, its reports, each site's keep and the server's memory after it."""

    tasks: dict[str, Task]
    reports: dict[str, Report]
    keeps: dict[str, Any]
    memory: Any


def play(
    scheme: Scheme, plan: Plan, rounds: int = 3, *, model: Model | None = None, lost=(), learner=tiny_learner
) -> list[Played]:
    """Rounds over three sites with 4, 9 and 14 scans; lost: (site, round) pairs that do not answer."""
    memory = scheme.start(model or model_of(plan.network, plan.seed, plan.rounds), SITES, 7)
    keeps: dict[str, Any] = {site: {} for site in SITES}
    seen = []
    for number in range(rounds):
        tasks = dict(scheme.assign(memory, number, SITES))
        reports = {}
        for site in sorted(tasks):
            if (site, number) not in lost:
                doctor = learner(plan, site, number, scans=COUNTS[site])
                reports[site], keeps[site] = scheme.reply(tasks[site], doctor, keeps[site])
        memory = scheme.combine(memory, number, reports)
        seen.append(Played(tasks, reports, dict(keeps), memory))
    return seen
