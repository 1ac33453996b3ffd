"""Trains the federations of a study that its ledger lacks, and tries crafted networks on a site agent."""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from brainct.compare.campaign import Log
from brainct.compare.ledger import LEDGER, append_row, read_rows
from brainct.ct.config import ct_choices
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.leakage.crafted_attempts import try_attacks
from brainct.leakage.federation_row import FederationRow
from brainct.leakage.shadow_federation import train_federation, with_policy
from brainct.leakage.study import PlannedFederation, Study, planned_federations
from brainct.protocol.agent import Agent
from brainct.site.agent import SiteAgent
from brainct.site.worker import context
from brainct.training.data import Dataset, Fold

_opened: dict[str, Mapping[str, Dataset]] = {}
"""The scans that this worker process has opened."""


def train_missing(study: Study, folder: Path, workers: int = 1, accept: Collection[str] = (), log: Log = print) -> int:
    """Train the federations that the folder's ledger lacks; returns how many failed.

    workers: federations at a time, each in a process with one thread. accept: beginnings of code hashes whose rows
    count although the code has changed. A federation that failed in an earlier call is tried again.
    """
    if workers < 1:
        raise Refused(f"--workers is {workers}; wanted at least 1")
    path = folder / LEDGER
    specs, left = planned_federations(study), missing(study, read_rows(path, FederationRow), accept)
    log(f"{len(specs)} federations, {len(specs) - len(left)} of them done already")
    failures = 0
    for number, (spec, row) in enumerate(_train(left, workers), 1):
        append_row(path, row)
        failures += row.status == "failed"
        result = f"failed: {row.error}" if row.error else f"AUROC {row.auroc:.3f}" if row.auroc else "no AUROC"
        log(f"{spec}: {result}, {row.seconds:.1f} s; {len(left) - number} left")
    return failures


def missing(study: Study, found: Collection[FederationRow], accept: Collection[str] = ()) -> list[PlannedFederation]:
    """The federations of a study without a finished row of today's code or of an accepted one."""
    there = {(row.key, row.code) for row in found if row.status == "done"}
    accepted = {row.key for row in found if row.status == "done" and row.code.startswith(tuple(accept))}
    return [
        spec for spec in planned_federations(study) if (spec.key, spec.code) not in there and spec.key not in accepted
    ]


def try_crafted_networks(study: Study) -> list[dict[str, Any]]:
    """Try all crafted networks on site-1 of the study under each of its policies; the rows of crafted.json."""
    site = study.federation.names[0]
    tried = []
    for name, policy in study.policies.items():
        with tempfile.TemporaryDirectory(prefix="brainct-") as folder:
            for outcome in try_attacks(
                partial(_agent, study, site, policy, Path(folder)), site, partial(_pool, study, site)
            ):
                tried.append({"policy": name, "terms": policy, **asdict(outcome), "verdict": outcome.verdict})
    return tried


def _agent(study: Study, site: str, policy: Mapping[str, Any], folder: Path, attack: str) -> Agent:
    """A site agent as a hospital runs it, with its own disk."""

    def opened(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
        return _scans(study, ct_choices(plan).network.size, ct_choices(plan).network.dims)[site]

    agent = SiteAgent(site, folder / attack / "client_state", None, opened)
    return with_policy(policy, agent, folder / attack, study.seed, attack)


def _pool(study: Study, site: str, size: int) -> Fold:
    return _scans(study, size, 2)[site].folds["train"]


def _train(specs: list[PlannedFederation], workers: int) -> Iterator[tuple[PlannedFederation, FederationRow]]:
    """(federation, row) in the order in which they end."""
    if workers == 1 or not specs:
        yield from ((spec, _row(spec)) for spec in specs)
        return
    with ProcessPoolExecutor(workers, mp_context=context(specs[0].plan)) as pool:
        waiting = {pool.submit(_row, spec): spec for spec in specs}
        try:
            yield from ((waiting[one], one.result()) for one in as_completed(waiting))
        finally:
            pool.shutdown(cancel_futures=True)


def _row(spec: PlannedFederation) -> FederationRow:
    return train_federation(
        spec, _scans(spec.study, ct_choices(spec.plan).network.size, ct_choices(spec.plan).network.dims)
    )


def _scans(study: Study, size: int, dims: int) -> Mapping[str, Dataset]:
    """The study's scans, opened once a process."""
    key = f"{study.federation.digest} {study.seed} {size} {dims}"
    if key not in _opened:
        for old in list(_opened)[:-1]:
            del _opened[old]
        _opened[key] = study.federation.open_scans(study.seed, size, dims)
    return _opened[key]
