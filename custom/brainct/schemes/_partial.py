"""Schemes in which a part of the model travels and the rest stays at each site: the choice by layer, and the rounds.

`Model.layers` decides what stays: by module path (head, body, any layers) or by the module's type (normalisation).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from brainct.core import weights as w
from brainct.core.arguments import WeightBy
from brainct.core.learner import Fitted, Learner, Model
from brainct.core.scheme import ClientState, Memory, Report, Scheme, Task
from brainct.errors import Declined, Refused
from brainct.schemes.fedavg import share

Keys = Collection[str]
NORMALISATION = ("BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm")


def partial_averaging(
    stays: Callable[[Model], Keys],
    weight_by: WeightBy = "examples",
    train: Callable[[Learner, w.Weights, Keys, Keys], Fitted] = lambda learner, weights, *parts: learner.fit(weights),
    personalise: Callable[[Task, Learner, ClientState], w.Weights] | None = None,
) -> Scheme:
    """FedAvg on some tensors, while the tensors that `stays` names never leave a site once it began.

    train(learner, weights, shared, own): local training of the whole model, given the keys of both parts.
    A site's own part starts from the server's initial values, which are in the task's `extra` until its first report
    arrived: all sites start from the same values, from a checkpoint too. A site that lost its client state starts from
    the seeded values again. Training that ends in NaN or infinity changes nothing at the site.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        own, shared = split(model.weights, stays(model))
        return {"shared": shared, "own": own, "begun": []}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        begun = sites if not memory["own"] else memory["begun"]
        return {site: Task(memory["shared"], {} if site in begun else {"own": memory["own"]}) for site in sites}

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        _check_stays(task, stays(learner.initial()))
        weights = {**_own(task, learner, client_state), **task.weights}
        fitted = train(learner, weights, task.weights.keys(), weights.keys() - task.weights.keys())
        refuse_nan(fitted)
        shared, own = split(fitted.weights, task.weights)
        return Report(shared, fitted.examples, metrics=fitted.metrics), {**client_state, "own": own}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        models = [(share(report.examples, weight_by), report.weights) for report in reports.values()]
        return {**memory, "shared": w.mean(models), "begun": sorted({*memory["begun"], *reports})}

    def model(memory: Memory) -> w.Weights:
        return {**memory["own"], **memory["shared"]}

    def aggregation_weight(task: Task, report: Report) -> float:
        return share(report.examples, weight_by)

    return Scheme(
        start,
        assign,
        reply,
        combine,
        model,
        personalise=personalise or own_model,
        aggregation_weight=aggregation_weight,
        needs=frozenset({"network"}),
    )


def _check_stays(task: Task, own: Keys) -> None:
    """Refuse a task that contains the site's own part: a site trains and sends all weights of its task."""
    if asked := sorted(task.weights.keys() & set(own)):
        raise Declined(
            f"the server sends {_first(asked, 3)}, but by this job that stays at each site; the site sends nothing"
        )


def own_model(task: Task, learner: Learner, client_state: ClientState) -> w.Weights:
    """The delivered model with the site's own part in its place."""
    return {**task.weights, **client_state.get("own", {})}


def _own(task: Task, learner: Learner, client_state: ClientState) -> w.Weights:
    own: w.Weights = client_state.get("own") or task.extra.get("own") or learner.initial().weights
    return own


def split(weights: w.Weights, keys: Keys) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two parts of the weights: those with these keys, and the others."""
    chosen = {key: value for key, value in weights.items() if key in keys}
    return chosen, {key: value for key, value in weights.items() if key not in keys}


def refuse_nan(fitted: Fitted) -> None:
    """Refuse trained weights that are not finite, before they enter the client state."""
    for key, value in fitted.weights.items():
        w.check_finite(value, f"after local training, tensor {key}")


def under(model: Model, paths: Sequence[str], whose: str) -> set[str]:
    """Keys of the layers at or below these module paths; Refused, with the known paths, if a path names no layer."""
    known = [layer.path for layer in model.layers]
    for path in paths:
        if not any(_is_under(layer, path) for layer in known):
            raise Refused(f"{whose} names {path!r}, where {model.architecture} has no layer; known are {_first(known)}")
    return {key for layer in model.layers if any(_is_under(layer.path, path) for path in paths) for key in layer.keys}


def _is_under(layer: str, path: str) -> bool:
    return layer == path or layer.startswith(f"{path}.")


def _first(names: Sequence[str], most: int = 40) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def of_kind(model: Model, kinds: Sequence[str]) -> set[str]:
    """Keys of the layers whose type's name contains one of these words, as `SyncBatchNorm` contains `BatchNorm`."""
    return {key for layer in model.layers if any(kind in layer.kind for kind in kinds) for key in layer.keys}


def head_of(paths: Sequence[str] | None, whose: str) -> Callable[[Model], set[str]]:
    """A function that gives the keys of the layers at these module paths; None for the last layer with tensors."""
    if paths is not None and not paths:
        raise Refused(f"{whose}: head is an empty list; wanted module paths, or null for the network's last layer")
    return partial(_head, paths=paths, whose=whose)


def _head(model: Model, paths: Sequence[str] | None, whose: str) -> set[str]:
    if not model.layers:
        raise Refused(f"{whose} can't find the head of a network whose layers are unknown")
    keys = set(model.layers[-1].keys) if paths is None else under(model, paths, f"{whose}: head")
    if keys == model.weights.keys():
        raise Refused(f"{whose}: head is the whole network; wanted a part of it, so that a body is left")
    return keys
