"""A model.safetensors as somebody sends it: what stands beside the weights, read as data and refused by its name."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from brainct.core import json_file
from brainct.core.weights import Weights
from brainct.ct.config import ct_choices
from brainct.ct.model import network_of
from brainct.errors import Refused
from brainct.job.config import Plan

WANTED = "a model.safetensors written by brainct"


def beside(path: Path) -> dict[str, Any]:
    """The model's `plan`, {} where the file has none, and its `extra`: what a site needs to know beside the weights."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise Refused(f"{path.name} can't be read ({type(error).__name__}); wanted {WANTED}") from None
    return {
        key: json_file.table(metadata.get(key, "{}"), f"{path.name}: its {key}", WANTED) for key in ("plan", "extra")
    }


def check_network(weights: Weights, plan: Plan, whose: str) -> None:
    """Refuse weights that are not of the plan's network, before that is built: it could be of any size."""
    try:
        with torch.device("meta"):
            wanted = network_of(ct_choices(plan).network, plan.seed).state_dict()
    except Exception as error:  # options are the architecture's own, and it says in its own way what it can't build
        kind = type(error).__name__
        raise Refused(f"{whose}: the network that it names can't be built ({kind}); wanted {WANTED}") from None
    differ = sorted(key for key in wanted.keys() | weights.keys() if _shape(wanted, key) != _shape(weights, key))
    if differ:
        raise Refused(
            f"{whose}: {len(differ)} of its tensors, such as {differ[0]:.80}, are not of the network it names"
        )


def _shape(weights: Weights, key: str) -> tuple[int, ...] | None:
    return tuple(weights[key].shape) if key in weights else None
