"""The result of a site check: one line a check, their worst status, and the verdict that stays in the kit."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from brainct.core.version import fingerprint

Status = Literal["PASS", "WARN", "FAIL"]
STATUSES: tuple[Status, ...] = ("PASS", "WARN", "FAIL")
"""From best to worst."""

VERDICT_FILE = Path("brainct") / "check.json"
"""The file in a kit with the verdict of the last check."""


@dataclass(frozen=True)
class CheckResult:
    """One line of a site check: what was checked, its status, and the reason in words."""

    subject: str
    status: Status
    message: str


def worst(results: Sequence[CheckResult]) -> Status:
    """The worst status among the results, which is the verdict of the check."""
    return max((result.status for result in results), key=STATUSES.index, default="PASS")


def status_counts(results: Sequence[CheckResult]) -> str:
    """How many results have each status: `9 PASS, 1 WARN, 0 FAIL`."""
    return ", ".join(f"{sum(each.status == status for each in results)} {status}" for status in STATUSES)


def save_verdict(results: Sequence[CheckResult], kit: Path) -> None:
    """Save the verdict in the kit; the record of each run in which the site takes part repeats it."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {"verdict": worst(results), "time": now, "package": fingerprint()}
    (kit / VERDICT_FILE).parent.mkdir(exist_ok=True)
    (kit / VERDICT_FILE).write_text(json.dumps(content))


def last_verdict(kit: Path) -> dict[str, str] | None:
    """The verdict of the kit's last check; None if there is none or its file is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((kit / VERDICT_FILE).read_text())
        return {key: str(content[key]) for key in ("verdict", "time", "package")}
    return None
