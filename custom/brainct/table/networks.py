"""Logistic regression and a small multilayer perceptron: (N, inputs) to (N, F) logits, seeded initial weights."""

from dataclasses import replace
from functools import partial

from torch import nn

from brainct.core.learner import Model
from brainct.table.config import TableChoices
from brainct.training.networks import described, seeded


def network_of(choices: TableChoices, seed: int) -> nn.Module:
    """The job's network with the weights that follow from the seed."""
    return seeded(seed, partial(_network, choices))


def model_of(choices: TableChoices, seed: int, rounds: int = 0) -> Model:
    """The network as schemes see it, with its seeded weights, and the run's rounds."""
    found = described(network_of(choices, seed), choices.model.kind)
    return replace(found, rounds=rounds, outputs=tuple(choices.outputs))


def _network(choices: TableChoices) -> nn.Module:
    network, width = nn.Sequential(), choices.inputs
    for number, hidden in enumerate(choices.model.hidden if choices.model.kind == "mlp" else [], 1):
        network.add_module(f"hidden{number}", nn.Linear(width, hidden))
        network.add_module(f"relu{number}", nn.ReLU())
        width = hidden
    network.add_module("head", nn.Linear(width, len(choices.outputs)))
    return network
