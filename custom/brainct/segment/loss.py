"""Dice and cross-entropy over the masks that are known; an unknown one, NaN, adds nothing and has no gradient.

Milletari, Navab, Ahmadi: V-Net, 3DV 2016 (the soft Dice of each mask, here MONAI's DiceLoss), plus the mean binary
cross-entropy over its pixels, without which small lesions hardly move a network that marks nothing.
"""

from functools import cache
from typing import Any

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from brainct.errors import Refused


def masked_dice(logits: Tensor, masks: Tensor, shares: Tensor | None = None) -> Tensor:
    """Mean over the known masks of 1 - Dice, plus the cross-entropy; 0 with a zero gradient where none is known.

    logits: (N, F, H, W[, D]). masks: the same shape, 0 and 1, or NaN everywhere where a sample's finding has no mask.
    """
    if shares is not None:
        raise Refused("segmentation has no labels of public samples")
    known = known_of(masks)
    truth = masks.nan_to_num(0.0)
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(2).mean(2)
    overlap = _dice()(logits, truth).flatten(1)
    loss: Tensor = (entropy + overlap).where(known, 0.0).sum() / known.sum().clamp(min=1)
    return loss


def known_of(masks: Tensor) -> Tensor:
    """(N, F) whether a sample's finding has a mask."""
    return ~masks.flatten(2).isnan().any(2)


def known_masks(masks: Tensor) -> Tensor:
    """Over how many masks `masked_dice` is the mean."""
    return known_of(masks).sum()


@cache
def _dice() -> Any:
    from monai.losses import DiceLoss

    return DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)
