"""Head CT's part of a run's page."""

from collections.abc import Mapping, Sequence

from brainct.pages.page import Section
from brainct.pages.picture import Picture
from brainct.pages.wording import listing
from brainct.report.ct import answers
from brainct.report.ct.charts import by_finding, by_hospital, validation_curve
from brainct.report.ct.definitions import ANY, PHANTOM, SCORES
from brainct.report.ct.model_card import model_card
from brainct.report.ct.quality import calibration, confusion, fairness, quality
from brainct.report.readable_record import About
from brainct.report.run_folder import RunFolder
from brainct.report.saliency import examples
from brainct.report.sections.hospitals import hospitals
from brainct.report.sections.rounds import learning


class CtPart:
    """See `workload_part.WorkloadPart`."""

    def __init__(self, run: RunFolder):
        self.run, self.record = run, run.record

    def warnings(self) -> list[str]:
        """Phantom scans."""
        phantoms = [site for site in self.run.sites if self.record.sites[site].kind == "phantom"]
        if not phantoms:
            return []
        return (
            [PHANTOM]
            if phantoms == self.run.sites
            else [f"Synthetic phantom scans, not patients, at {listing(phantoms)}."]
        )

    def model_in_words(self) -> str:
        """What kind of model was trained."""
        return answers.model_in_words(self.record)

    def made(self) -> str:
        """A model is trained."""
        return "trained"

    def left_in_words(self) -> list[str]:
        """The scheme says it."""
        return []

    def data_in_words(self) -> str:
        """How many scans there were."""
        return answers.scans_in_words(self.record)

    def how_good(self) -> list[str]:
        """The AUROC in sentences."""
        return answers.how_good(self.record)

    def how_sure(self) -> list[str]:
        """How uncertain the AUROC is."""
        return answers.how_sure(self.record)

    def pictures(self) -> Sequence[Picture]:
        """The AUROC by hospital and by finding."""
        return [by_hospital(self.record), by_finding(self.record)] if self.record.test else []

    def hospitals(self) -> Section | None:
        """The hospitals' scans, with their bleedings."""
        bleeds = {site: f"{_bleeds(one, 'train')} / {_bleeds(one, 'test')}" for site, one in self.record.sites.items()}
        return hospitals(self.record, "scan", self._scans, {"bleedings (train / test)": bleeds})

    def _scans(self, site: str, fold: str) -> int:
        return self.record.sites[site].scans(fold)

    def learning(self) -> Section | None:
        """The validation AUROC and the training loss."""
        return learning(self.record, validation_curve(self.record))

    def quality(self) -> Sequence[Section | None]:
        """The sections on scores."""
        return [part(self.record) for part in (quality, fairness, calibration, confusion)]

    def model(self) -> Sequence[Section | None]:
        """Example scans and the model card."""
        return [examples(self.run), model_card(self.run)]

    def terms(self) -> Mapping[str, str]:
        """Definitions of the scores."""
        return SCORES


def _bleeds(about: About, fold: str) -> int:
    return about.folds[fold].positives.get(ANY, 0) if fold in about.folds else 0
