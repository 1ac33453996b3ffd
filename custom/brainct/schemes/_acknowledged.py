"""Client state that stays in step with the server: it counts only if the report sent with it arrived.

The server counts each site's reports and sends the count with the next task; a site whose report was lost returns to
its client state before that report, as the server did.
"""

from collections.abc import Collection, Mapping, Sequence

from brainct.core.scheme import ClientState, Task
from brainct.core.weights import Weights
from brainct.errors import Refused

Arrived = Mapping[str, int]


def no_reports(sites: Sequence[str]) -> Arrived:
    """The counts before any report has arrived."""
    return dict.fromkeys(sites, 0)


def counted(arrived: Arrived, reports: Collection[str]) -> Arrived:
    """The counts after a round in which these sites' reports arrived."""
    return {site: count + (site in reports) for site, count in arrived.items()}


def acknowledged(task: Task, client_state: ClientState, first: Weights) -> Weights:
    """The client state of the last report that arrived; `first` before any did."""
    if not client_state and task.extra["arrived"]:
        raise Refused("this site has lost its client state of the run, on which the server relies; begin a new run")
    if not client_state:
        return first
    kept: Weights = client_state["next"] if task.extra["arrived"] > client_state["arrived"] else client_state["now"]
    return kept


def state_with(task: Task, now: Weights, next: Weights) -> ClientState:
    """The client state to save with this report: `next` counts once it has arrived, `now` until then."""
    return {"arrived": task.extra["arrived"], "now": now, "next": next}
