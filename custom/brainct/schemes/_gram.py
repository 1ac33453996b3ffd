"""The closed form of ridge: Gram matrices of a site's scans as lower triangles, and the head that solves their sum."""

import torch
from torch import Tensor

from brainct.core.weights import Weights
from brainct.errors import Refused


def matrices(features: Tensor, labels: Tensor) -> Tensor:
    """(2, F, (D+1)(D+2)/2) lower triangles of sum phi phi^T over the scans without, and with, each finding."""
    phi = torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], 1)
    rows, columns = torch.tril_indices(phi.shape[1], phi.shape[1])
    classes = [[phi[labels[:, j] == label] for j in range(labels.shape[1])] for label in (0, 1)]
    return torch.stack([torch.stack([(part.T @ part)[rows, columns] for part in parts]) for parts in classes])


def solve_head(grams: Tensor, weights: Weights, head: str, lam: float) -> dict[str, Tensor]:
    """The head's weight (F, D) and bias (F) of all triangles; a finding without both classes stays as it was."""
    weight, bias = (weights[f"{head}.{part}"].clone() for part in ("weight", "bias"))
    for j, (without, with_finding) in enumerate(grams.unbind(1)):
        negative, positive = (_square(triangle, weight.shape[1] + 1) for triangle in (without, with_finding))
        if negative[-1, -1] > 0 and positive[-1, -1] > 0:
            logit = 2 * _balanced(negative / negative[-1, -1], positive / positive[-1, -1], lam)
            weight[j], bias[j] = logit[:-1].to(weight.dtype), logit[-1].to(bias.dtype)
    return {f"{head}.weight": weight, f"{head}.bias": bias}


def _balanced(negative: Tensor, positive: Tensor, lam: float) -> Tensor:
    """(D+1) coefficients of the score, bias last, given the mean of phi phi^T in each class."""
    gram, moment = positive + negative, positive[:, -1] - negative[:, -1]
    scatter = gram.diagonal()[:-1] - gram[-1, :-1].square() / gram[-1, -1]
    if not scatter.mean() > 0:
        raise Refused("ridge: the network's last features are the same for all scans; start from another checkpoint")
    penalty = torch.full_like(moment, lam * scatter.mean().item())
    penalty[-1] = 0.0
    solution: Tensor = torch.linalg.solve(gram + penalty.diag(), moment)
    return solution


def _square(triangle: Tensor, edge: int) -> Tensor:
    rows, columns = torch.tril_indices(edge, edge)
    square = triangle.new_zeros(edge, edge)
    square[rows, columns] = square[columns, rows] = triangle
    return square


def shape_for(weight: Tensor) -> tuple[int, int, int]:
    """The shape of `matrices` for a head of this weight, (F, D)."""
    findings, inputs = weight.shape
    return 2, findings, (inputs + 1) * (inputs + 2) // 2
