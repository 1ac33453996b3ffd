"""The model that a run starts from: found, checked against the hash that the job names, and fitted to the job."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from brainct.core.learner import Layer, Model
from brainct.core.weights import Weights, check_weights
from brainct.errors import Refused
from brainct.job.config import Plan, StartFrom
from brainct.run import run_record
from brainct.run.model_file import FILE, ModelFile, model_sha256, read_model
from brainct.run.run_record import Started, read_record
from brainct.site.learners import Starter
from brainct.training.batch_norm import RULE

UNTRAINED = {
    "local": "which leaves each model at its site",
    "fedct": "which delivers labels of the public set instead of a model",
}
"""Schemes that deliver the weights from before training, and why."""


@dataclass(frozen=True)
class StartModel:
    """weights: of the plan's network. started: for the record. notes: what the run's people should read."""

    weights: Weights
    started: Started
    notes: tuple[str, ...] = ()


def start_of(plan: Plan, file: Path | None) -> StartModel | None:
    """The model that the plan starts from; None where it starts from its seed.

    file: the start model's, if it is not in the package. Refused: another model than the one that the plan names, and
    one of another network.
    """
    chosen = plan.start_from
    if chosen is None:
        return None
    path = plan.kind.start_models[chosen.name].file if chosen.name else file
    if path is None or not path.is_file():
        raise Refused("the job starts from a file that did not come with it; see `brainct jobs start-from`")
    model = read_model(path)
    found = model_sha256(model.weights, model.extra)
    if found != chosen.sha256:
        raise Refused(
            f"the start model has SHA-256 {found[:12]}…, the job names {chosen.sha256[:12]}…; write the job again with "
            "`brainct jobs start-from`, or install the package with which it was written"
        )
    return fitted(model, plan, chosen)


def weights_of(plan: Plan, file: Path | None) -> Weights | None:
    """The weights alone, as a site reads them; see `start_of`."""
    found = start_of(plan, file)
    return found.weights if found else None


def starter(file: Path | None) -> Starter:
    """What gives a site the start model of a job that came with this file."""
    return partial(weights_of, file=file)


def named(source: str, plan: Plan) -> tuple[dict[str, Any], Path | None]:
    """What a job states of its start model, and the model's file if it has to travel in the job.

    source: a start model of the package, the results folder of a run or of `brainct model import`, or a safetensors
    file.
    """
    if source in plan.kind.start_models:
        return {"name": source}, None
    path = Path(source)
    if not path.exists():
        known = ", ".join(sorted(plan.kind.start_models)) or "none"
        raise Refused(
            f"no start model {source!r:.80}: checkpoint {path} does not exist; wanted the results folder of a run, a "
            f"safetensors file, or one of the package's: {known}"
        )
    file = path / FILE if path.is_dir() else path
    model = read_model(file)
    if (scheme := model.choices.get("scheme")) in UNTRAINED and not model.lineage:
        raise Refused(f"{file.name} is of a run of {scheme}, {UNTRAINED[scheme]}: the model is untrained")
    start = StartFrom(sha256=model_sha256(model.weights, model.extra), source=_words(file))
    return start.model_dump(exclude_defaults=True), file


def fitted(model: ModelFile, plan: Plan, chosen: StartFrom) -> StartModel:
    """The model as the plan's network takes it, with a seeded head where its outputs are not the plan's."""
    seeded = plan.kind.initial(plan, plan.seed, plan.rounds)
    whose, head = f"the start model ({chosen.name or model.name})", head_of(seeded)
    outputs, notes = _outputs_and_notes(model, plan, whose)
    given = dict(model.weights)
    known = outputs if outputs is not None else seeded.outputs
    replaced = known != seeded.outputs or _other_shapes(given, seeded.weights, head)
    if replaced:
        given |= {key: seeded.weights[key] for key in head.keys if key in given}
        notes.append(f"{whose} has other outputs than the job: its last layer, {head.path}, starts from the seed")
    check_weights(given, seeded.weights, f"{whose}, for network {plan.kind.network(plan)[0]}")
    if model.extra:
        notes.append(f"{whose} needs more than its weights ({', '.join(sorted(model.extra))}), which is not used")
    lineage = [*model.lineage, {"sha256": chosen.sha256, "source": chosen.source}]
    started = {"name": chosen.name, "head": "replaced" if replaced else "kept", "lineage": lineage}
    return StartModel(given, Started.model_validate(started), tuple(notes))


def head_of(model: Model) -> Layer:
    """The last layer that has one row for each output."""
    sized = [
        layer
        for layer in model.layers
        if any(len(model.weights[key].shape) and len(model.weights[key]) == len(model.outputs) for key in layer.keys)
    ]
    return sized[-1] if sized else model.layers[-1]


def _other_shapes(given: Weights, wanted: Weights, head: Layer) -> bool:
    return any(key in given and given[key].shape != wanted[key].shape for key in head.keys)


def _outputs_and_notes(model: ModelFile, plan: Plan, whose: str) -> tuple[tuple[str, ...] | None, list[str]]:
    """The names of the model's outputs, None where it does not say them, and how its job differed."""
    if not model.choices:
        return None, []
    was = model.plan()
    if was.workload != plan.workload:
        raise Refused(f"{whose} is of workload {was.workload}, the job of {plan.workload}; start from another model")
    then_network, now_network = _line(was), _line(plan)
    if then_network != now_network:
        raise Refused(
            f"{whose} is of network {then_network}, the job's is {now_network}; "
            "state the start model's network in the job, or start from another model"
        )
    own = [key for key in plan.kind.choices.model_fields if key not in ("fit", "network")]
    then, now = (one.model_dump(mode="json", include=set(own)) for one in (was, plan))
    differ = [f"{key} {json.dumps(then[key])}" for key in own if then.get(key) != now.get(key)]
    sizes = [getattr(getattr(one, "network", None), "size", None) for one in (was, plan)]
    differ += [f"size {sizes[0]}"] * (sizes[0] != sizes[1])
    return was.kind.initial(was, 0, 0).outputs, [
        f"{whose} was trained with {one:.300}; the job has another" for one in differ
    ]


def _line(plan: Plan) -> str:
    """The network in words, without the rule for BatchNorm: statistics fit under either, and keys are checked."""
    architecture, options = plan.kind.network(plan)
    return f"{architecture} {json.dumps({key: options[key] for key in sorted(options) if key != RULE}, default=str)}"


def _words(file: Path) -> str:
    """Where a model comes from, without a path."""
    path = file.parent / run_record.FILE
    if not path.is_file():
        return file.name[:100]
    record = read_record(path)
    return f"a run of {record.scheme:.40} over {len(record.sites)} sites, {len(record.rounds)} rounds"
