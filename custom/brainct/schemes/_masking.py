"""A site's half of a sum: its update under masks, which cancel only if all sites were given the same task."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainct.core import masking, serialization
from brainct.core.learner import Learner
from brainct.core.names import listing
from brainct.core.report_check import check_report
from brainct.core.scheme import ClientState, Report, Task
from brainct.errors import Declined
from brainct.schemes import _secagg_keys
from brainct.schemes._secagg_keys import KEYS, Terms
from brainct.schemes._unmasking import ROUND

MEMBERS, GIVEN = "secagg_members", "secagg_given"
"""In a task's `extra`: the sites of the sum; in a report's: a digest of what the site was given."""
BY_SITE = ("arrived", "scans")
"""In a task's `extra`, what may differ by site: counts of its own reports and scans, without effect on other sites."""
ONCE = ("own",)
"""In a task's `extra`, what is the same for all sites, but sent to each only until its first report is in."""
COUNTS = ("steps",)
"""In a report's `extra`, what may leave unmasked: it follows from the number of scans and the job."""


def reply_masked(task: Task, learner: Learner, client_state: ClientState, terms: Terms) -> tuple[Report, ClientState]:
    """The inner scheme's report under masks, without its metrics; and the site's keys for the next sum."""
    round, within, choices = _later(task, client_state), within_of(task), learner.credentials.job_digest()
    name, keys = _members(task.extra[MEMBERS], round, learner, client_state, terms)
    _check_fixed(within, sorted(keys), client_state) if terms.fixed_members else None
    report, kept = terms.inner.reply(within, learner, client_state.get("inner", {}))
    check_report(report, within, terms.inner, "its own update")
    once = {
        **client_state.get("once", {}),
        **{key: serialization.sha256(within.extra[key]) for key in ONCE if key in within.extra},
    }
    given = _given(within, choices, once)
    values = masking.to_fixed_point(report.weights, terms.aggregation_weight(within, report), len(keys))
    own = _secagg_keys.private(learner, round), _secagg_keys.seed(learner, round)
    hidden = masking.masked(values, *own, name, keys, [given, round])
    extra = {**_in_clear(report.extra, terms), KEYS: _secagg_keys.own(learner, round + 1), GIVEN: given}
    now = {"inner": kept, "once": once, ROUND: round, "members": sorted(keys), "given": given if values else ""}
    return replace(report, weights=hidden, metrics={}, extra=extra), {**client_state, **now}


def within_of(task: Task) -> Task:
    """The inner scheme's task."""
    return replace(task, extra={key: value for key, value in task.extra.items() if key not in (MEMBERS, ROUND)})


def _later(task: Task, client_state: ClientState) -> int:
    round, last = int(task.extra[ROUND]), client_state.get(ROUND, -1)
    if round <= last:
        raise Declined(f"the server asks for round {round} after round {last} was masked; it sends nothing")
    return round


def _members(
    members: Sequence[str], round: int, learner: Learner, client_state: ClientState, terms: Terms
) -> tuple[str, dict[str, str]]:
    """This site's name and the members' keys of this round's masks; refused if it sent no shares for that sum."""
    shares = client_state.get("shares", {})
    if shares.get("round") != round or not set(members) <= shares["keys"].keys() or shares["name"] not in members:
        raise Declined(
            f"the server asks for a sum in round {round} for which no shares were exchanged; it sends nothing"
        )
    if len(set(members)) < max(terms.least, len(members)):
        raise Declined(
            f"the server asks for a sum of {len(set(members))} sites; wanted at least {terms.least}, each once"
        )
    if masking.public_key(_secagg_keys.private(learner, round)) != shares["keys"][shares["name"]]["mask"]:
        raise Declined("the job is not the one for which keys were agreed; it sends nothing")
    return shares["name"], {site: shares["keys"][site]["mask"] for site in members}


def _check_fixed(task: Task, members: Sequence[str], client_state: ClientState) -> None:
    """Refuse a sum over other sites than the run's first, and a count of reports other than this site's own."""
    if members != client_state.get("members", members):
        was = listing(client_state["members"])
        raise Declined(f"the server asks for a sum over {listing(members)}; `members` is fixed to {was}")
    sums = client_state.get("opened", 0)
    if task.extra.get("arrived", sums) != sums:
        raise Declined(f"the server says that {task.extra['arrived']} reports arrived; this site knows of {sums} sums")


def _given(task: Task, choices: str, once: Mapping[str, str]) -> str:
    """64 hex digits over the job, the model and all else that must be the same for all sites of a sum."""
    same = {key: value for key, value in task.extra.items() if key not in (*BY_SITE, *ONCE)}
    return serialization.sha256({"weights": dict(task.weights), "extra": same, "once": dict(once), "choices": choices})


def _in_clear(extra: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """What the inner scheme sends in addition to its weights; refused if it is more than counts."""
    if more := sorted(extra.keys() - set(COUNTS)):
        raise Declined(f"secagg: {terms.inner.name} would send {', '.join(more)} unmasked, which derives from scans")
    return dict(extra)
