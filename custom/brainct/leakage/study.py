"""Trains the federations that a study asks for and its ledger does not have yet, and tries the crafted networks."""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from brainct.compare.campaign import Log
from brainct.ct.config import ct_choices
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.leakage import crafted, rows
from brainct.leakage.design import Spec, Study, wanted
from brainct.leakage.observe import behind, federation
from brainct.leakage.rows import LEDGER, Row
from brainct.security.reply_filter import Answers
from brainct.site.agent import SiteAgent
from brainct.site.worker import context
from brainct.training.data import Dataset, Fold

_opened: dict[str, Mapping[str, Dataset]] = {}
"""The scans that a worker process opened."""


def measure(study: Study, folder: Path, workers: int = 1, accept: Collection[str] = (), log: Log = print) -> int:
    """Train what is missing in the folder's ledger; returns how many federations failed.

    workers: federations at a time, each in a process with one thread. accept: beginnings of code hashes whose rows
    count, though the code has changed since. A federation that failed in an earlier call is tried again.
    """
    if workers < 1:
        raise Refused(f"--workers is {workers}; wanted at least 1")
    path = folder / LEDGER
    specs, left = wanted(study), missing(study, rows.read(path), accept)
    log(f"{len(specs)} federations, {len(specs) - len(left)} of them done already")
    failures = 0
    for number, (spec, row) in enumerate(_trained(left, workers), 1):
        rows.append(path, row)
        failures += row.status == "failed"
        said = f"failed: {row.error}" if row.error else f"AUROC {row.auroc:.3f}" if row.auroc else "no AUROC"
        log(f"{spec}: {said}, {row.seconds:.1f} s; {len(left) - number} left")
    return failures


def missing(study: Study, found: Collection[Row], accept: Collection[str] = ()) -> list[Spec]:
    """The federations of a study without a row that is done, of today's code or of an accepted one."""
    there = {(row.key, row.code) for row in found if row.status == "done"}
    accepted = {row.key for row in found if row.status == "done" and row.code.startswith(tuple(accept))}
    return [spec for spec in wanted(study) if (spec.key, spec.code) not in there and spec.key not in accepted]


def attempt(study: Study) -> list[dict[str, Any]]:
    """The crafted-network attacks on site-1 of the study under each of its policies: a row each, as JSON holds it."""
    site = study.federation.names[0]
    rows = []
    for name, policy in study.policies.items():
        with tempfile.TemporaryDirectory(prefix="brainct-") as folder:
            for outcome in crafted.attempts(
                partial(_agent, study, site, policy, Path(folder)), site, partial(_pool, study, site)
            ):
                rows.append({"policy": name, "terms": policy, **asdict(outcome), "verdict": outcome.verdict})
    return rows


def _agent(study: Study, site: str, policy: Mapping[str, Any], folder: Path, attack: str) -> Answers:
    """A site agent as a hospital runs it, with a disk of its own."""

    def opened(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
        return _scans(study, ct_choices(plan).network.size, ct_choices(plan).network.dims)[site]

    agent = SiteAgent(site, folder / attack / "client_state", None, opened)
    return behind(policy, agent, folder / attack, study.seed, attack)


def _pool(study: Study, site: str, size: int) -> Fold:
    return _scans(study, size, 2)[site].folds["train"]


def _trained(specs: list[Spec], workers: int) -> Iterator[tuple[Spec, Row]]:
    """(spec, row) in the order in which they end."""
    if workers == 1 or not specs:
        yield from ((spec, _row(spec)) for spec in specs)
        return
    with ProcessPoolExecutor(workers, mp_context=context(threads=False)) as pool:
        waiting = {pool.submit(_row, spec): spec for spec in specs}
        try:
            yield from ((waiting[one], one.result()) for one in as_completed(waiting))
        finally:
            pool.shutdown(cancel_futures=True)


def _row(spec: Spec) -> Row:
    return federation(spec, _scans(spec.study, ct_choices(spec.plan).network.size, ct_choices(spec.plan).network.dims))


def _scans(study: Study, size: int, dims: int) -> Mapping[str, Dataset]:
    """The study's scans, opened once in a process."""
    key = f"{study.federation.digest} {study.seed} {size} {dims}"
    if key not in _opened:
        for old in list(_opened)[:-1]:
            del _opened[old]
        _opened[key] = study.federation.open(study.seed, size, dims)
    return _opened[key]
