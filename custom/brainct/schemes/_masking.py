"""A site's half of a sum: its update under masks, which cancel only if all sites were given the same."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainct import masks, plain
from brainct.errors import Declined
from brainct.scheme import Keep, Learner, Report, Task, check_report
from brainct.schemes import _keys
from brainct.schemes._keys import KEYS, Terms
from brainct.schemes._unmasking import ROUND

MEMBERS, GIVEN = "secagg_members", "secagg_given"
"""In a task's `extra`: the names of all whose values are added up; in a report's: what the site was given, a digest."""
BY_SITE = ("arrived", "scans")
"""In a task's `extra`, what may differ by site: counts of its own reports and scans, which decide nothing at others."""
ONCE = ("own",)
"""In a task's `extra`, what is the same for all sites, but sent to each only until its first report is in."""
COUNTS = ("steps",)
"""In a report's `extra`, what may leave in clear: it follows from the number of scans and the job."""


def masked(task: Task, learner: Learner, keep: Keep, terms: Terms) -> tuple[Report, Keep]:
    """The inner scheme's report under masks, without its metrics; and the site's keys for the next sum."""
    round, within, choices = _later(task, keep), within_of(task), learner.choices()
    name, keys = _members(task.extra[MEMBERS], round, learner, keep, terms)
    _check_fixed(within, sorted(keys), keep) if terms.fixed else None
    report, kept = terms.inner.reply(within, learner, keep.get("inner", {}))
    check_report(report, within, terms.inner, "its own update")
    once = {**keep.get("once", {}), **{key: plain.sha256(within.extra[key]) for key in ONCE if key in within.extra}}
    given = _given(within, choices, once)
    values = masks.fixed(report.weights, terms.coefficient(within, report), len(keys))
    own = _keys.private(learner, round), _keys.seed(learner, round)
    hidden = masks.masked(values, *own, name, keys, [given, round])
    extra = {**_in_clear(report.extra, terms), KEYS: _keys.own(learner, round + 1), GIVEN: given}
    now = {"inner": kept, "once": once, ROUND: round, "members": sorted(keys), "given": given if values else ""}
    return replace(report, weights=hidden, metrics={}, extra=extra), {**keep, **now}


def within_of(task: Task) -> Task:
    """The inner scheme's task."""
    return replace(task, extra={key: value for key, value in task.extra.items() if key not in (MEMBERS, ROUND)})


def _later(task: Task, keep: Keep) -> int:
    round, last = int(task.extra[ROUND]), keep.get(ROUND, -1)
    if round <= last:
        raise Declined(f"the server asks for round {round} after round {last} was masked; it sends nothing")
    return round


def _members(
    members: Sequence[str], round: int, learner: Learner, keep: Keep, terms: Terms
) -> tuple[str, dict[str, str]]:
    """This site's name and the members' keys of this round's masks; refused where no shares were dealt for that sum."""
    dealt = keep.get("dealt", {})
    if dealt.get("round") != round or not set(members) <= dealt["keys"].keys() or dealt["name"] not in members:
        raise Declined(f"the server asks for a sum in round {round} for which nobody dealt shares; it sends nothing")
    if len(set(members)) < max(terms.least, len(members)):
        raise Declined(
            f"the server asks for a sum of {len(set(members))} sites; wanted at least {terms.least}, each once"
        )
    if masks.public_key(_keys.private(learner, round)) != dealt["keys"][dealt["name"]]["mask"]:
        raise Declined("the job is not the one for which keys were agreed; it sends nothing")
    return dealt["name"], {site: dealt["keys"][site]["mask"] for site in members}


def _check_fixed(task: Task, members: Sequence[str], keep: Keep) -> None:
    """Refuse a sum over other sites than the run's first, or what would have this site count otherwise in the next."""
    if members != keep.get("members", members):
        was = ", ".join(keep["members"])
        raise Declined(f"the server asks for a sum over {', '.join(members)}; `members` is fixed to {was}")
    sums = keep.get("opened", 0)
    if task.extra.get("arrived", sums) != sums:
        raise Declined(f"the server says that {task.extra['arrived']} reports arrived; this site knows of {sums} sums")


def _given(task: Task, choices: str, once: Mapping[str, str]) -> str:
    """64 hex digits over the job, the model and all else that a server must give alike to all sites of a sum."""
    same = {key: value for key, value in task.extra.items() if key not in (*BY_SITE, *ONCE)}
    return plain.sha256({"weights": dict(task.weights), "extra": same, "once": dict(once), "choices": choices})


def _in_clear(extra: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """What the inner scheme sends beside its weights; refused where it is more than counts."""
    if more := sorted(extra.keys() - set(COUNTS)):
        raise Declined(f"secagg: {terms.inner.name} would send {', '.join(more)} in clear, which follows from scans")
    return dict(extra)
