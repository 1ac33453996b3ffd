"""Hard labels as bits: packed eight to a byte, flipped for privacy, and combined by majority."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.core.learner import Credentials
from brainct.errors import Declined, Refused

VOTES, KNOWN = "labels", "known"

Bits = NDArray[np.bool_]
Uniform = NDArray[np.float64]


def pack(bits: Bits) -> Tensor:
    """Any number of bits as a uint8 tensor, the last byte filled up with zeros."""
    return torch.from_numpy(np.packbits(bits.reshape(-1)))


@dataclass(frozen=True)
class Ballot:
    """The F findings that sites vote on, in the order of the bits of a row; a row is a public scan."""

    findings: Sequence[str]

    def __post_init__(self) -> None:
        if not self.findings or len(set(self.findings)) < len(self.findings):
            raise Refused(f"fedct: findings is {self.findings!r}; wanted a list of the model's outputs, each once")

    def columns(self, outputs: Sequence[str]) -> list[int]:
        """Their places among a model's outputs; Refused for a finding that is none of them."""
        if set(self.findings) - set(outputs):
            raise Refused(
                f"fedct: findings is {self.findings!r}; wanted a list of some of {', '.join(outputs)}, each once"
            )
        return [outputs.index(name) for name in self.findings]

    def empty(self, rows: int) -> Tensor:
        """A packed tensor of this many rows."""
        return torch.zeros(-(-rows * len(self.findings) // 8), dtype=torch.uint8)

    def read(self, tensor: Tensor, rows: int) -> Bits:
        """The (rows, F) bits of a packed tensor."""
        shape = (rows, len(self.findings))
        return np.unpackbits(tensor.numpy(), count=math.prod(shape)).reshape(shape).astype(bool)

    def flip(self, bits: Bits, epsilon: float, credentials: Credentials) -> Bits:
        """The bits below row 0 flipped at random, each epsilon-private, by the site's secret."""
        words = ("fedct", str(float(epsilon)), *self.findings, pack(bits).numpy().tobytes().hex())
        uniform = credentials.private_uniform(bits[1:].size, *words)
        return np.concatenate([bits[:1], flip(bits[1:], flip_rate(epsilon), uniform)])

    def filled(self, probabilities: Tensor, labels: Tensor, outputs: Sequence[str]) -> Bits:
        """(|U| + 1, F) bits: row 0 says which outputs the labels know; below, whether probabilities reach 0.5."""
        columns = self.columns(outputs)
        speaks = labels[:, columns].isfinite().any(0, keepdim=True)
        return torch.cat([speaks, probabilities[:, columns] >= 0.5]).numpy()


def pseudo_labels(ballot: Ballot, consensus: Mapping[str, Tensor], scans: int, outputs: Sequence[str]) -> Tensor:
    """(|U|, outputs) labels: 0 and 1 as the majority voted, NaN without a vote."""
    said = torch.from_numpy(ballot.read(consensus[VOTES], scans)).float()
    if KNOWN in consensus:
        said[torch.from_numpy(~ballot.read(consensus[KNOWN], scans))] = torch.nan
    labels = torch.full((scans, len(outputs)), torch.nan)
    labels[:, ballot.columns(outputs)] = said
    return labels


def delivered_labels(extra: Mapping[str, Any], outputs: Sequence[str]) -> Tensor:
    """(|U|, outputs) labels of the public scans, in the order of their digests, from a model's `extra`."""
    given = extra["fedct"]
    bits = {
        name: torch.tensor(list(bytes.fromhex(given[name])), dtype=torch.uint8)
        for name in (VOTES, KNOWN)
        if name in given
    }
    if not bits:
        return torch.full((given["scans"], len(outputs)), torch.nan)
    return pseudo_labels(Ballot(given["findings"]), bits, given["scans"], outputs)


def check_asked(asked: Mapping[str, Any], forest: bool, client_state: Mapping[str, Any], due: int) -> None:
    """Refuse a task that differs from the job: the server decides neither on votes nor on models.

    forest: whether the job gives this site a forest or a tree. due: the job's votes up to this round.
    """
    if bool(asked["forest"]) != forest:
        raise Declined("the server asks for a forest and the job has a network, or the reverse; the site sends nothing")
    if asked["vote"] and client_state.get("votes", 0) >= due:
        raise Declined(f"the server asks for one vote more than the {due} that the job has up to this round")


def flip_rate(epsilon: float) -> float:
    """1 / (1 + e^epsilon): randomised response at this rate is epsilon-differentially private for each bit.

    All F |U| labels of a vote depend on the same scans of a site, so it spends F |U| epsilon a vote, added up over the
    votes. The final scores, the number of scans, and which findings a site labels are not covered; the training loss is
    not sent. Warner: Randomized Response, Journal of the American Statistical Association 1965.
    """
    return math.exp(-epsilon) / (1 + math.exp(-epsilon))


def flip(bits: Bits, rate: float, uniform: Uniform) -> Bits:
    """Each bit flipped if its own number, uniform in [0, 1), is below the rate."""
    return bits ^ (uniform.reshape(bits.shape) < rate)


def count_votes(votes: Sequence[Bits], coin: Bits, agreement: float | None) -> tuple[Bits, Bits]:
    """The majority's label of each scan and finding, and whether there is one: two (|U|, F) arrays.

    votes: (|U| + 1, F) of each site; row 0 says on which findings it votes. coin: (|U|, F), decides ties. agreement:
    the least share of the votes that the majority must have; None for any share.
    """
    speaks = np.stack([vote[:1] for vote in votes])
    yes = (np.stack([vote[1:] for vote in votes]) & speaks).sum(0)
    cast = np.broadcast_to(speaks.sum(0), yes.shape)
    labels = np.where(2 * yes == cast, coin, 2 * yes > cast)
    most = np.maximum(yes, cast - yes)
    return labels, (cast > 0) & (most >= (agreement or 0.0) * cast - 1e-9)
