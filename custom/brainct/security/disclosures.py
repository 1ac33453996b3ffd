"""The list of everything that leaves a site in a run: each value's place in a reply, its kind and its rule.

A site sends nothing that has no row here (`check_reply`), whatever the server asks; docs/privacy.md shows the list.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from torch import Tensor

from brainct.core.disclosure import ALWAYS, CALL, ROUND, Row
from brainct.core.report_check import METRICS, MOST
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.job.workloads import WORKLOADS, workload_named

PARTS = {
    "fold": "train|valid|test",
    "metric": "|".join(METRICS),
    "n": r"\d{1,4}",
    "tensor": r"[A-Za-z0-9_.:/-]{1,200}",
    "site": r"[^/\s]{1,64}",
    "key": "cipher|mask|seed",
    "share": "seeds|private",
}
"""What the parts in braces of a place stand for; a workload adds its own."""


def _count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST)


def _share(value: Any) -> bool:
    return value is None or (isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value <= 1)


def _number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)


def _text(pattern: str) -> Callable[[Any], bool]:
    known = re.compile(pattern)
    return lambda value: value is None or (isinstance(value, str) and known.fullmatch(value) is not None)


KINDS: dict[str, Callable[[Any], bool]] = {
    "count": _count,
    "round": lambda value: value == -1 or _count(value),
    "yes or no": lambda value: isinstance(value, bool),
    "number in [0, 1]": _share,
    "number": _number,
    "number >= 0": lambda value: value is None or (_number(value) and value >= 0),
    "tensor": lambda value: isinstance(value, Tensor),
    "64 hex digits": _text("[0-9a-f]{64}"),
    "hex digits": _text("[0-9a-f]{0,4096}"),
    "word": _text(r"[A-Za-z0-9_+.: -]{1,64}"),
    "signature": _text(r"[A-Za-z0-9+/=.]{0,8192}"),
    "line": lambda value: isinstance(value, str) and len(value) <= 1000 and value.isprintable(),
}
"""What a value may be."""


GENERAL = (
    Row(ALWAYS, "exchange", "the name that the server gave its request", "line", "as it came"),
    Row(ALWAYS, "error", "that the site refuses or failed", "line", "words that follow from the request and the "
        "policy alone; for whatever went wrong after the site looked at its data, one constant sentence"),
    Row(CALL, "about/kind", "kind of data set, such as manifest", "word", "exact"),
    Row(CALL, "about/fingerprint", "whether the scans are those of an earlier run", "64 hex digits",
        "HMAC-SHA256 over the scans' digests under a secret of the site"),
    Row(CALL, "about/notes/{n}", "warnings about the data, and the policy's terms", "line", "in words",
        "`least_class`: the policy's terms alone"),
    Row(CALL, "about/package", "version and hash of the installed package", "word", "exact"),
    Row(CALL, "about/kept/round", "the last round of this run in which the site replied", "round", "exact"),
    Row(CALL, "about/kept/empty", "whether its client state of this run is empty", "yes or no", "exact"),
    Row(CALL, "about/public/scans", "public scans, where the scheme needs them", "count", "exact"),
    Row(CALL, "about/public/fingerprint", "which public scans, the same at all sites", "64 hex digits", "SHA-256"),
    Row(CALL, "about/check/verdict", "verdict of the last `brainct site check`", "word", "exact"),
    Row(CALL, "about/check/time", "when that was", "word", "exact"),
    Row(CALL, "about/check/package", "the package that was checked", "word", "exact"),
    Row(ROUND, "weights/{tensor}", "what the scheme sends ([schemes.md](schemes.md)): weights, gradients, sums, votes",
        "tensor", "as the scheme made it",
        "`withhold`, `percentile`, `largest`, `clip`, `noise`: changed, and counted; `training`: noised during "
        "training, and counted; `labels`: votes flipped, and counted; `secure_aggregation`: under masks alone"),
    Row(ROUND, "examples", "training scans behind it", "count", "exact"),
    Row(ROUND, "metrics/{metric}", "mean training loss, or how far the model moved", "number", "exact",
        "`noise`, `training`: never; under `secagg` never"),
    Row(ROUND, "extra/steps", "local steps (`fednova`)", "count", "exact"),
    Row(ROUND, "extra/labelled/{n}", "training scans with a label of each finding (`fedma`)", "count", "exact",
        "`least_class`: 0 where fewer"),
    Row(ROUND, "extra/secagg/{key}", "public keys and a commitment, new for each round (`secagg`)", "64 hex digits",
        "exact"),
    Row(ROUND, "extra/secagg/proof", "certificate and signature of these", "signature", "exact"),
    Row(ROUND, "extra/secagg_given", "digest of the job and the model that the site was given", "64 hex digits",
        "exact"),
    Row(ROUND, "extra/boxes/{site}", "shares of keys, encrypted for one other site", "hex digits", "exact"),
    Row(ROUND, "extra/{share}/{site}", "a share of what unmasks a sum, not one site's values", "hex digits", "exact"),
)  # fmt: skip
"""What a site sends whatever the workload. FLARE's own envelope around it: see ENVELOPE."""

ENVELOPE = {
    "DXO/kind": "that the message holds weights",
    "DXO/data": "that it holds none",
    "__headers__/__content_type__": "FLARE's name of that",
    "__headers__/__task_name__": "the name of every task here, brainct",
    "__headers__/__task_id__": "FLARE's number of the task, as the server gave it",
    "__headers__/__cookie_jar__/__task_id__": "the same, sent back",
    "__headers__/__cookie_jar__/__workflow__": "the server's name of its workflow, sent back",
    "__headers__/start_round": "0",
    "__headers__/__msg_root_id__": "FLARE's number of the message",
    "__headers__/__audit_event_id__": "FLARE's number of the line in the site's audit.log",
    "__headers__/__peer_ctx__": "the site's and the job's names",
    "__headers__/fl_client": "added by the server itself",
}
"""What FLARE 2.9 adds to a reply, by its place in FLARE's message."""
INSIDE = ("DXO/meta/brainct/", "DXO/data/")
"""Where a reply is in FLARE's message: its plain part, its tensors."""

TOP = ({"about"}, {"scores"}, {"error"}, {"weights", "examples", "metrics", "extra"})
"""The keys of a reply, without `exchange`."""


Own = tuple[tuple[str, str], ...]
"""What parts in braces stand for in one run, in place of what they stand for in general."""


def check_reply(reply: Mapping[str, Any], plan: Plan | None = None) -> None:
    """Refuse a reply, as plain data, with a value that has no row or is not of its row's kind; neither is repeated.

    plan: the run's, by which a part such as a finding stands for the run's own.
    """
    own = () if plan is None else tuple(sorted(plan.kind.parts_of(plan).items()))
    if set(reply) - {"exchange"} not in TOP:
        raise Refused("a reply has other parts than replies have (see brainct.security.disclosures); it is not sent")
    for place, value in leaves(reply):
        row = row_of(place, own)
        if row is None and not ((value is None or isinstance(value, Mapping | list | tuple)) and is_part(place, own)):
            raise Refused(f"a reply holds {_shown(place)}, which is not in the list of what may leave")
        if row is not None and not KINDS[row.kind](value):
            raise Refused(f"a reply's {row.where} is not a {row.kind}; it is not sent")


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of plain data with its place; a dict or list only where it is empty."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{place}/{key}" if place else str(key))
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{place}/{index}")
    else:
        yield place, value


@cache
def rows() -> tuple[Row, ...]:
    """Everything that a site sends in a run, of whichever workload."""
    return (*GENERAL, *(row for name in WORKLOADS for row in workload_named(name).disclosures))


@cache
def _parts() -> dict[str, str]:
    own = [workload_named(name).parts for name in WORKLOADS]
    named = {key for one in own for key in one}
    return PARTS | {key: "|".join(one[key] for one in own if key in one) for key in named}


@lru_cache(maxsize=4096)
def row_of(place: str, own: Own = ()) -> Row | None:
    """The row of a value's place; None where the list has none."""
    return next((row for row in rows() if _pattern(row.where, own).fullmatch(place)), None)


@lru_cache(maxsize=4096)
def is_part(place: str, own: Own = ()) -> bool:
    """Whether values of the list are below this place."""
    depth = place.count("/") + 1
    above = {"/".join(row.where.split("/")[:depth]) for row in rows() if row.where.count("/") >= depth}
    return any(_pattern(where, own).fullmatch(place) for where in above)


@cache
def _pattern(where: str, own: Own = ()) -> re.Pattern[str]:
    parts = {**_parts(), **dict(own)}
    return re.compile(re.sub(r"\{(\w+)\}", lambda found: f"(?:{parts[found[1]]})", where))


def _shown(place: str) -> str:
    """A place whose own words, which might name somebody, are left out."""
    known = {part for row in rows() for part in row.where.split("/")}
    return "/".join(part if part in known else "*" for part in place.split("/"))
