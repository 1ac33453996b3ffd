"""Reads a scan from the training loss alone: a threshold isolates one scan, then each request reveals one value."""

import math

import torch
from torch import Tensor

from brainct.core.weights import Weights
from brainct.ct.config import ct_choices
from brainct.ct.model import model_of
from brainct.leakage.crafted_networks import ANY, CHANNELS, Outcome, Server, crafted_plan, identity_network, outcome_of
from brainct.protocol.agent import Agent
from brainct.training.data import Fold

STEEP, SURE, SLOPE = 4000.0, 10.0, 4.0
"""STEEP: a scan less than 1 / STEEP below a threshold passes too. SURE: logit of a scan above it during the search.
SLOPE: logit of a pixel value of 1 while values are read."""
PARTS, SEARCH = ("all", "top", "left", "first window"), 20
"""PARTS: of the picture whose brightness is tried. SEARCH: requests that the search may take in each."""


def read_through_loss(agent: Agent, site: str, fold: Fold, size: int = 32) -> Outcome:
    """Use the training loss alone: find a threshold with one scan above it, then read its values, one a request.

    Reads the first of the scan's windows. fold: the site's training scans, (N, 3, size, size), to compare with; the
    server knows the number of its labels from the roll call.
    """
    edge = size // 2
    server = Server(agent, site, plan := crafted_plan("fedavg", size, 2, rounds=edge**2 + SEARCH * len(PARTS)))
    reader = _Reader(
        server,
        identity_network(model_of(ct_choices(plan).network, plan.seed, plan.rounds).weights),
        int(fold.labels.isfinite().sum()),
    )
    found = next((found for part in PARTS if (found := reader.border(_part(part, edge)))), None)
    values = [reader.value(*found, pixel) for pixel in range(edge**2)] if found else []
    known = [value for value in values if value is not None]
    whole = [torch.tensor(known).reshape(1, edge, edge)] if len(known) == edge**2 else []
    return outcome_of(f"threshold that isolates a scan, loss of fedavg at {size} px", server, whole, fold.inputs[:, :1])


class _Reader:
    """Reads from the loss of a crafted model how many scans are above a threshold, and a value of a single one.

    labels: number over all training scans, of which the loss is the mean. Outputs other than `any` add log 2 each.
    """

    def __init__(self, server: Server, weights: dict[str, Tensor], labels: int):
        self.server, self.weights, self.labels = server, weights, labels

    def border(self, part: Tensor) -> tuple[Tensor, float, bool] | None:
        """This part, a mean brightness above which exactly one scan is, and whether that scan is positive; or None."""
        low, high = 0.0, 1.0
        for _ in range(SEARCH):
            middle = (low + high) / 2
            total = self._total(part, middle, None)
            if total is None:
                return None
            for positive, alone in ((True, _loss(SURE)), (False, _loss(-SURE))):
                if abs(total - alone) < 0.02:
                    return part, middle, positive
            low, high = (low, middle) if abs(total) < 0.02 else (middle, high)
        return None

    def value(self, part: Tensor, border: float, positive: bool, pixel: int) -> float | None:
        """The value of one pixel of the scan above the border; None after a refusal."""
        total = self._total(part, border, pixel)
        if total is None:
            return None
        logit = -math.log(math.expm1(max(total + math.log(2), 1e-9)))
        return (logit if positive else -logit) / SLOPE

    def _total(self, part: Tensor, border: float, pixel: int | None) -> float | None:
        """The sum over the scans above the border of cross-entropy minus log 2."""
        reply = self.server.train(_gated(self.weights, part, border, pixel))
        loss = reply.metrics.get("loss") if reply else None
        return None if loss is None else (loss - math.log(2)) * self.labels


def _loss(logit: float) -> float:
    return math.log1p(math.exp(-logit)) - math.log(2)


def _part(name: str, edge: int) -> Tensor:
    """(CHANNELS edge^2,) weights, sum 1, of the values whose mean brightness is used."""
    chosen = torch.zeros(CHANNELS, edge, edge)
    half = edge // 2
    areas = {"all": chosen, "top": chosen[:, :half], "left": chosen[:, :, :half], "first window": chosen[0]}
    areas[name].fill_(1.0)
    return (chosen / chosen.sum()).flatten()


def _gated(weights: Weights, part: Tensor, border: float, pixel: int | None) -> Weights:
    """Logit SLOPE x of this pixel (SURE if None) where the part's mean brightness is above the border; else 0.

    max(0, g + x) - max(0, g), where g = STEEP (brightness - border).
    """
    made = {key: value.clone() for key, value in weights.items()}
    made["hidden.weight"][:] = STEEP * part
    made["hidden.bias"][:] = -STEEP * border
    if pixel is None:
        made["hidden.bias"][0] += 1
    else:
        made["hidden.weight"][0, pixel] += 1
    scale = SURE if pixel is None else SLOPE
    made["head.weight"][ANY] = torch.tensor([scale, -scale])
    return made
