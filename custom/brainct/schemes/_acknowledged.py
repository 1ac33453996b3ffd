"""Two halves that must stay in step: what a site keeps counts only if the report that went with it arrived.

The server counts each site's reports and says the count in the next task; a site whose report was lost goes back to
what it kept before, as the server did.
"""

from collections.abc import Collection, Mapping, Sequence

from brainct.core.scheme import ClientState, Task
from brainct.core.weights import Weights
from brainct.errors import Refused

Arrived = Mapping[str, int]


def none(sites: Sequence[str]) -> Arrived:
    """No report has arrived yet."""
    return dict.fromkeys(sites, 0)


def more(arrived: Arrived, reports: Collection[str]) -> Arrived:
    """The counts after a round in which these sites' reports arrived."""
    return {site: count + (site in reports) for site, count in arrived.items()}


def settled(task: Task, client_state: ClientState, first: Weights) -> Weights:
    """What the site kept with its last report that arrived; `first` before there is any."""
    if not client_state and task.extra["arrived"]:
        raise Refused("this site has lost what it kept of the run, which the server goes on from; begin a new run")
    if not client_state:
        return first
    kept: Weights = client_state["next"] if task.extra["arrived"] > client_state["arrived"] else client_state["now"]
    return kept


def keeping(task: Task, now: Weights, next: Weights) -> ClientState:
    """What to keep with this report: `next` once it has arrived, `now` until then."""
    return {"arrived": task.extra["arrived"], "now": now, "next": next}
