"""The seam of a run's page: the parts that each workload words itself, and what a page shows of any other workload."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from brainct.pages.page import Section
from brainct.pages.picture import Picture
from brainct.pages.wording import counted
from brainct.report.ct.part import CtPart
from brainct.report.run_folder import RunFolder
from brainct.report.sections.hospitals import hospitals
from brainct.report.sections.rounds import learning


class WorkloadPart(Protocol):
    """One run's page, as far as its workload words it."""

    def model_in_words(self) -> str:
        """What kind of model was trained."""
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
    """The part of the run's workload."""
    workload = workload_of(run)
    return CtPart(run) if workload == "ct" else OtherPart(run, workload)


class OtherPart:
    """A workload for which a page has no words: its scores stay in record.json."""

    def __init__(self, run: RunFolder, workload: str):
        self.run, self.workload = run, workload

    def model_in_words(self) -> str:
        """What kind of model was trained."""
        return f"A model of the workload `{self.workload}`."

    def data_in_words(self) -> str:
        """How much data there were."""
        sites = self.run.record.sites.values()
        train, valid, test = (sum(one.scans(fold) for one in sites) for fold in ("train", "valid", "test"))
        learned = f"{counted(train, 'sample')} to learn from; {valid:,} to watch the training"
        return f"{learned}; {test:,} set aside for the test."

    def how_good(self) -> list[str]:
        """The scores in sentences."""
        if not self.run.finished:
            return ["Nothing was tested."]
        return [f"The test scores of the workload `{self.workload}` are in record.json; this page does not show them."]

    def how_sure(self) -> list[str]:
        """How uncertain the scores are."""
        return ["One training run with one seed; another seed or another split would give other numbers."]

    def pictures(self) -> Sequence[Picture]:
        """The pictures of page one."""
        return []

    def hospitals(self) -> Section | None:
        """The hospitals' data."""
        return hospitals(self.run.record, "sample")

    def learning(self) -> Section | None:
        """The curves over the rounds."""
        return learning(self.run.record, None)

    def quality(self) -> Sequence[Section | None]:
        """The sections on scores."""
        text = "Scores by finding, calibration and pictures of scans belong to head CT; see record.json for the scores."
        return [Section("How good, hospital by hospital", [text])]

    def model(self) -> Sequence[Section | None]:
        """The sections on the model: examples of its answers, its card."""
        return []

    def terms(self) -> Mapping[str, str]:
        """Definitions of the workload's words."""
        return {}
