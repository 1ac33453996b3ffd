"""What a site sets for itself after training: a temperature and a threshold for each finding, in calibration.json.

    {"model_sha256": "...", "findings": {"any": {"temperature": 1.4, "threshold": 0.3}}}

A finding that is not listed has temperature 1 and threshold 0.5. The file stays at the site, next to the model or by
name; the model itself is unchanged by it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from brainct.core import json_file, serialization
from brainct.core.sentences import sentences
from brainct.ct.folds import Finding
from brainct.errors import Refused
from brainct.training.config import Choices

FILE = "calibration.json"
ADAPTED = "adapted"
"""Where a site's own model says what `brainct model adapt` did, in the metadata of its file."""
WANTED = "a calibration.json: model_sha256, and a temperature and a threshold for each finding"

Array = NDArray[np.float64]


class OfFinding(Choices):
    """temperature: T > 0, by which a slice's logit is divided (Guo et al., ICML 2017). threshold: of the probability
    after that, from which on the finding is called present."""

    temperature: float = Field(1.0, ge=0.01, le=100)
    threshold: float = Field(0.5, ge=0, le=1)


class Calibration(Choices):
    """model_sha256: of the model that it is for; empty for any."""

    model_sha256: str = ""
    findings: Mapping[Finding, OfFinding] = {}

    def temperatures(self, findings: Sequence[str]) -> list[float]:
        """In the order of the findings."""
        return [self.findings.get(name, OfFinding()).temperature for name in findings]

    def thresholds(self, findings: Sequence[str]) -> list[float]:
        """In the order of the findings."""
        return [self.findings.get(name, OfFinding()).threshold for name in findings]

    def check(self, findings: Sequence[str], model_sha256: str, single_choice: bool = False) -> None:
        """Refuse a calibration of another model or of other findings."""
        if self.model_sha256 and self.model_sha256 != model_sha256:
            raise Refused(
                f"the calibration is of model {self.model_sha256:.12}, not of this one, {model_sha256:.12}; calibrate "
                "this model"
            )
        if unknown := sorted(set(self.findings) - set(findings)):
            raise Refused(f"the calibration names {unknown[0]}; this model's findings are {', '.join(findings)}")
        if single_choice and len(set(self.temperatures(findings))) > 1:
            raise Refused("of a single-choice model all findings have one temperature; the calibration has several")


def calibrated(probabilities: Array, temperatures: Sequence[float], single_choice: bool = False) -> Array:
    """(N, F, ...) probabilities of logits over the temperatures; those of a single choice add up to 1 again."""
    shape = (1, -1, *(1,) * (probabilities.ndim - 2))
    cooled = np.asarray(temperatures, np.float64).reshape(shape)
    if (cooled == 1).all():
        return probabilities
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    if single_choice:
        raised: Array = clipped ** (1 / cooled)
        total: Array = raised.sum(1, keepdims=True)
        return raised / total
    found: Array = 1 / (1 + ((1 - clipped) / clipped) ** (1 / cooled))
    return found


def of_adapted(extra: Mapping[str, Any]) -> Calibration:
    """The thresholds of a site's own model, whose last layer has taken its temperatures in; none of any other model."""
    fitted = extra.get(ADAPTED, {}).get("calibration", {})
    return Calibration(findings={name: OfFinding(threshold=one["threshold"]) for name, one in fitted.items()})


def read_calibration(path: Path) -> Calibration:
    """The file, checked."""
    if not path.is_file():
        raise Refused(f"{path} does not exist; wanted {WANTED}")
    try:
        return Calibration.model_validate(json_file.parsed(path.read_bytes(), str(path), WANTED))
    except ValidationError as error:
        raise Refused(f"{path}: {sentences(error)}; wanted {WANTED}") from None


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write the file."""
    serialization.write(path, (calibration.model_dump_json(indent=2) + "\n").encode())
