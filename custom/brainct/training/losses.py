"""Losses over the known labels of a batch; an unknown one, NaN, adds nothing and has no gradient."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def masked_bce(logits: Tensor, labels: Tensor, shares: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy over the labelled outputs; 0 with a zero gradient when none is labelled.

    logits: (N, F). labels: (N, F), 0, 1, or NaN where unlabelled. shares: (N, F), what each output counts in a
    sample's sum; the loss is then the mean of these sums.
    """
    known = ~labels.isnan()
    losses = binary_cross_entropy_with_logits(logits, labels.where(known, 0.0), reduction="none")
    if shares is not None:
        return (losses * shares).where(known, 0.0).sum() / len(logits)
    return losses.where(known, 0.0).sum() / known.sum().clamp(min=1)
