"""A bundle's weights, read as tensors alone, and those of them that fit a network."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from brainct.core.weights import Weights
from brainct.errors import Refused

NAMES = ("model.safetensors", "model.pt", "model.pth")
NESTED = ("state_dict", "model", "model_state_dict", "network")
PREFIXES = ("module.", "network.", "model.", "_orig_mod.")
"""What trainers put around a state dict, and before its keys."""


@dataclass(frozen=True)
class Found:
    """name: of the file. weights: its tensors."""

    name: str
    weights: dict[str, torch.Tensor]


@dataclass(frozen=True)
class Fitted:
    """weights: of the whole network, its own initial values where the file has none. taken: tensors of the file."""

    weights: Weights
    taken: int
    notes: list[str]


def read_weights(folder: Path) -> Found | None:
    """The first of NAMES in a bundle's models folder; None without one. No object but tensors is made."""
    files = [folder / "models" / name for name in NAMES]
    path = next((one for one in files if one.is_file() and not one.is_symlink()), None)
    if path is None:
        return None
    return Found(path.name, _tensors(path))


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, EOFError, MemoryError) as error:
        raise Refused(f"{path.name} can't be read ({type(error).__name__}); wanted a safetensors file") from None
    except Exception as error:  # pickle's refusals are of no common class
        raise Refused(
            f"{path.name} holds more than tensors ({type(error).__name__}) and is not opened; wanted safetensors"
        ) from None
    return _flat(found, path.name)


def _flat(found: Any, name: str) -> dict[str, torch.Tensor]:
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(isinstance(one, torch.Tensor) for one in found.values()):
        raise Refused(f"{name} holds no tensors by name; wanted a state dict, not a scripted or pickled network")
    return {str(key): value for key, value in found.items()}


def fitted(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], name: str) -> Fitted:
    """The network's weights with those of the file whose name and shape agree; refused where none does.

    Prefixes that trainers add are dropped. Left out by name: tensors that the network lacks, tensors of another shape,
    such as a head for other findings, and counters of BatchNorm. Values that are not finite are refused.
    """
    plain = {_without_prefix(key): value for key, value in found.items()}
    agree = {key: plain[key] for key in wanted if key in plain and plain[key].shape == wanted[key].shape}
    if not agree:
        raise Refused(f"{name}: none of its {len(found)} tensors is of the network; wanted the weights of this bundle")
    if broken := [key for key, value in agree.items() if not torch.isfinite(value).all()]:
        raise Refused(f"{name}: tensor {broken[0]:.80} holds values that are not finite")
    shaped = [key for key in wanted if key in plain and key not in agree]
    lacking = [key for key in wanted if key not in plain]
    spare = [key for key in plain if key not in wanted and not key.endswith("num_batches_tracked")]
    notes = [
        f"weights: {len(keys)} tensors {why}, such as {keys[0]:.80}"
        for keys, why in (
            (shaped, "of another shape than here are trained anew"),
            (lacking, "are not in the file and are trained anew"),
            (spare, "of the file are not in the network"),
        )
        if keys
    ]
    weights = {key: agree.get(key, wanted[key]).detach().to(wanted[key].dtype).clone() for key in wanted}
    return Fitted(weights, len(agree), notes)


def _without_prefix(key: str) -> str:
    for prefix in PREFIXES:
        if key.startswith(prefix):
            return _without_prefix(key.removeprefix(prefix))
    return key
