"""All attacks by crafted networks on one site."""

from collections.abc import Callable

from brainct.leakage.crafted_networks import Outcome, imprint
from brainct.leakage.loss_attack import read_through_loss
from brainct.protocol.agent import Agent
from brainct.training.data import Fold


def try_attacks(agent: Callable[[str], Agent], site: str, fold: Callable[[int], Fold]) -> list[Outcome]:
    """All crafted-network attacks on one site.

    agent: gives a site agent with its own disk for each attack's name. fold: the site's training scans at a size.
    """
    return [
        imprint(agent("fedsgd"), site, fold(64), "fedsgd", 64),
        imprint(agent("fedavg"), site, fold(64), "fedavg", 64),
        read_through_loss(agent("loss"), site, fold(32), 32),
    ]
