"""A bundle that brainct exported, read again: its metadata state the choices, so that nothing needs to be mapped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainct.core.weights import Weights
from brainct.ct.bundle.config import read_metadata
from brainct.ct.bundle.weights import read_weights
from brainct.ct.calibration import Calibration
from brainct.deliver.finished_model import FinishedModel
from brainct.deliver.metadata import OWN
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.run.model_file import ModelFile


def exported_here(folder: Path) -> tuple[Plan, Weights] | None:
    """The choices and the weights; None of a bundle that brainct did not write. Checked as those of anybody are."""
    own = read_metadata(folder).get(OWN)
    stated = own.get("choices") if isinstance(own, Mapping) else None
    if not isinstance(stated, Mapping):
        return None
    plan, found = plan_of(dict(stated), f"{folder.name}: metadata.json"), read_weights(folder)
    if found is None:
        raise Refused(f"{folder.name} was exported by brainct and has no weights; export it again")
    _check(found.weights, plan, found.name, folder)
    return plan, found.weights


def _check(weights: Mapping[str, Any], plan: Plan, name: str, folder: Path) -> None:
    model = FinishedModel(ModelFile(name, weights, {}, {}), plan, folder, None, Calibration())
    try:
        model.module()
    except (RuntimeError, AssertionError) as error:
        first = str(error).partition("\n")[0]
        raise Refused(f"{name} is not of the network that metadata.json names: {first:.200}") from None
