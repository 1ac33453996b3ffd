"""model.safetensors: the delivered weights and, in the file's metadata, the network and what a site needs besides.

A file may come from anybody: it is read as data, and refused by its name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes

from brainct.core import json_file, serialization
from brainct.core.scheme import Task
from brainct.core.weights import Weights, sha256
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.job.workloads import workload_named

FILE = "model.safetensors"
MOST, LONGEST = 100, 300
"""Models of a lineage, and characters of a source."""

WANTED = "a model.safetensors written by brainct"


@dataclass(frozen=True)
class ModelFile:
    """A file as it was read. choices: the job's choices that it names, {} for none. extra: as in core.scheme.Task.

    lineage: the models that it was trained on from, the oldest first: `sha256` and `source` of each.
    """

    name: str
    weights: Weights
    choices: Mapping[str, Any]
    extra: Mapping[str, Any]
    lineage: Sequence[Mapping[str, str]] = ()

    @property
    def task(self) -> Task:
        """The model as a site gets it from the server."""
        return Task(self.weights, self.extra)

    def plan(self) -> Plan:
        """The choices that it names, checked; refused where it names none."""
        if not self.choices:
            raise Refused(f"{self.name} does not say its network; wanted {WANTED}")
        return plan_of(self.choices, f"{self.name}: its metadata")


def write_model(
    path: Path,
    weights: Weights,
    plan: Mapping[str, Any],
    extra: Mapping[str, Any],
    lineage: Sequence[Mapping[str, str]] = (),
) -> None:
    """Write a model.

    plan: the job's choices; of those, the scheme and the workload's own except for training are written.
    extra: what a site needs besides the weights, {} for nothing. lineage: see ModelFile.
    """
    metadata = {"plan": json.dumps(stated_choices(plan))}
    metadata |= {"extra": json.dumps(extra, allow_nan=False)} if extra else {}
    metadata |= {"lineage": json.dumps([dict(one) for one in lineage])} if lineage else {}
    serialization.write(path, save_bytes(dict(weights), metadata))


def stated_choices(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Of a job's choices those that a model states: the scheme, and the workload's own except for training."""
    own = [key for key in workload_named(plan["workload"]).choices.model_fields if key != "fit"]
    return {key: plan[key] for key in ("scheme", "arguments", "workload", *own)}


def read_model(path: Path) -> ModelFile:
    """A model with its metadata."""
    weights = load_model(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise Refused(f"{path.name} can't be read ({type(error).__name__}); wanted {WANTED}") from None
    choices, extra = (
        json_file.table(metadata.get(key, "{}"), f"{path.name}: its {key}", WANTED) for key in ("plan", "extra")
    )
    return ModelFile(path.name, weights, choices, extra, _lineage(metadata.get("lineage", "[]"), path.name))


def _lineage(text: str, name: str) -> list[dict[str, str]]:
    whose = f"{name}: its lineage"
    found = json_file.parsed(text.encode(), whose, WANTED)
    sound = isinstance(found, list) and all(
        isinstance(one, dict)
        and set(one) == {"sha256", "source"}
        and all(isinstance(each, str) for each in one.values())
        for one in found
    )
    if not sound:
        raise Refused(f"{whose} is no list of models with sha256 and source; wanted {WANTED}")
    return [{key: value[:LONGEST] for key, value in one.items()} for one in found[-MOST:]]


def load_model(path: Path) -> Weights:
    """The weights of a model alone, of whatever network; its metadata are not read."""
    if not path.is_file():
        raise Refused(f"checkpoint {path} does not exist; wanted a model.safetensors of an earlier run")
    try:
        weights: Weights = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        raise Refused(f"checkpoint {path.name} can't be read ({error}); wanted a whole safetensors file") from None
    return weights


def model_sha256(weights: Weights, extra: Mapping[str, Any]) -> str:
    """64 hex digits over the weights and, where a site needs more than these, over that too."""
    return serialization.sha256({"weights": sha256(weights), "extra": extra}) if extra else sha256(weights)
