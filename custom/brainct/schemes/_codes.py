"""Numbers in one byte each: whole multiples of a scale that every block of numbers has for itself.

As in 8-bit optimisers (Dettmers, Lewis, Shleifer, Zettlemoyer, ICLR 2022), with evenly spaced codes.
"""

import torch
from torch import Tensor

from brainct.core.weights import Weights

BLOCK = 256
"""Numbers that share a scale, which takes four bytes."""

LEVELS = 127
"""The largest code."""

CODES, SCALES = "turns.codes", "turns.scales"
"""Keys of a vector that travels; without scales it is in float32."""


def flat(weights: Weights) -> Tensor:
    """(n,) float32: the floating tensors one after the other, in the order of their names."""
    parts = [weights[key].float().reshape(-1) for key in sorted(weights) if weights[key].is_floating_point()]
    return torch.cat(parts) if parts else torch.zeros(0)


def shaped(vector: Tensor, like: Weights) -> dict[str, Tensor]:
    """The floating tensors of `like` with a flat vector's numbers; its other tensors are left out."""
    found, at = dict[str, Tensor](), 0
    for key in sorted(like):
        if like[key].is_floating_point():
            count = like[key].numel()
            found[key] = vector[at : at + count].reshape(like[key].shape).to(like[key].dtype)
            at += count
    return found


def encoded(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (n,) int8 and scales (ceil(n / BLOCK),) float32 of a vector (n,), each number to the nearest code.

    A block's scale is its largest magnitude over LEVELS, so a number moves by half of that at most.
    """
    blocks = _blocks(vector.double())
    scales = (blocks.abs().amax(1) / LEVELS).float()
    steps = blocks / scales.double().clamp(min=torch.finfo(torch.float64).tiny)[:, None]
    return steps.round().clamp(-LEVELS, LEVELS).reshape(-1)[: len(vector)].to(torch.int8), scales


def decoded(codes: Tensor, scales: Tensor) -> Tensor:
    """(n,) float32: what codes (n,) and scales (ceil(n / BLOCK),) stand for."""
    return (_blocks(codes.double()) * scales.double()[:, None]).reshape(-1)[: len(codes)].float()


def packed(vector: Tensor, coded: bool) -> dict[str, Tensor]:
    """A vector (n,) as it travels: in a byte a number if `coded`, else in float32."""
    return dict(zip((CODES, SCALES), encoded(vector), strict=True)) if coded else {CODES: vector.float()}


def unpacked(sent: Weights, coded: bool) -> Tensor:
    """(n,) float32: the vector that `packed` made travel."""
    return decoded(sent[CODES], sent[SCALES]) if coded else sent[CODES]


def _blocks(vector: Tensor) -> Tensor:
    return torch.nn.functional.pad(vector, (0, -len(vector) % BLOCK)).reshape(-1, BLOCK)
