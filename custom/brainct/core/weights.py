"""Arithmetic on state dicts: pure functions from weights to weights, and the check that two belong to one network.

Floating tensors are averaged, BatchNorm's running statistics included; integer and boolean tensors are counters, of
which the elementwise largest is kept.
"""

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from brainct.errors import Refused

Weights = Mapping[str, Tensor]


def mean(models: Sequence[tuple[float, Weights]]) -> dict[str, Tensor]:
    """Weighted mean of models, summed in float64 in the order given.

    models: (share, weights) pairs; shares are finite and > 0 and need not sum to one. The sum runs tensor by tensor, so
    that models that load their tensors on access cost the result and two tensors, however many they are.
    """
    if not models:
        raise Refused("a mean of no models; wanted at least one")
    for share, _ in models:
        if not 0 < share < float("inf"):
            raise Refused(f"a model's share in a mean is {share}; wanted a finite number above 0")
    return {key: _mean(key, models) for key in models[0][1]}


def _mean(key: str, models: Sequence[tuple[float, Weights]]) -> Tensor:
    first = models[0][1][key]
    if not first.is_floating_point():
        return torch.stack([weights[key] for _, weights in models]).amax(0)
    total = torch.zeros_like(first, dtype=torch.float64)
    for share, weights in models:
        total.add_(weights[key].to(torch.float64), alpha=share)
    return total.div_(sum(share for share, _ in models)).to(first.dtype)


def add(left: Weights, right: Weights) -> dict[str, Tensor]:
    """left + right, over the keys of right, in left's dtypes; the other tensors of left stay as they are."""
    return {key: (value + right[key]).to(value.dtype) if key in right else value for key, value in left.items()}


def difference(left: Weights, right: Weights) -> dict[str, Tensor]:
    """left - right in float64, over the floating tensors; counters have no difference."""
    return {key: value.double() - right[key].double() for key, value in left.items() if value.is_floating_point()}


def filled(weights: Weights, value: float) -> dict[str, Tensor]:
    """The floating tensors' shapes and dtypes with this value everywhere; no counters."""
    return {key: torch.full_like(tensor, value) for key, tensor in weights.items() if tensor.is_floating_point()}


def squared_distance(left: Weights, right: Weights) -> Tensor:
    """|left - right|^2 over left's floating tensors: a scalar on left's device, with a gradient if left has one."""
    pairs = [(value, right[key].to(value.device)) for key, value in left.items() if value.is_floating_point()]
    return torch.stack([(value - other).square().sum() for value, other in pairs]).sum()


def scale(weights: Weights, factor: float) -> dict[str, Tensor]:
    """factor * weights for floating tensors; counters stay."""
    return {key: value * factor if value.is_floating_point() else value for key, value in weights.items()}


def nbytes(weights: Weights) -> int:
    """Bytes of all tensors, in memory and on the wire."""
    return sum(value.numel() * value.element_size() for value in weights.values())


def sha256(weights: Weights) -> str:
    """64 hex digits over names, dtypes, shapes and values; the order of the keys does not matter."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key].detach().cpu().contiguous()
        digest.update(f"{key}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_weights(weights: Weights, like: Weights, whose: str) -> None:
    """Refuse weights that do not have the keys, shapes and dtypes of `like`, or hold NaN or infinity.

    whose: the start of the error's sentence, such as `site-2, round 3`.
    """
    missing, extra = sorted(like.keys() - weights.keys()), sorted(weights.keys() - like.keys())
    if missing or extra:
        raise Refused(
            f"{whose}: missing tensors: {_few(missing)}; not asked for: {_few(extra)}; is it another network?"
        )
    for key, wanted in like.items():
        _check_tensor(weights[key], wanted, f"{whose}: tensor {key}")


def _check_tensor(value: Tensor, wanted: Tensor, what: str) -> None:
    if value.shape != wanted.shape:
        raise Refused(f"{what} has shape {tuple(value.shape)}; wanted {tuple(wanted.shape)}")
    if value.dtype != wanted.dtype:
        raise Refused(f"{what} has dtype {value.dtype}; wanted {wanted.dtype}")
    check_finite(value, what)


def check_finite(value: Tensor, what: str) -> None:
    """Refuse a tensor that holds NaN or infinity; the refusal has the count of such values."""
    if value.is_floating_point() and not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).sum())
        raise Refused(f"{what} holds {bad} NaN or infinite of {value.numel()} values; wanted finite numbers")


def _few(names: Sequence[str], most: int = 3) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
