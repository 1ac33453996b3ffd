"""A run opened again after its end, on a machine that has its sites' data: its record, its model, its learners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainct.core.learner import Learner
from brainct.core.scheme import Task
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.run import model_file, run_record
from brainct.run.model_file import ModelFile, read_model
from brainct.run.run_record import RunRecord, read_record
from brainct.site.agent import SiteAgent
from brainct.site.data import Opener, site_file_of
from brainct.site.worker import agents

RUN = "run"
"""The name under which rehearsed sites store their client state."""


@dataclass(frozen=True)
class Replay:
    """A run. agents: by site; they open a site's data when its learner is first asked for."""

    folder: Path
    record: RunRecord
    plan: Plan
    agents: Mapping[str, SiteAgent]

    @property
    def sites(self) -> list[str]:
        """The sites whose learners can be asked for, sorted."""
        return sorted(self.agents)

    def model(self) -> ModelFile:
        """The delivered model."""
        return read_model(self.folder / model_file.FILE)

    def in_use(self, site: str, model: ModelFile) -> tuple[Learner, Weights]:
        """The model that a site itself uses after the run, given the delivered one, and the learner that evaluates it.

        Both follow from the client state of the site, where the scheme has any.
        """
        return self.agents[site].delivered(self.plan, model.task, self.sites, RUN, shared_of(model.task))

    def check_fingerprint(self, site: str, found: str) -> None:
        """Refuse other data than the run's, by the fingerprint of the data that were opened here."""
        if found != self.record.sites[site].fingerprint:
            raise Refused(
                f"{site}'s scans here are not those of {self.folder}; its sites' models are known only where the scans "
                "of all sites are, as in a simulation: set BRAINCT_SITE to the site file of that run"
            )


def open_run(folder: Path, opener: Opener | None = None, sites: Sequence[str] = ()) -> Replay:
    """The run that wrote this folder; refused where its record is missing, broken, or of choices that no job can state.

    opener: opens each site's data; the default follows BRAINCT_SITE. sites: whose learners are wanted; the default is
    all that took part.
    """
    path = folder / run_record.FILE
    if not path.is_file():
        raise Refused(f"{path} does not exist; wanted the folder of a run, which says its network and its sites")
    record = read_record(path)
    found = agents(
        sorted(sites or record.sites),
        folder / "state" / "client_state",
        site_file_of(None),
        redact=False,
        opener=opener,
    )
    return Replay(folder, record, plan_of(record.plan, f"{path}: the plan"), found)


def shared_of(task: Task) -> Mapping[str, Any]:
    """What the workload gave every site's learner in the run that delivered this; see Workload.shared."""
    found: Mapping[str, Any] = task.extra.get("workload", {})
    return found


def adapted(plan: Plan, task: Task, learner: Learner) -> Learner:
    """The learner with which a site without client state, as a held-out one is, evaluates the delivered model."""
    return plan.build().adapt_input(task, learner, {})
