"""One run of a comparison: rehearse it, evaluate it at each site and at a held-out site, return a ledger row."""

import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim.optimizer import register_optimizer_step_post_hook

from brainct.compare.evaluation import Evaluation, Prediction, mean_of_known, opener
from brainct.compare.federation import HELD_OUT_SITE, Opened
from brainct.compare.measure import Measure, measure_of
from brainct.compare.planned_runs import PlannedRun
from brainct.compare.pooled_site import POOLED, pool_sites, share_test_scans
from brainct.compare.run_row import CurvePoint, RunRow, SiteResult, Times
from brainct.core.version import cpu_name
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.run.replay import open_run
from brainct.run.run_record import Round, RunRecord
from brainct.training.data import Dataset

KIB = 1024
OnRoundClosed = Callable[[Mapping[str, Any]], None]


def run_one(run: PlannedRun, opened: Opened, on_round_closed: OnRoundClosed = lambda row: None) -> RunRow:
    """Do a run on these data and return its row; a run that can't be done gives a `failed` row with the reason.

    opened: see `Federation.open`. on_round_closed: is given each closed round's row of the record.
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
        host_cpu=cpu_name(),
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
        "choices": run.federation.stated(),
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
    measure = measure_of(record.plan)
    validation = [evaluation.scores(prediction)[measure.output] for prediction in valid.values()]
    return RunRow(
        **_choices(run),
        versions=dict(record.versions),
        status="done",
        sites={site: _site_result(site, record, opened[site], evaluation.scores(test[site])) for site in names},
        pooled=_short_scores(_scores_over_all(evaluation, test, share_test_scans(opened, names)), measure),
        unseen=None if held_out is None else _short_scores(held_out, measure),
        validation=curve,
        valid_score=mean_of_known([one[measure.score] for one in validation]),
        valid_loss=mean_of_known([one[measure.loss] for one in validation]),
        reached={str(level): _first_round_at(curve, level) for level in run.levels},
        kib_per_site=None if run.entry.pooled else kib[-1],
        model_sha256=record.model_sha256,
        model_bytes=record.model_bytes,
        times=Times(ended=_now(), wall=0),
    )


def _short_scores(found: Mapping[str, Mapping[str, Any]], measure: Measure) -> dict[str, Any]:
    """Every score of the measure's output, the single numbers of the others."""
    return {
        output: {
            name: value for name, value in one.items() if output == measure.output or not isinstance(value, list | dict)
        }
        for output, one in found.items()
    }


def _scores_over_all(evaluation: Evaluation, test: Mapping[str, Prediction], shared: bool) -> dict[str, Any]:
    """Scores of all sites' test folds together. Sites that share a fold count each sample often: no interval then."""
    labels, predictions = (np.concatenate([each[at] for each in test.values()]) for at in (0, 1))
    found = evaluation.scores((labels, predictions))
    if not shared:
        return found
    return {
        output: {name: None if name.endswith("_interval") else value for name, value in one.items()}
        for output, one in found.items()
    }


def _site_result(site: str, record: RunRecord, data: Dataset, found: Mapping[str, Mapping[str, Any]]) -> SiteResult:
    measure = measure_of(record.plan)
    return SiteResult(
        train=len(data.folds["train"]),
        test=len(data.folds["test"]),
        missed=record.missed(site),
        fingerprint=data.fingerprint,
        scores={name: value for name, value in found[measure.output].items() if name != "calibration"},
        by_output={output: one[measure.score] for output, one in found.items()},
    )


def kib_of(record: RunRecord, sites: Sequence[str]) -> list[float]:
    """KiB sent and received up to each round, mean over the sites."""
    rounds = [sum(row.bytes_sent.values()) + sum(row.bytes_received.values()) for row in record.rounds]
    return [round(float(value) / KIB / len(sites), 3) for value in np.cumsum(rounds)]


def curve_of(record: RunRecord, kib: Sequence[float]) -> list[CurvePoint]:
    """The validation curve of a record. kib: `kib_of` the record."""
    measure = measure_of(record.plan)
    return [_point(row, measure, kib[row.round]) for row in record.rounds if row.validation]


def _point(row: Round, measure: Measure, kib: float) -> CurvePoint:
    found = [site[measure.output] for site in row.validation.values()]
    score, loss = (mean_of_known([one[name] for one in found]) for name in (measure.score, measure.loss))
    return CurvePoint(round=row.round + 1, score=score, loss=loss, kib=kib)


def _first_round_at(curve: Sequence[CurvePoint], level: float) -> int | None:
    return next((point.round for point in curve if point.score is not None and point.score >= level), None)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
