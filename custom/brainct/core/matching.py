"""Matching the units of two networks: permutations of plain chains, and the arithmetic that follows.

Yurochkin, Agarwal, Ghosh, Greenewald, Hoang, Khazaeni: Bayesian Nonparametric Federated Learning of Neural Networks,
ICML 2019 (BBP-MAP, as FedMA uses it). Ainsworth, Hayase, Srinivasa: Git Re-Basin, ICLR 2023, section 3.2 (weights).

A unit is a channel of a convolution or an output of a linear layer. Its atom is its parameters: its row of incoming
weights, and its numbers in the vectors along the outputs (bias, normalisation). If a linear layer reads channels, a
channel goes out as the block of features that flattening made of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.core.weights import Weights

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """A layer of a plain chain.

    weight: key of its weight (out, in, ...). along: keys of the vectors that have one number for each output.
    carried: keys of tensors with a row for each output, which move with it but do not count in matching.
    groups: of the GroupNorm that follows it, 0 without one. To exchange whole groups, or channels within a group, does
    not change GroupNorm: mean and variance are over the same sets, and weight and bias move along.
    """

    weight: str
    along: Sequence[str]
    groups: int = 0
    carried: Sequence[str] = ()

    @property
    def keys(self) -> list[str]:
        """All its tensors' keys."""
        return [self.weight, *self.along, *self.carried]

    @property
    def last(self) -> str:
        """The module path of the layer, or of the normalisation after it: the input of the activation function."""
        return (self.along[-1] if self.along else self.weight).rpartition(".")[0]


def atoms(weights: Weights, link: Link) -> Floats:
    """(units, numbers) float64: the atoms of a layer."""
    parts = [weights[link.weight].flatten(1), *(weights[key][:, None] for key in link.along)]
    return np.asarray(torch.cat([part.double() for part in parts], 1))


def units_of(weights: Weights, link: Link, index: Indices) -> dict[str, Tensor]:
    """The layer's tensors with these units, in this order."""
    return {key: weights[key][torch.from_numpy(index)] for key in link.keys}


def inputs_from(weight: Tensor, units: int, index: Indices) -> Tensor:
    """A weight that reads only these of the `units` before it, in this order, block by block."""
    return _like(weight, _blocks(weight, units)[:, torch.from_numpy(index)])


def inputs_spread(weight: Tensor, index: Indices, units: int) -> Tensor:
    """A weight that reads its l-th unit at place index[l] of `units`, and nothing (zeros) at the other places."""
    own = _blocks(weight, len(index))
    wide = own.new_zeros(len(own), units, own.shape[2])
    wide[:, torch.from_numpy(index)] = own
    return _like(weight, wide)


def _blocks(weight: Tensor, units: int) -> Tensor:
    """(out, units, rest): rest is a convolution's kernel, or the features that flattening made of a channel."""
    return weight.reshape(len(weight), units, -1)


def _like(weight: Tensor, blocks: Tensor) -> Tensor:
    return blocks.reshape(len(blocks), -1, *weight.shape[2:])


def mean_of_matched(sites: Sequence[Weights], link: Link, places: Sequence[Indices]) -> dict[str, Tensor]:
    """The layer whose unit i is the mean of the sites' units at place i; at least one site has a unit there."""
    return {key: _mean_of_matched([weights[key] for weights in sites], places) for key in link.keys}


def _mean_of_matched(values: Sequence[Tensor], places: Sequence[Indices]) -> Tensor:
    total = torch.zeros(width(places), *values[0].shape[1:], dtype=torch.float64)
    for value, place in zip(values, places, strict=True):
        total.index_add_(0, torch.from_numpy(place), value.double())
    count = np.bincount(np.concatenate(places)).astype(np.float64)
    return (total / _column(count, total)).to(values[0].dtype)


def mean_of_rows(sites: Sequence[Weights], link: Link, shares: Floats) -> dict[str, Tensor]:
    """The layer whose unit i is the sites' mean with shares[site, i] >= 0; where all shares are 0, with equal ones."""
    some = np.where(shares.sum(0) > 0, shares, 1.0)
    return {key: _mean_of_rows([weights[key] for weights in sites], some) for key in link.keys}


def _mean_of_rows(values: Sequence[Tensor], shares: Floats) -> Tensor:
    total = torch.zeros_like(values[0], dtype=torch.float64)
    for value, share in zip(values, shares, strict=True):
        total += value.double() * _column(share, value)
    return (total / _column(shares.sum(0), values[0])).to(values[0].dtype)


def _column(numbers: Floats, like: Tensor) -> Tensor:
    """Numbers of the units, in the shape that multiplies each unit's part of a tensor."""
    return torch.from_numpy(numbers).reshape(-1, *[1] * (like.ndim - 1))


def width(places: Sequence[Indices]) -> int:
    """The number of global units."""
    return int(max(place.max() for place in places)) + 1


def share_mean(
    sites: Sequence[Weights], link: Link, following: Link, places: Sequence[Indices]
) -> list[dict[str, Tensor]]:
    """The sites' networks with their mean in one layer, and zeros in the next where a site has no such unit."""
    mean, units = mean_of_matched(sites, link, places), width(places)
    return [
        {**weights, **mean, following.weight: inputs_spread(weights[following.weight], place, units)}
        for weights, place in zip(sites, places, strict=True)
    ]


def own_units(whole: Weights, chain: Sequence[Link], places: Sequence[Sequence[int]]) -> Weights:
    """A site's part of a network: in each hidden layer the units at the site's places, in its order."""
    for link, following, place in zip(chain, chain[1:], places, strict=False):
        whole = permute(whole, link, following, np.array(place))
    return whole


@dataclass(frozen=True)
class Prior:
    """The prior of BBP-MAP.

    gamma: > 0, the mass of the Beta-Bernoulli process; more lets a layer grow more, and up to 1 no two equal atoms are
    held for two units. noise: sigma^2 / sigma_0^2, > 0, how far a site's atom strays from the global one, over how far
    global atoms lie from 0: two atoms of one length are held for one unit if the cosine of the angle between them is
    above about 1 / (1 + noise).
    """

    gamma: float
    noise: float


def bbp_map(sites: Sequence[Floats], prior: Prior, most: int, sweeps: int, order: np.random.Generator) -> list[Indices]:
    """For each site the places of its atoms among the global ones, which number at most `most` (>= each site's own).

    The widest site's atoms are the first global ones. In each sweep every site in random order is taken out and
    assigned anew to what the others hold, or to new places, so that the posterior is greatest.
    """
    scale = np.sqrt(np.mean(np.concatenate([one.ravel() for one in sites]) ** 2)) or 1.0
    scaled = [one / scale for one in sites]
    widest = int(np.argmax([len(one) for one in scaled]))
    places = {widest: np.arange(len(scaled[widest]))}
    rest = [site for site in order.permutation(len(scaled)).tolist() if site != widest]
    turns = rest + [site for _ in range(sweeps) for site in order.permutation(len(scaled)).tolist()]
    for site in turns if len(scaled) > 1 else []:
        others = _without_gaps({other: place for other, place in places.items() if other != site})
        gain = _gain(
            scaled[site], [(scaled[other], place) for other, place in others.items()], len(scaled), prior, most
        )
        places = {**others, site: _assigned(gain)}
    places = _without_gaps(places)
    return [places[site] for site in range(len(scaled))]


def _without_gaps(places: Mapping[int, Indices]) -> dict[int, Indices]:
    """The same places without the empty ones, in the same order."""
    _, renumbered = np.unique(np.concatenate(list(places.values())), return_inverse=True)
    ends = np.cumsum([len(place) for place in places.values()])
    return dict(zip(places, np.split(renumbered.astype(np.int64), ends[:-1]), strict=True))


def _gain(own: Floats, others: Sequence[tuple[Floats, Indices]], sites: int, prior: Prior, most: int) -> Floats:
    """(atoms, places) how much twice the log posterior rises when an atom comes to a place, held by others or new.

    With a prior precision of 1 and a site's precision of s = 1 / noise, n atoms of sum S at a place have their
    posterior mode at sS / (1 + ns), where twice the log posterior is |sS|^2 / (1 + ns) but for constants.
    """
    held, s = width([place for _, place in others]), 1 / prior.noise
    total, count = np.zeros((held, own.shape[1])), np.zeros(held)
    for values, place in others:
        total[place] += values
        count[place] += 1
    size, before = (own**2).sum(1)[:, None], (total**2).sum(1)
    after = before + 2 * own @ total.T + size
    matched = s**2 * (after / (1 + s * (count + 1)) - before / (1 + s * count)) + 2 * np.log(count / (sites - count))
    new = s**2 * size / (1 + s) - 2 * np.log(np.arange(1, most - held + 1)) + 2 * np.log(prior.gamma / sites)
    return np.concatenate([matched, new], 1)


def align(weights: Weights, like: Weights, chain: Sequence[Link], sweeps: int) -> dict[str, Tensor]:
    """The network with its hidden units permuted so that its weights lie as close to `like` as coordinate ascent gets.

    Each hidden layer's permutation in turn is made the best one given the others, until none changes or for `sweeps`
    sweeps. The function stays what it was.
    """
    current = dict(weights)
    for _ in range(sweeps):
        moved = False
        for link, following in zip(chain, chain[1:], strict=False):
            best = _best(_likeness(current, like, link, following), max(link.groups, 1))
            if not np.array_equal(best, np.arange(len(best))):
                moved, current = True, permute(current, link, following, best)
        if not moved:
            break
    return current


def permute(weights: Weights, link: Link, following: Link, index: Indices) -> dict[str, Tensor]:
    """The network with these units of a layer in this order, all or some, and the layer after it that reads them."""
    reads = inputs_from(weights[following.weight], len(weights[link.weight]), index)
    return {**weights, **units_of(weights, link, index), following.weight: reads}


def _likeness(weights: Weights, like: Weights, link: Link, following: Link) -> Floats:
    """(units of like, units of weights) inner products of all numbers that touch a unit, coming in and going out."""
    out = [_blocks(one[following.weight].double(), len(one[link.weight])) for one in (like, weights)]
    going_out = torch.einsum("oir,okr->ik", *out)
    return np.asarray(atoms(like, link) @ atoms(weights, link).T + np.asarray(going_out))


def _assigned(gain: Floats) -> Indices:
    """The column of each row, with the largest sum of gains."""
    from scipy.optimize import linear_sum_assignment  # most of a second, which every process of a run would wait

    return np.asarray(linear_sum_assignment(gain, maximize=True)[1], np.int64)


def _best(likeness: Floats, groups: int) -> Indices:
    """The permutation of the largest total likeness that keeps groups whole: within pairs of groups, then of groups.

    Exact: a total is the sum over pairs of groups, and within a pair the channels can be chosen on their own. The
    identity stays where nothing is better by more than rounding.
    """
    size = len(likeness) // groups
    blocks = likeness.reshape(groups, size, groups, size).swapaxes(1, 2)
    inner: Any = [[_assigned(block) for block in row] for row in blocks]
    values = [[blocks[p, q][np.arange(size), inner[p][q]].sum() for q in range(groups)] for p in range(groups)]
    index = np.concatenate([q * size + inner[p][q] for p, q in enumerate(_assigned(np.asarray(values)))])
    better = likeness[np.arange(len(index)), index].sum() - np.trace(likeness)
    return index if better > 1e-9 * np.abs(likeness).sum() else np.arange(len(index))
