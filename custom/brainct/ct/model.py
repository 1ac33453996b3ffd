"""The network that a job chooses, with the weights that follow from its seed."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from brainct.core.learner import Model
from brainct.core.weights import Weights
from brainct.ct import class_paths
from brainct.ct.config import Network
from brainct.ct.folds import FINDINGS
from brainct.ct.networks import NETWORKS, build
from brainct.training.networks import described


def model_of(network: Network, seed: int, rounds: int = 0, findings: Sequence[str] = FINDINGS) -> Model:
    """The network as schemes see it, with its seeded weights and its outputs, and the run's rounds."""
    found = described(network_of(network, seed, findings), network.architecture)
    return replace(found, rounds=rounds, outputs=tuple(findings))


def network_of(network: Network, seed: int, findings: Sequence[str] = FINDINGS) -> nn.Module:
    """The network with its seeded weights and an output for each finding."""
    chosen, outputs = (network.channels, network.size, network.dims, seed), len(findings)
    if class_paths.is_path(network.architecture):
        return class_paths.build(network.architecture, *chosen, outputs=outputs, options=network.options)
    return build(network.architecture, *chosen, outputs=outputs, **network.options)


def network_like(network: Network, seed: int, weights: Weights, findings: Sequence[str] = FINDINGS) -> nn.Module:
    """The network in the widths that these weights have, where its architecture lets them differ.

    So is a model.safetensors of grown widths loaded: network_like(network, seed, weights).load_state_dict(weights).
    """
    known = NETWORKS.get(network.architecture)
    options = {**network.options, **(known.options_of(weights) if known else {})}
    return network_of(network.model_copy(update={"options": options}), seed, findings)
