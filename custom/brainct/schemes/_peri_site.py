"""The site's half of PERI: its own graph as a baseline, and the scores of the families that it is asked for."""

from collections.abc import Callable

import numpy as np
import torch

from brainct.core.learner import Learner
from brainct.core.scheme import ClientState, Report, Task
from brainct.errors import Refused
from brainct.graphs.cpdag import extension
from brainct.graphs.mdl import DescriptionLength, mdl
from brainct.graphs.moments import Family, Floats, bic, moments_of
from brainct.graphs.search import Rules, search
from brainct.schemes._families import decoded, rows_of

LEARN = "learn"


def replied(
    task: Task, learner: Learner, client_state: ClientState, score: str, baseline: str, noise: float
) -> tuple[Report, ClientState]:
    """Its own graph's scores, which stay here, or those of the families. baseline: empty for none of its own."""
    rows = rows_of(learner)
    own, constant = scorer(rows, score)
    if task.extra["ask"] == LEARN:
        silent = torch.from_numpy(constant.astype(np.uint8))
        return Report({"silent": silent}, len(rows)), {"base": torch.from_numpy(_base(own, constant, baseline))}
    if baseline and "base" not in client_state:
        raise Refused("this site has lost its client state of the run, on which its scores rely; begin a new run")
    families = decoded(task.extra["families"], rows.shape[1])
    base = client_state["base"].numpy() if baseline else np.array([own((i,)) for i in range(rows.shape[1])])
    found = np.array([0.0 if constant[one[0]] else own(one) - base[one[0]] for one in families], np.float64)
    if noise:
        drawn = learner.credentials.private_uniform(len(found), "noise on scores")
        found = found + laplace(drawn, noise)
    return Report({"scores": torch.from_numpy(found)}, len(rows)), client_state


def scorer(rows: Floats, score: str) -> tuple[Callable[[Family], float], "np.typing.NDArray[np.bool_]"]:
    """L of a family at this site, higher is better, and which columns are constant."""
    if score == "bic":
        moments = moments_of(rows)
        constant = moments.constant
        return lambda one: 0.0 if constant[one[0]] else bic(moments, one), constant
    lengths = DescriptionLength(rows)
    return lambda one: mdl(lengths, one, rows.shape[1]), lengths.constant


def _base(own: Callable[[Family], float], constant: "np.typing.NDArray[np.bool_]", baseline: str) -> Floats:
    """(p,) the score of each column given those that the site's own graph says."""
    p = len(constant)
    graph = search(p, lambda families: {one: own(one) for one in families}, Rules()).graph
    found = extension(graph) if baseline == "dag" else graph
    return np.array([own((i, *np.flatnonzero(found[:, i]).tolist())) for i in range(p)], np.float64)


def laplace(uniform: Floats, scale: float) -> Floats:
    """Laplace noise of this scale from uniform numbers in [0, 1)."""
    centred = np.clip(uniform, 1e-12, 1 - 1e-12) - 0.5
    return np.asarray(-scale * np.sign(centred) * np.log1p(-2 * np.abs(centred)))
