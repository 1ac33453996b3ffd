"""The server's half of secure aggregation: which sites are summed, how the masks are removed, and the mean.

Memory, in addition to NO_SUM: inner, the inner scheme's memory; sites, of the run; summed, the rounds that the inner
scheme has had; done and rounds, those of the run so far and in all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainct.core import masking, secret_sharing
from brainct.core.report_check import check_report
from brainct.core.scheme import Memory, Report, Task
from brainct.errors import Refused
from brainct.schemes import _secagg_keys
from brainct.schemes._masking import GIVEN
from brainct.schemes._secagg_keys import KEYS, Terms
from brainct.schemes._unmasking import BOXES, NEXT, OPEN, PRIVATE, ROUND, SEEDS

NO_SUM: Mapping[str, Any] = {"keys": {}, "holders": [], BOXES: {}}
"""In memory, of the next sum: by site its keys and its boxes of shares, and the sites that hold shares."""


def adding(memory: Memory, terms: Terms) -> Mapping[str, Task]:
    """The inner scheme's tasks of the next sum; none if too few sites sent shares."""
    there, inner = sorted(memory["keys"]), terms.inner
    if not terms.enough(there, memory["sites"] if terms.fixed_members else memory["holders"]):
        return {}
    tasks = _secagg_keys.same_tensors(inner.assign(memory["inner"], memory["summed"], there))
    if 0 < len(tasks) < (len(there) if terms.fixed_members else terms.least):
        wanted = "all, as `members` is fixed," if terms.fixed_members else f"at least {terms.least}"
        raise Refused(f"secagg: {inner.name} asks {len(tasks)} of {len(there)} sites; wanted {wanted} in a sum")
    return tasks


def added(memory: Memory, reports: Mapping[str, Report], terms: Terms) -> tuple[list[str], list[str]]:
    """The sites whose values are in the sum, and those whose are not; both empty if the round changes nothing."""
    tasks = adding(memory, terms)
    there, lost = sorted(tasks.keys() & reports.keys()), sorted(tasks.keys() - reports.keys())
    enough = terms.enough(there, tasks) and len(there) >= terms.inner.quorum(len(tasks))
    return (there, lost) if enough else ([], [])


def asked(memory: Memory, round: int, reports: Mapping[str, Report], terms: Terms) -> dict[str, Task]:
    """The follow-up's tasks: the holders show shares of this round's sum, and all sites send shares for the next."""
    survivors, lost = added(memory, reports, terms)
    said = {site: report.extra[KEYS] for site, report in reports.items()}
    if len(said) < (len(memory["sites"]) if terms.fixed_members else terms.least):
        said = {}
    tasks = {}
    for site in reports:
        boxes = {sender: memory[BOXES][sender][site] for sender in (*survivors, *lost) if site in memory["keys"]}
        opening = {"survivors": survivors, "lost": lost, BOXES: boxes} if boxes else {}
        tasks[site] = Task({}, {ROUND: round, NEXT: said, OPEN: opening})
    return {site: task for site, task in tasks.items() if task.extra[NEXT] or task.extra[OPEN]}


def shares_for_next(reports: Mapping[str, Report]) -> dict[str, Any]:
    """What memory holds of the next sum after these reports: see NO_SUM."""
    boxes = {site: dict(x.followed.extra[BOXES]) for site, x in reports.items() if x.followed}
    boxes = {site: one for site, one in boxes.items() if one}
    keys = {site: reports[site].extra[KEYS] for site in boxes}
    return {"keys": keys, "holders": sorted(next(iter(boxes.values()), {})), BOXES: boxes}


def mean(memory: Memory, round: int, reports: Mapping[str, Report], terms: Terms) -> dict[str, Report]:
    """The survivors' reports, with the mean of all in place of each one's unknown weights.

    Empty if the round changes nothing: too few survived, or too few showed their shares.
    """
    survivors, lost = added(memory, reports, terms)
    second = {site: report.followed for site, report in reports.items() if report.followed}
    secrets = _opened(memory, survivors, lost, second)
    if not survivors or secrets is None:
        return {}
    tasks, there = adding(memory, terms), {site: reports[site] for site in survivors}
    public = {site: memory["keys"][site]["mask"] for site in tasks}
    words = {site: [report.extra[GIVEN], round] for site, report in there.items()}
    total = masking.total({site: report.weights for site, report in there.items()}, *secrets, public, words)
    total_weight = sum(terms.aggregation_weight(tasks[site], report) for site, report in there.items())
    like = terms.inner.expects(tasks[survivors[0]], there[survivors[0]])
    found = {
        site: replace(report, weights=masking.mean_of_sum(total, total_weight, like), followed=None)
        for site, report in there.items()
    }
    for site, report in found.items():
        check_report(report, tasks[site], terms.inner, f"the sum over {len(found)} sites, one of which masked wrongly")
    return found


def _opened(
    memory: Memory, survivors: Sequence[str], lost: Sequence[str], reports: Mapping[str, Report]
) -> tuple[dict[str, bytes], dict[str, bytes]] | None:
    """Each survivor's seed and each lost site's private key; None if too few sent their shares."""
    said = memory["keys"]
    seeds = {
        site: _together(memory, reports, SEEDS, site, _secagg_keys.commitment, said[site]["seed"]) for site in survivors
    }
    private = {site: _together(memory, reports, PRIVATE, site, masking.public_key, said[site]["mask"]) for site in lost}
    known = [{site: one for site, one in found.items() if one is not None} for found in (seeds, private)]
    return (known[0], known[1]) if len(known[0]) + len(known[1]) == len(survivors) + len(lost) else None


def _together(
    memory: Memory, reports: Mapping[str, Report], kind: str, site: str, of: Callable[[bytes], str], wanted: str
) -> bytes | None:
    """A site's secret from its shares; None if they are too few, Refused if it differs from the site's commitment."""
    shown = [
        (x, holder, reports[holder].extra[kind][site])
        for x, holder in enumerate(memory["holders"], 1)
        if holder in reports and site in reports[holder].extra[kind]
    ][: secret_sharing.threshold(len(memory["holders"]))]
    if len(shown) < secret_sharing.threshold(len(memory["holders"])):
        return None
    secret = secret_sharing.secret_of({x: int(share, 16) for x, _, share in shown})
    if secret is None or of(secret) != wanted:
        whose = ", ".join(holder for _, holder, _ in shown)
        raise Refused(
            f"secagg: the shares that {whose} showed of the secret of {site} do not fit the commitment of {site}"
        )
    return secret
