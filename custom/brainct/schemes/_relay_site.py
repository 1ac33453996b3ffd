"""The site's half of the relays: its own mechanism of a family, and how well the relayed one fits."""

import numpy as np
import torch

from brainct.core.learner import Learner
from brainct.core.scheme import ClientState, Report, Task
from brainct.core.weights import Weights
from brainct.graphs import relay
from brainct.graphs.moments import moments_of
from brainct.schemes._families import decoded, rows_of

OWN, UNDER = "own", "under"


def replied(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    """The site's own mechanism of each family, or the log-likelihood under the relayed ones."""
    rows = rows_of(learner)
    moments, families = moments_of(rows), decoded(task.extra["families"], rows.shape[1])
    if task.extra["ask"] == OWN:
        width = task.extra["families"].shape[1]
        found = np.stack([np.pad(relay.own_of(moments, one), (0, width - len(one))) for one in families])
        return Report({OWN: torch.from_numpy(found)}, len(rows)), client_state
    sent = task.extra["sent"].numpy()
    under = [relay.under(moments, one, row[: len(one)]) for one, row in zip(families, sent, strict=True)]
    return Report({UNDER: torch.tensor(under, dtype=torch.float64)}, len(rows)), client_state


def expected(task: Task) -> Weights:
    """(F, width) own mechanisms, or (F,) log-likelihoods."""
    families = task.extra["families"]
    shape = tuple(families.shape) if task.extra["ask"] == OWN else (len(families),)
    return {task.extra["ask"]: torch.empty(shape, dtype=torch.float64, device="meta")}
