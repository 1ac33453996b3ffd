"""The seam of a run's page: the parts that depend on the workload."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from brainct.pages.page import Section
from brainct.pages.picture import Picture
from brainct.report.causal_part import CausalPart
from brainct.report.ct.part import CtPart
from brainct.report.plain_part import PlainPart
from brainct.report.readable_record import findings_of
from brainct.report.run_folder import RunFolder


class WorkloadPart(Protocol):
    """One run's page, as far as its workload words it."""

    def warnings(self) -> list[str]:
        """What a reader must know of the data before any number."""
        ...

    def model_in_words(self) -> str:
        """What kind of model was trained."""
        ...

    def made(self) -> str:
        """What the hospitals did to get it: a verb."""
        ...

    def left_in_words(self) -> list[str]:
        """What left the hospitals besides what never does; empty where the scheme's own words fit."""
        ...

    def data_in_words(self) -> str:
        """How much data there were."""
        ...

    def how_good(self) -> list[str]:
        """The scores in sentences."""
        ...

    def how_sure(self) -> list[str]:
        """How uncertain the scores are."""
        ...

    def pictures(self) -> Sequence[Picture]:
        """The pictures of page one."""
        ...

    def hospitals(self) -> Section | None:
        """The hospitals' data."""
        ...

    def learning(self) -> Section | None:
        """The curves over the rounds."""
        ...

    def quality(self) -> Sequence[Section | None]:
        """The sections on scores."""
        ...

    def model(self) -> Sequence[Section | None]:
        """The sections on the model: examples of its answers, its card."""
        ...

    def terms(self) -> Mapping[str, str]:
        """Definitions of the workload's words."""
        ...


def workload_of(run: RunFolder) -> str:
    """The run's workload; a record without the key is of head CT."""
    return str(run.record.plan.get("workload", "ct"))


def part_of(run: RunFolder) -> WorkloadPart:
    """The part of the run's workload; head CT's own tells of bleedings, so it is for jobs with the finding `any`."""
    name = workload_of(run)
    if name == "causal":
        return CausalPart(run)
    return CtPart(run) if name == "ct" and "any" in findings_of(run.record) else PlainPart(run)
