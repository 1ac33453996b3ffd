"""A server that sends a site agent a network made to read scans, and the imprint attack; see also loss_attack.

Fowl, Geiping, Czaja, Goldblum, Goldstein: Robbing the Fed, ICLR 2022 (the imprint layer: all neurons see the mean
brightness, each above its own threshold, so that the gradients of two neighbours differ by the scans between them).

All attacks use the package's own `vgg-small`, with options that make its hidden layer linear over the pixels of the
scan at half its edge, since its max-pooling can't be turned off.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from brainct.core.scheme import Task
from brainct.core.weights import Weights, difference, filled
from brainct.ct.config import ct_choices
from brainct.ct.folds import FINDINGS
from brainct.ct.model import model_of
from brainct.job.config import Plan, plan_of
from brainct.protocol.agent import Agent
from brainct.protocol.replies import Failure, Update
from brainct.protocol.requests import DescribeRequest, Request, TrainRequest
from brainct.training.data import Fold

ANY = FINDINGS.index("any")
CLEAR = 35.0
"""dB of PSNR above which a scan counts as recovered; 8-bit pictures that differ by 4 or 5 grey values in each pixel."""
BINS = 1024
CHANNELS = 3


@dataclass(frozen=True)
class Outcome:
    """The result of one attack, with the keys of crafted.json.

    recovered: training scans above CLEAR, of the site's `of`. best: highest PSNR in dB, None without a picture. orders:
    requests sent. said: the site's refusal.
    """

    attack: str
    recovered: int
    of: int
    best: float | None
    orders: int
    said: str = ""

    @property
    def verdict(self) -> str:
        """FAIL if a training scan came out, else PASS."""
        return "FAIL" if self.recovered else "PASS"

    def __str__(self) -> str:
        best = f", best {self.best:.1f} dB" if self.best is not None else ""
        said = f"; the site: {self.said}" if self.said else ""
        requests = f"{self.orders} request{'' if self.orders == 1 else 's'}"
        return f"{self.verdict}  {self.attack}: {self.recovered} of {self.of} training scans{best}, {requests}{said}"


def crafted_plan(scheme: str, size: int, hidden: int, rounds: int = 1, rate: float = 1e-30) -> Plan:
    """A job whose hidden layer sees all pixels of a scan at half its edge; one step a round over all scans."""
    network = {
        "architecture": "vgg-small",
        "size": size,
        "options": {"widths": [CHANNELS], "grid": size // 2, "hidden": hidden},
    }
    fit = {"optimizer": "sgd", "rate": rate, "augment": None, "steps": 1, "batch_size": 4096}
    choices = {"scheme": scheme, "rounds": rounds, "seed": 1, "network": network, "fit": fit, "evaluate_every": 0}
    return plan_of(choices, "the crafted job")


class Server:
    """Sends one site agent the requests of a run as an honest server would, each round once."""

    def __init__(self, agent: Agent, site: str, plan: Plan):
        self.agent, self.plan, self.requests, self.refusal = agent, plan, 0, ""
        self._run: Mapping[str, Any] = {"run": "crafted", "sites": (site,), "plan": plan.model_dump()}
        self._send(DescribeRequest(exchange="the roll call", **self._run))

    def train(self, weights: Weights) -> Update | None:
        """The site's reply to the next round's task; None after a refusal."""
        if self.refusal or self.requests >= self.plan.rounds:
            return None
        number, self.requests = self.requests, self.requests + 1
        task = Task(dict(weights))
        return self._send(TrainRequest(exchange=f"round {number}", round=number, task=task, **self._run))

    def _send(self, request: Request) -> Update | None:
        reply = self.agent.reply(request)
        if isinstance(reply, Failure):
            self.refusal = reply.reason
        return reply if isinstance(reply, Update) else None


def imprint(agent: Agent, site: str, fold: Fold, scheme: str = "fedsgd", size: int = 64) -> Outcome:
    """Request one report under an imprint layer of BINS thresholds, and read scans from its differences.

    fold: the site's training scans, (N, 3, size, size), to compare with. scheme: `fedsgd`, whose report is a gradient,
    or one whose report is a model, such as `fedavg`: after one step of plain SGD it has moved along the gradient.
    """
    server = Server(agent, site, plan := crafted_plan(scheme, size, BINS, rate=1e-30 if scheme == "fedsgd" else 1e3))
    given = imprint_weights(model_of(ct_choices(plan).network, plan.seed, plan.rounds).weights)
    reply = server.train(given)
    moved = {} if reply is None else reply.weights if scheme == "fedsgd" else difference(given, reply.weights)
    pictures = read_imprint(moved) if moved else []
    what = "gradient" if scheme == "fedsgd" else "update"
    return outcome_of(f"imprint layer, {what} of {scheme} at {size} px", server, pictures, fold.inputs)


def imprint_weights(weights: Weights) -> Weights:
    """Weights under which hidden neuron i is max(0, mean brightness - i / BINS), all with the same output weight."""
    made = identity_network(weights)
    rows, pixels = made["hidden.weight"].shape
    made["hidden.weight"] = torch.full((rows, pixels), 1 / pixels)
    made["hidden.bias"] = -torch.arange(rows) / rows
    made["head.weight"][ANY] = 1 / rows
    return made


def read_imprint(gradient: Weights) -> list[Tensor]:
    """(3, E, E) pictures from the hidden layer's gradient: for each two neighbours, the ratio of their differences."""
    weight, bias = (gradient[f"hidden.{part}"].double() for part in ("weight", "bias"))
    weights, biases = weight - _shifted(weight), bias - _shifted(bias)
    edge = int((weight.shape[1] / CHANNELS) ** 0.5)
    present = biases.abs() > 1e-6 * biases.abs().max().clamp(min=1e-30)
    return [
        (row / value).reshape(CHANNELS, edge, edge)
        for row, value in zip(weights[present], biases[present], strict=True)
    ]


def _shifted(values: Tensor) -> Tensor:
    return torch.cat([values[1:], torch.zeros_like(values[:1])])


def identity_network(weights: Weights) -> dict[str, Tensor]:
    """Zeros, except a convolution that is the identity on each window."""
    made = dict(filled(weights, 0.0))
    for channel in range(CHANNELS):
        made["conv1.weight"][channel, channel, 1, 1] = 1.0
    return made


def outcome_of(attack: str, server: Server, pictures: Sequence[Tensor], images: Tensor) -> Outcome:
    """Compare the pictures that came out with the site's training scans at half their edge."""
    true = max_pool2d(images, 2)
    nearest = [max((_psnr(picture, one) for picture in pictures), default=-math.inf) for one in true]
    best = max(nearest, default=-math.inf)
    clear = sum(value > CLEAR for value in nearest)
    return Outcome(attack, clear, len(true), best if math.isfinite(best) else None, server.requests, server.refusal)


def _psnr(picture: Tensor, true: Tensor) -> float:
    error = float((picture.double() - true.double()).square().mean())
    return -10 * math.log10(max(error, 1e-12))
