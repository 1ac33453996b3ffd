"""Whether weights are of the network that a job names, found out before that network is built."""

import torch

from brainct.core.weights import Weights
from brainct.ct.config import CtChoices
from brainct.ct.model import network_of
from brainct.errors import Refused


def check_network(weights: Weights, choices: CtChoices, whose: str) -> None:
    """Refuse weights of another network than the job's before that is built: it could be of any size."""
    try:
        with torch.device("meta"):
            wanted = network_of(choices.network, 0, choices.findings).state_dict()
    except Exception as error:  # options are the architecture's own, and it refuses them in its own way
        kind = type(error).__name__
        raise Refused(f"{whose}: the network that it names can't be built ({kind})") from None
    differ = sorted(key for key in wanted.keys() | weights.keys() if _shape(wanted, key) != _shape(weights, key))
    if differ:
        raise Refused(
            f"{whose}: {len(differ)} of its tensors, such as {differ[0]:.80}, are not of the network it names"
        )


def _shape(weights: Weights, key: str) -> tuple[int, ...] | None:
    return tuple(weights[key].shape) if key in weights else None
