"""Losses over the known labels of a batch; an unknown one, NaN, adds nothing and has no gradient."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax


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


def masked_cross_entropy(logits: Tensor, labels: Tensor, shares: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the labelled samples; 0 with a zero gradient when none is labelled.

    logits, labels: (N, F), a 1 in the column of the sample's class; several share it equally. A sample with an unknown
    label, or without a class, has no part. shares: as in `masked_bce`, of which a sample's add up.
    """
    classes = labels.nan_to_num(0.0)
    known = ~labels.isnan().any(1) & (classes.sum(1) > 0)
    losses = -(log_softmax(logits, 1) * classes).sum(1) / classes.sum(1).clamp(min=1e-12)
    if shares is not None:
        return (losses * shares.sum(1)).where(known, 0.0).sum() / len(logits)
    return losses.where(known, 0.0).sum() / known.sum().clamp(min=1)


def masked_choice(logits: Tensor, labels: Tensor, shares: Tensor | None = None) -> Tensor:
    """Mean of -log of the probability that softmax gives the classes which a sample may have; 0 where none is labelled.

    logits, labels: (N, F). A sample may have the classes labelled 1, or without such a label all those not labelled 0;
    one that is known to be of some classes alone counts with their sum. A sample without any label, or with nothing but
    0, has no part. shares: as in `masked_cross_entropy`.
    """
    positive = labels == 1
    possible = torch.where(positive.any(1, keepdim=True), positive, labels != 0)
    known = known_rows(labels)
    possible = possible | ~known[:, None]
    losses = -log_softmax(logits, 1).masked_fill(~possible, -torch.inf).logsumexp(1)
    if shares is not None:
        return (losses * shares.sum(1)).where(known, 0.0).sum() / len(logits)
    return losses.where(known, 0.0).sum() / known.sum().clamp(min=1)


def known_rows(labels: Tensor) -> Tensor:
    """(N,) whether a sample has a part in `masked_choice`."""
    return ~labels.isnan().all(1) & ~(labels == 0).all(1)


def known_labels(labels: Tensor) -> Tensor:
    """Over how many labels `masked_bce` is the mean."""
    return labels.isfinite().sum()


def known_samples(labels: Tensor) -> Tensor:
    """Over how many samples `masked_choice` is the mean."""
    return known_rows(labels).sum()


def masked_squares(values: Tensor, labels: Tensor, shares: Tensor | None = None) -> Tensor:
    """Mean squared error over the labelled outputs; 0 with a zero gradient when none is labelled; see `masked_bce`."""
    known = ~labels.isnan()
    losses = (values - labels.where(known, 0.0)).square()
    if shares is not None:
        return (losses * shares).where(known, 0.0).sum() / len(values)
    return losses.where(known, 0.0).sum() / known.sum().clamp(min=1)
