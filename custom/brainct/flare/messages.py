"""Requests and replies as FLARE's FLModel: tensors as params, which FLARE streams and filters, the rest as meta."""

from collections.abc import Mapping
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_opt.pt.decomposers import TensorDecomposer
from nvflare.fuel.utils import fobs

from brainct.core import serialization
from brainct.errors import Refused

TASK = "brainct"
_REST = "brainct"


def register_tensors() -> None:
    """Register FLARE's decomposer for torch tensors; server and sites call it when FLARE builds them.

    FLARE's own DecomposerRegister is not used, because it loads any class that a job names.
    """
    fobs.register(TensorDecomposer)


def to_model(value: Mapping[str, Any], round: int | None = None) -> FLModel:
    """Plain data as an FLModel; `round` is also written to FLARE's own header."""
    tensors, rest = serialization.split(value)
    return FLModel(params_type=ParamsType.FULL, params=tensors, meta={_REST: rest}, current_round=round)


def from_model(model: FLModel) -> dict[str, Any]:
    """The plain data of an FLModel from `to_model`; refuses any other FLModel."""
    meta = model.meta or {}
    if not isinstance(meta.get(_REST), dict):
        raise Refused("received a message that brainct did not write; is the other side another version?")
    value: dict[str, Any] = serialization.join(model.params or {}, meta[_REST])
    return value
