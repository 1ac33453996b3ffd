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


def speak_tensors() -> None:
    """Have FLARE transport torch tensors as they are; each end calls it when it is built.

    FLARE's DecomposerRegister would do the same, but it loads any class that a job names.
    """
    fobs.register(TensorDecomposer)


def to_model(value: Mapping[str, Any], round: int | None = None) -> FLModel:
    """Plain data as an FLModel; `round` goes into FLARE's own header too."""
    tensors, rest = serialization.split(value)
    return FLModel(params_type=ParamsType.FULL, params=tensors, meta={_REST: rest}, current_round=round)


def from_model(model: FLModel) -> dict[str, Any]:
    """The plain data of an FLModel that `to_model` made; refuses any other."""
    meta = model.meta or {}
    if not isinstance(meta.get(_REST), dict):
        raise Refused("a message came that brainct did not write; is it another version?")
    value: dict[str, Any] = serialization.join(model.params or {}, meta[_REST])
    return value
