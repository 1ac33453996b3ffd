"""The part of a run's page that needs no words of a workload: its headline numbers, by hospital and by round."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from brainct.core import json_file
from brainct.pages.charts import Line, curves
from brainct.pages.drawing import picture
from brainct.pages.page import Section, Table
from brainct.pages.picture import Picture
from brainct.pages.wording import counted, decimals, listing
from brainct.report.run_folder import RunFolder
from brainct.report.sections.hospitals import hospitals
from brainct.report.sections.rounds import learning
from brainct.report.tolerant import cleaned, number
from brainct.run import run_record
from brainct.run.run_record import RunRecord

FOLDS = ("train", "valid", "test")
Headlines = Mapping[str, float | None]


class PlainPart:
    """See `workload_part.WorkloadPart`; for every workload but head CT."""

    def __init__(self, run: RunFolder):
        path = run.folder / run_record.FILE
        content = cleaned(json_file.parsed(path.read_bytes(), str(path), run_record.WANTED))
        self.run = run
        self.record = run_record.parse_record(content, str(path), RunRecord)
        self.workload = self.record.workload
        self.scores = {site: self._headlines(found) for site, found in sorted(self.record.test.items())}
        """By hospital, the headline numbers of the test."""

    def _headlines(self, scores: Any) -> Headlines:
        try:
            found = self.workload.headline(scores)
        except (LookupError, TypeError, AttributeError):  # a foreign file may hold anything
            return {}
        return {name: number(value) for name, value in found.items()}

    def _samples(self, site: str, fold: str) -> int:
        try:
            return self.record.samples(site, fold)
        except (LookupError, TypeError, ValueError, AttributeError):
            return 0

    def _shown(self) -> dict[str, str]:
        """The headlines that some hospital has, by name with their title."""
        present = {name for found in self.scores.values() for name, value in found.items() if value is not None}
        return {name: title for name, title in self.workload.headlines.items() if name in present}

    def warnings(self) -> list[str]:
        """None: a kind of data says nothing to this page."""
        return []

    def model_in_words(self) -> str:
        """What kind of model was trained."""
        return f"A model of the workload `{self.workload.name}`."

    def made(self) -> str:
        """A model is trained."""
        return "trained"

    def left_in_words(self) -> list[str]:
        """The scheme says it."""
        return []

    def data_in_words(self) -> str:
        """How many samples there were."""
        train, valid, test = (sum(self._samples(site, fold) for site in self.record.sites) for fold in FOLDS)
        learned = f"{counted(train, 'sample')} to learn from; {valid:,} to watch the training"
        return f"{learned}; {test:,} set aside for the test."

    def how_good(self) -> list[str]:
        """The mean of each headline number, and the hospitals without a score."""
        if not self.record.test:
            return ["Nothing was tested."]
        sentences = []
        for name, title in self._shown().items():
            values = [value for found in self.scores.values() if (value := found.get(name)) is not None]
            mean = f"mean over {counted(len(values), 'hospital')}"
            sentences.append(f"{title} {decimals(statistics.fmean(values), 3)} ({mean}).")
        if missing := sorted(set(self.record.sites) - set(self.record.test)):
            sentences.append(f"Not tested: {listing(missing)} did not reply at the end.")
        return sentences or ["No hospital has a score."]

    def how_sure(self) -> list[str]:
        """How uncertain the scores are."""
        return ["One training run with one seed; another seed or another split would give other numbers."]

    def pictures(self) -> Sequence[Picture]:
        """None: the table has all numbers."""
        return []

    def hospitals(self) -> Section | None:
        """The hospitals' samples."""
        return hospitals(self.run.record, "sample", self._samples)

    def learning(self) -> Section | None:
        """The first headline number and the training loss over the rounds."""
        return learning(self.run.record, self._validation_curve())

    def _validation_curve(self) -> Picture | None:
        name, title = next(iter(self._shown().items()), ("", ""))
        by_site: dict[str, list[tuple[float, float | None]]] = {}
        for row in self.record.rounds:
            for site, scores in sorted(row.validation.items()):
                by_site.setdefault(site, []).append((row.round + 1.0, self._headlines(scores).get(name)))
        if not name or not by_site:
            return None
        return picture(
            "validation",
            f"Validation {title} over the rounds, one line a hospital: {listing(list(by_site))}.",
            f"Validation {title}, one line a hospital.",
            curves([Line(site, points, True) for site, points in by_site.items()], "rounds closed", title),
        )

    def quality(self) -> Sequence[Section | None]:
        """The headline numbers by hospital."""
        shown = self._shown()
        rows = [(site, *(decimals(found.get(name), 3) for name in shown)) for site, found in self.scores.items()]
        table = Table("Test samples", ("hospital", *shown.values()), rows)
        note = "This page shows the headline numbers of the workload; record.json has all scores."
        return [Section("How good, hospital by hospital", tables=[table] if rows else [], notes=[note])]

    def model(self) -> Sequence[Section | None]:
        """No section: examples and the model card are head CT's."""
        return []

    def terms(self) -> Mapping[str, str]:
        """No definitions: a workload's documentation has them."""
        return {}
