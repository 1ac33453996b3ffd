"""Runs that `brainct compare` did not do itself, as rows of a ledger: from the record.json of any way to run a job."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from brainct.compare import ledger
from brainct.compare.measure import measure_of
from brainct.compare.one_run import curve_of, kib_of
from brainct.compare.run_row import RunRow, SiteResult, Times
from brainct.errors import Refused
from brainct.run.run_record import FILE, WANTED, RunRecord, read_record


def add(records: Sequence[Path], path: Path, federation: str = "", name: str = "") -> tuple[int, int]:
    """Append each record's row to the ledger; returns how many were added and how many it had already.

    records: record.json files, or folders that hold one. federation, name: what the tables call them; the defaults
    are the way and the number of sites, and the scheme.
    """
    rows = [row_of(each / FILE if each.is_dir() else each, federation, name) for each in records]
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
    comparison measures (scores over all sites together, a held-out site, processor time) is None.
    """
    record = read_record(path)
    try:
        return _row(record, path, federation, name)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        kind = type(error).__name__
        raise Refused(
            f"{path} has scores that brainct does not write ({kind}); wanted {WANTED} on head CT or a table"
        ) from None


def _row(record: RunRecord, path: Path, federation: str, name: str) -> RunRow:
    sites, rounds = sorted(record.sites), record.plan["rounds"]
    fingerprints = {site: record.sites[site].fingerprint for site in sites}
    kib = kib_of(record, sites)
    row = RunRow(
        key=_sha256([record.plan, fingerprints, record.way, federation, name]),
        code=_sha256(record.versions),
        name=name or record.scheme,
        scheme=record.scheme,
        arguments=dict(record.arguments),
        federation=federation or f"{len(sites)} sites, {record.way}",
        choices={"sites": len(sites), "data": "; ".join(sorted({record.sites[site].kind for site in sites}))},
        seed=record.seed,
        rounds=rounds,
        way=record.way,
        plan=dict(record.plan),
        versions=dict(record.versions),
        status="done" if record.finished else "failed",
        error=None if record.finished else f"the run did not finish: {len(record.rounds)} of {rounds} rounds closed",
        validation=curve_of(record, kib),
        kib_per_site=kib[-1] if kib else None,
        times=Times(ended=_when(path), wall=record.seconds),
    )
    if not record.finished:
        return row
    scored = {site: _site(site, record) for site in sites}
    return row.model_copy(
        update={"sites": scored, "model_sha256": record.model_sha256, "model_bytes": record.model_bytes}
    )


def _site(site: str, record: RunRecord) -> SiteResult:
    found, measure = record.test.get(site, {}), measure_of(record.plan)
    return SiteResult(
        train=record.samples(site, "train"),
        test=record.samples(site, "test"),
        missed=record.missed(site),
        fingerprint=record.sites[site].fingerprint,
        scores={key: value for key, value in found.get(measure.output, {}).items() if key != "calibration"},
        by_output={output: one[measure.score] for output, one in found.items()},
    )


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _when(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).isoformat(timespec="seconds")
