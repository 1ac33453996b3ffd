"""A trained model with all that its users need: network, findings, preprocessing, calibration, training record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from brainct.core.weights import Weights
from brainct.ct import calibration
from brainct.ct.calibration import Calibration, read_calibration
from brainct.ct.config import CtChoices
from brainct.ct.folds import WINDOWS
from brainct.ct.model import network_like
from brainct.ct.network_check import check_network
from brainct.ct.wanted import Pooling
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run import model_file, run_record
from brainct.run.model_file import ModelFile, model_sha256, read_model
from brainct.run.run_record import RunRecord, read_record
from brainct.segment.config import SegmentChoices
from brainct.segment.learner import network_of

UNTRAINED = {
    "local": "which leaves each model at its site",
    "fedct": "which delivers labels of the public set instead of a model",
}
"""Schemes that deliver the weights from before training, and why."""


@dataclass(frozen=True)
class FinishedModel:
    """A delivered model. folder: where it lies. record: of its run; None of a file without one."""

    file: ModelFile
    plan: Plan
    folder: Path
    record: RunRecord | None
    calibration: Calibration

    @property
    def choices(self) -> CtChoices | SegmentChoices:
        """The plan as the choices of head CT or of masks."""
        assert isinstance(self.plan, CtChoices | SegmentChoices)
        return self.plan

    @property
    def weights(self) -> Weights:
        """The delivered weights."""
        return self.file.weights

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return self.choices.findings

    @property
    def masks(self) -> bool:
        """Whether it marks pixels."""
        return isinstance(self.plan, SegmentChoices)

    @property
    def single_choice(self) -> bool:
        """Whether the findings exclude each other."""
        return isinstance(self.plan, CtChoices) and self.plan.single_choice

    @property
    def pooling(self) -> Pooling:
        """How slices become a study: as the job says; where it does not, the largest counts."""
        return (isinstance(self.plan, CtChoices) and self.plan.scan.study) or "max"

    @property
    def windows(self) -> Sequence[tuple[float, float]]:
        """(level, width) in HU: the job's, or those that site files have by default."""
        return self.choices.wanted.windows_at(WINDOWS)

    @cached_property
    def sha256(self) -> str:
        """As in the run's record."""
        return model_sha256(self.weights, self.file.extra)

    def module(self) -> nn.Module:
        """The network with the delivered weights, in evaluation."""
        if isinstance(self.plan, SegmentChoices):
            network = network_of(self.plan, 0)
        else:
            network = network_like(self.choices.network, 0, self.weights, self.findings)  # type: ignore[arg-type]
        network.load_state_dict(dict(self.weights))
        return network.eval()


def finished_model(path: Path, calibrated_by: Path | None = None) -> FinishedModel:
    """A run's folder, or a model.safetensors. calibrated_by: a calibration.json; by default the one next to the model,
    or what `brainct model adapt` wrote into it.

    Refused: models of other workloads than head CT and masks, and schemes that deliver no trained model.
    """
    file = path / model_file.FILE if path.is_dir() else path
    if not file.is_file():
        raise Refused(f"{path} has no {model_file.FILE}; wanted the folder of a finished run, or a model file")
    delivered = read_model(file)
    plan = delivered.plan()
    if plan.scheme in UNTRAINED:
        raise Refused(f"{file.name} is of a run of {plan.scheme}, {UNTRAINED[plan.scheme]}: the model is untrained")
    if isinstance(plan, CtChoices):
        check_network(delivered.weights, plan, file.name)
    elif isinstance(plan, SegmentChoices):
        plan.kind.fits(delivered.weights, plan)
    else:
        raise Refused(f"{file.name} is of workload {plan.workload}; this works for head CT (ct) and masks (segment)")
    calibrated = _calibration(delivered, file.parent, calibrated_by)
    found = FinishedModel(delivered, plan, file.parent, _record(file.parent), calibrated)
    found.calibration.check(found.findings, found.sha256, found.single_choice)
    return found


def _record(folder: Path) -> RunRecord | None:
    path = folder / run_record.FILE
    return read_record(path) if path.is_file() else None


def _calibration(model: ModelFile, folder: Path, named: Path | None) -> Calibration:
    path = named or folder / calibration.FILE
    return read_calibration(path) if named or path.is_file() else calibration.of_adapted(model.extra)


def check_static(model: FinishedModel) -> None:
    """Refuse a model whose input a site adapts first, as sitenorm's: what leaves could not do that."""
    extra: Mapping[str, Any] = {
        key: value for key, value in model.file.extra.items() if key not in ("workload", calibration.ADAPTED)
    }
    if extra:
        raise Refused(
            f"a model of {model.plan.scheme} first adapts each site's scans to {', '.join(sorted(extra))}; a single "
            "file can't do that: use `brainct predict` with the site file"
        )
