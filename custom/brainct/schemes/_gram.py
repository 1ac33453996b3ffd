"""The closed form of ridge: Gram matrices of a site's scans as lower triangles, and the head that solves their sum."""

import torch
from torch import Tensor

from brainct.core.learner import Learner, Model
from brainct.core.scheme import ClientState, Report, Task
from brainct.core.weights import Weights, sha256
from brainct.errors import Declined, Refused

GRAMS = "grams"
"""The matrices in a report; in a task's `extra` the layer whose inputs they are over."""


def head_of(model: Model, scheme: str) -> str:
    """The path of the network's last linear layer with a bias; Refused, in this scheme's name, without one."""
    paths = [layer.path for layer in model.layers if layer.kind == "Linear" and f"{layer.path}.bias" in layer.keys]
    if not paths:
        raise Refused(f"{scheme}: {model.architecture} has no linear layer with a bias; choose another network")
    return paths[-1]


def matrices_of(task: Task, learner: Learner, client_state: ClientState, scheme: str) -> tuple[Report, ClientState]:
    """A site's matrices, and its state with a digest of the model; Declined for a second model in a run."""
    head = head_of(learner.initial(), scheme)
    if task.extra[GRAMS] != head:
        raise Declined(f"the server asks for the input of another layer than {head}, the network's head")
    said = sha256({key: value for key, value in task.weights.items() if not key.startswith(f"{head}.")})
    if client_state.get("said", said) != said:
        raise Declined("the server asks for the matrices of another model; a site sends those of one model in a run")
    features, labels = head_inputs(learner, task.weights, head)
    return Report({GRAMS: matrices(features, labels)}, len(features)), {**client_state, "said": said}


def head_inputs(learner: Learner, weights: Weights, head: str) -> tuple[Tensor, Tensor]:
    """(N, D) inputs of the head and (N, F) labels, for the training fold, not augmented."""
    inputs: list[Tensor] = []
    labels = learner.observe(weights, [head], lambda _, given, __: inputs.append(given.cpu()))
    return torch.cat(inputs), labels


def expected(task: Task) -> Weights:
    """What the report of this task holds."""
    shape = shape_for(task.weights[f"{task.extra[GRAMS]}.weight"])
    return {GRAMS: torch.empty(shape, dtype=torch.float64, device="meta")}


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
        raise Refused("the network's last features are the same for all scans; start from another checkpoint")
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
