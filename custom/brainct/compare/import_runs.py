"""Runs that `brainct compare` did not do itself, as rows of a ledger: from the record.json of any way to run a job."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from brainct.compare import ledger
from brainct.compare.one_run import curve_of, kib_of
from brainct.compare.run_row import RunRow, SiteResult, Times
from brainct.core import json_file
from brainct.errors import Refused

NEEDED = ("scheme", "arguments", "seed", "plan", "versions", "sites", "rounds")


def add(records: Sequence[Path], path: Path, federation: str = "", name: str = "") -> tuple[int, int]:
    """Append each record's row to the ledger; returns how many were added and how many it had already.

    records: record.json files, or folders that hold one. federation, name: what the tables call them; by default the
    way and the sites, and the scheme.
    """
    rows = [row_of(each / "record.json" if each.is_dir() else each, federation, name) for each in records]
    there = {(row.key, row.code) for row in ledger.read_rows(path)}
    added = 0
    for row in rows:
        if (row.key, row.code) not in there:
            ledger.append_row(path, row)
            there.add((row.key, row.code))
            added += 1
    return added, len(rows) - added


def row_of(path: Path, federation: str = "", name: str = "") -> RunRow:
    """The row of a record; of a run that did not finish, a failed one.

    Its key is over the plan, the sites' names and fingerprints and the way; its code, over the versions. What only a
    comparison measures (scores over all sites together, the hospital outside, processor time) is None.
    """
    record = _read(path)
    try:
        return _row(record, path, federation, name)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        kind = type(error).__name__
        raise Refused(f"{path} is no record as brainct writes it ({kind}); wanted the record.json of a run") from None


def _row(record: Mapping[str, Any], path: Path, federation: str, name: str) -> RunRow:
    sites = sorted(record["sites"])
    asked = {site: record["sites"][site]["fingerprint"] for site in sites}
    whole = [record["plan"], asked, record.get("way"), federation, name]
    plan, done = record["plan"], "test" in record
    kib = kib_of(record, sites)
    row = RunRow(
        key=_sha256(whole),
        code=_sha256(record["versions"]),
        name=name or record["scheme"],
        scheme=record["scheme"],
        arguments=record["arguments"],
        federation=federation or f"{len(sites)} sites, {record.get('way')}",
        choices={"sites": len(sites), "data": "; ".join(sorted({record["sites"][site]["kind"] for site in sites}))},
        seed=record["seed"],
        rounds=plan["rounds"],
        way=record.get("way", ""),
        plan=plan,
        versions=record["versions"],
        status="done" if done else "failed",
        error=None if done else f"the run did not finish: {len(record['rounds'])} of {plan['rounds']} rounds closed",
        validation=curve_of(record, kib),
        kib_per_site=kib[-1] if kib else None,
        times=Times(ended=_when(path), wall=record.get("seconds", 0)),
    )
    if not done:
        return row
    scored = {site: _site(site, record) for site in sites}
    return row.model_copy(
        update={"sites": scored, "model_sha256": record["model_sha256"], "model_bytes": record["model_bytes"]}
    )


def _site(site: str, record: Mapping[str, Any]) -> SiteResult:
    about, found = record["sites"][site], record["test"].get(site, {})
    return SiteResult(
        train=about["folds"].get("train", {}).get("scans", 0),
        test=about["folds"].get("test", {}).get("scans", 0),
        missed=sum(site in row["lost"] for row in record["rounds"]),
        fingerprint=about["fingerprint"],
        scores={key: value for key, value in found.get("any", {}).items() if key != "calibration"},
        auroc_by_finding={finding: one["auroc"] for finding, one in found.items()},
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise Refused(f"no record at {path}: name a record.json or the folder of a run")
    record = json_file.parsed(path.read_bytes(), str(path), "the record.json of a run")
    missing = [key for key in NEEDED if key not in record] if isinstance(record, dict) else list(NEEDED)
    if missing:
        raise Refused(f"{path} has no {', '.join(missing)}; wanted the record.json of a run")
    return dict(record)


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat(timespec="seconds")
