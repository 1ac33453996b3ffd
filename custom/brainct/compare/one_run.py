"""One run of a comparison: rehearse it, evaluate it at each site and at a held-out site, return a ledger row."""

import platform
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim.optimizer import register_optimizer_step_post_hook

from brainct.compare.evaluation import Evaluation, Opened, Prediction, mean_of_known, opener
from brainct.compare.planned_runs import PlannedRun
from brainct.compare.run_row import CurvePoint, RunRow, SiteResult, Times
from brainct.compare.simulated_sites import HELD_OUT_SITE, POOLED, pool_sites, share_test_scans
from brainct.ct.metrics import scores
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.run.replay import open_run
from brainct.run.run_record import Round, RunRecord
from brainct.training.data import Dataset

KIB = 1024
OnRoundClosed = Callable[[Mapping[str, Any]], None]


def run_one(run: PlannedRun, opened: Opened, on_round_closed: OnRoundClosed = lambda row: None) -> RunRow:
    """Do a run on these scans and return its row; a run that can't be done gives a `failed` row with the reason.

    opened: see `SimulatedFederation.open`. on_round_closed: is given each closed round's row of the record.
    """
    began, cpu, steps = time.monotonic(), time.process_time(), [0]
    counting = register_optimizer_step_post_hook(lambda *_: steps.__setitem__(0, steps[0] + 1))
    try:
        with tempfile.TemporaryDirectory(prefix="brainct-") as folder:
            row = _train_and_evaluate(run, opened, Path(folder) / "run", on_round_closed)
    except Exception as error:  # one run's fault must not end the others
        row = failed_row(run, describe_error(error))
    finally:
        counting.remove()
    times = Times(
        ended=_now(),
        wall=round(time.monotonic() - began, 3),
        cpu=round(time.process_time() - cpu, 3),
        peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB, 1),
        host_cpu=_host_cpu(),
    )
    return row.model_copy(update={"steps": steps[0] if row.status == "done" else None, "times": times})


def failed_row(run: PlannedRun, error: str) -> RunRow:
    """The row of a run that could not be done."""
    return RunRow(**_choices(run), status="failed", error=error, times=Times(ended=_now(), wall=0))


def describe_error(error: Exception) -> str:
    """The sentence of a refusal; any other error with its type."""
    return str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"


def _choices(run: PlannedRun) -> dict[str, Any]:
    return {
        "key": run.key,
        "code": run.code,
        "name": run.entry.label,
        "scheme": run.plan.scheme,
        "arguments": run.plan.arguments,
        "grid": dict(run.point),
        "federation": run.federation.label,
        "choices": run.federation.model_dump(mode="json", exclude={"data"})
        | {"data": run.federation.data.name if run.federation.data else "phantom"},
        "seed": run.seed,
        "budget": run.budget,
        "rounds": run.plan.rounds,
        "plan": run.plan.model_dump(mode="json"),
    }


def _train_and_evaluate(run: PlannedRun, opened: Opened, folder: Path, on_round_closed: OnRoundClosed) -> RunRow:
    names, plan = run.federation.names, run.plan
    trained = [POOLED] if run.entry.pooled else names
    scans = {**opened, POOLED: pool_sites(opened, names)} if run.entry.pooled else opened
    rehearse(plan, trained, folder, opener=opener(scans), log=lambda line: None, on_round_closed=on_round_closed)
    replay = open_run(folder, opener(opened), names)
    record, evaluation = replay.record, Evaluation(replay, opened)
    test, valid = evaluation.at_sites(names, "test"), evaluation.at_sites(names, "valid")
    kib = kib_of(record, trained)
    curve = curve_of(record, kib)
    held_out = evaluation.at_held_out_site(names) if HELD_OUT_SITE in opened else None
    validation = [scores(*prediction)["any"] for prediction in valid.values()]
    return RunRow(
        **_choices(run),
        versions=dict(record.versions),
        status="done",
        sites={site: _site_result(site, record, opened[site], test[site]) for site in names},
        pooled=_short_scores(_scores_over_all(test, share_test_scans(opened, names))),
        unseen=None if held_out is None else _short_scores(held_out),
        validation=curve,
        valid_auroc=mean_of_known([one["auroc"] for one in validation]),
        valid_brier=mean_of_known([one["brier"] for one in validation]),
        reached={str(level): _first_round_at(curve, level) for level in run.levels},
        kib_per_site=None if run.entry.pooled else kib[-1],
        model_sha256=record.model_sha256,
        model_bytes=record.model_bytes,
        times=Times(ended=_now(), wall=0),
    )


def _short_scores(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every score of `any`, the single numbers of the other findings."""
    return {
        finding: {name: value for name, value in one.items() if finding == "any" or not isinstance(value, list | dict)}
        for finding, one in found.items()
    }


def _scores_over_all(test: Mapping[str, Prediction], shared: bool) -> dict[str, Any]:
    """Scores of all sites' test scans together. Sites that share the scans count each one often: no interval then."""
    labels, probabilities = (np.concatenate([each[at] for each in test.values()]) for at in (0, 1))
    found = scores(labels, probabilities)
    return {name: one | {"auroc_interval": None} for name, one in found.items()} if shared else found


def _site_result(site: str, record: RunRecord, scans: Dataset, prediction: Prediction) -> SiteResult:
    found = scores(*prediction)
    return SiteResult(
        train=len(scans.folds["train"]),
        test=len(scans.folds["test"]),
        missed=record.missed(site),
        fingerprint=scans.fingerprint,
        scores={name: value for name, value in found["any"].items() if name != "calibration"},
        auroc_by_finding={finding: one["auroc"] for finding, one in found.items()},
    )


def kib_of(record: RunRecord, sites: Sequence[str]) -> list[float]:
    """KiB sent and received up to each round, mean over the sites."""
    rounds = [sum(row.bytes_sent.values()) + sum(row.bytes_received.values()) for row in record.rounds]
    return [round(float(value) / KIB / len(sites), 3) for value in np.cumsum(rounds)]


def curve_of(record: RunRecord, kib: Sequence[float]) -> list[CurvePoint]:
    """The validation curve of a record. kib: `kib_of` the record."""
    return [_point(row, kib[row.round]) for row in record.rounds if row.validation]


def _point(row: Round, kib: float) -> CurvePoint:
    found = [site["any"] for site in row.validation.values()]
    auroc, brier = (mean_of_known([one[name] for one in found]) for name in ("auroc", "brier"))
    return CurvePoint(round=row.round + 1, auroc=auroc, brier=brier, kib=kib)


def _first_round_at(curve: Sequence[CurvePoint], level: float) -> int | None:
    return next((point.round for point in curve if point.auroc is not None and point.auroc >= level), None)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _host_cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
