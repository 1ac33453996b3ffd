"""A federation played by hand with real learners, for tests that look at what travels and at what stays."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from brainct.core.learner import Model
from brainct.core.scheme import Report, Scheme, Task, followed
from brainct.job.config import Plan
from tests.conftest import seeded_model, tiny_learner

COUNTS = {"site-1": 4, "site-2": 9, "site-3": 14}
SITES = list(COUNTS)
MORE = {
    "centered_clipping": 4,
    "geometric_median": 4,
    "krum": 6,
    "median": 4,
    "multikrum": 6,
    "norm_clipping": 4,
    "radon": 4,
    "trimmed_mean": 4,
}
"""Sites of a federation whose round may lose one: a scheme that counts Byzantine sites needs more than three."""


def sites_of(name: str) -> list[str]:
    """The federation in which a scheme is tried."""
    return [f"site-{number}" for number in range(1, MORE.get(name, 3) + 1)]


@dataclass
class Played:
    """What was seen of one round: its tasks, its reports, each site's keep and the server's memory after it."""

    tasks: dict[str, Task]
    reports: dict[str, Report]
    keeps: dict[str, Any]
    memory: Any


def unchanged(value: Any) -> Any:
    return value


def rounds(
    scheme: Scheme,
    plan: Plan | None,
    count: int,
    *,
    model: Model | None = None,
    sites=SITES,
    counts=COUNTS,
    seed=7,
    learner=tiny_learner,
    lost=(),
    unheard=(),
    change=unchanged,
    between=unchanged,
    backwards=False,
) -> Iterator[Played]:
    """One round after the other, with a follow-up where the scheme has one.

    lost: (site, round) pairs that are not asked; unheard: those whose report is lost after the site made it.
    change: what becomes of a round's reports; between: of the memory after it. backwards: the last site answers first.
    """
    memory = scheme.start(model or seeded_model(plan), sites, seed)
    keeps: dict[str, Any] = {site: {} for site in sites}
    for number in range(count):

        def ask(site: str, task: Task, number: int = number) -> Report:
            trainer = learner(plan, site, number, scans=counts.get(site, 8))
            report, keeps[site] = scheme.reply(task, trainer, keeps[site])
            return report

        tasks = dict(scheme.assign(memory, number, sites))
        asked = [site for site in sorted(tasks, reverse=backwards) if (site, number) not in lost]
        reports = {site: ask(site, tasks[site]) for site in asked}
        heard = {site: reports[site] for site in sorted(reports) if (site, number) not in unheard}
        arrived = dict(followed(scheme, memory, number, heard, ask))
        memory = between(scheme.combine(memory, number, change(arrived)))
        yield Played(tasks, arrived, dict(keeps), memory)


def play(scheme: Scheme, plan: Plan | None, count: int = 3, **choices) -> list[Played]:
    """So many `rounds`, by default over three sites with 4, 9 and 14 scans."""
    return list(rounds(scheme, plan, count, **choices))
