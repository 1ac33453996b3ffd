"""One run of a comparison: rehearsed, judged at every site and at the hospital outside, and told as a ledger's row."""

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

from brainct.compare.design import Spec
from brainct.compare.ledger import Point, Row, Site, Times
from brainct.compare.simulated_sites import OUTSIDE, POOLED, pooled, shared_test
from brainct.core.scheme import Task
from brainct.ct.folds import FINDINGS
from brainct.ct.learner import learner_of
from brainct.ct.metrics import scores
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.run.model_file import beside
from brainct.run.rehearse import rehearse
from brainct.run.rounds import load_model
from brainct.security.credentials import offline
from brainct.site.agent import SiteAgent
from brainct.training.data import Dataset

Opened = Mapping[str, Dataset]
Probabilities = np.ndarray[Any, np.dtype[np.float64]]
KIB = 1024
NUMBERS = ("auroc", "balanced_accuracy", "sensitivity_at_90_specificity", "brier", "ece")
"""The scores of which a mean over models says something."""


def run(spec: Spec, opened: Opened, closed: Callable[[Mapping[str, Any]], None] = lambda row: None) -> Row:
    """Do a run on these scans and give its row; a run that can't be done gives a `failed` row with the reason.

    opened: as `Federation.open` gives it. closed: gets each closed round's row of the record.
    """
    began, cpu, steps = time.monotonic(), time.process_time(), [0]
    counting = register_optimizer_step_post_hook(lambda *_: steps.__setitem__(0, steps[0] + 1))
    try:
        with tempfile.TemporaryDirectory(prefix="brainct-") as folder:
            row = _done(spec, opened, Path(folder) / "run", closed)
    except Exception as error:  # one run's fault must not end the others
        row = failed(spec, sentence(error))
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


def failed(spec: Spec, error: str) -> Row:
    """The row of a run that came to nothing."""
    return Row(**_choices(spec), status="failed", error=error, times=Times(ended=_now(), wall=0))


def sentence(error: Exception) -> str:
    """What a row says of an error; one that is no refusal by its type."""
    return str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"


def _choices(spec: Spec) -> dict[str, Any]:
    return {
        "key": spec.key,
        "code": spec.code,
        "name": spec.entry.called,
        "scheme": spec.plan.scheme,
        "arguments": spec.plan.arguments,
        "grid": dict(spec.point),
        "federation": spec.federation.called,
        "choices": spec.federation.model_dump(mode="json", exclude={"data"})
        | {"data": spec.federation.data.name if spec.federation.data else "phantom"},
        "seed": spec.seed,
        "budget": spec.budget,
        "rounds": spec.plan.rounds,
        "plan": spec.plan.model_dump(mode="json"),
    }


def _done(spec: Spec, opened: Opened, folder: Path, closed: Callable[[Mapping[str, Any]], None]) -> Row:
    names, plan = spec.federation.names, spec.plan
    asked = [POOLED] if spec.entry.pooled else names
    scans = {**opened, POOLED: pooled(opened, names)} if spec.entry.pooled else opened
    record = rehearse(plan, asked, folder, opener=_opener(scans), log=lambda line: None, closed=closed).content
    task = delivered(folder / "model.safetensors")
    judged = _Judged(plan, task, opened, folder / "state" / "client_state")
    test, valid = judged.at(names, "test"), judged.at(names, "valid")
    kib = kib_of(record, asked)
    curve = curve_of(record, kib)
    return Row(
        **_choices(spec),
        versions=record["versions"],
        status="done",
        sites={site: _site(site, record, opened[site], test[site]) for site in names},
        pooled=_told(_over_all(test, shared_test(opened, names))),
        unseen=_told(_unseen(judged, names, spec.plan.scheme == "local")) if OUTSIDE in opened else None,
        validation=curve,
        valid_auroc=_mean([one["any"]["auroc"] for one in map(_scores, valid.values())]),
        valid_brier=_mean([one["any"]["brier"] for one in map(_scores, valid.values())]),
        reached={str(level): _reached(curve, level) for level in spec.levels},
        kib_per_site=None if spec.entry.pooled else kib[-1],
        model_sha256=record["model_sha256"],
        model_bytes=record["model_bytes"],
        times=Times(ended=_now(), wall=0),
    )


Judgement = tuple[Probabilities, Probabilities]
"""(N, 6) labels and (N, 6) probabilities."""


class _Judged:
    """What each site would answer with the delivered model, scan by scan."""

    def __init__(self, plan: Plan, task: Task, opened: Opened, client_state: Path):
        self.plan, self.task, self.opened = plan, task, opened
        self._desks = {site: SiteAgent(site, client_state, None, _opener(opened), redact=False) for site in opened}
        self._used = {
            site: agent.delivered(plan, task, [site], "run") for site, agent in self._desks.items() if site != OUTSIDE
        }

    def at(self, sites: Sequence[str], fold: str) -> dict[str, Judgement]:
        """Labels and probabilities of a fold at each of the sites, by the model that the site would use."""
        found = {}
        for site in sites:
            learner, weights = self._used[site]
            found[site] = (self._labels(site, fold), learner.predict(weights, fold).double().numpy())
        return found

    def outside(self) -> Judgement:
        """The hospital outside, which has scans but no labels: where a scheme would tune, the model stays as it is."""
        scheme = self.plan.build()
        learner = learner_of(ct_choices(self.plan), self.opened[OUTSIDE], offline(self.plan, OUTSIDE, self.plan.rounds))
        seeing = scheme.see(self.task, learner, {})
        try:
            weights = scheme.use(self.task, seeing, {})
        except Refused:
            weights = self.task.weights
        return self._labels(OUTSIDE, "test"), seeing.predict(weights, "test").double().numpy()

    def lent(self, site: str) -> Judgement:
        """The hospital outside with the model that one site uses itself."""
        _, weights = self._used[site]
        learner = learner_of(ct_choices(self.plan), self.opened[OUTSIDE], offline(self.plan, OUTSIDE, self.plan.rounds))
        return self._labels(OUTSIDE, "test"), learner.predict(weights, "test").double().numpy()

    def _labels(self, site: str, fold: str) -> Probabilities:
        labels: Probabilities = self.opened[site].folds[fold].labels.double().numpy()
        return labels


def _unseen(judged: _Judged, names: Sequence[str], nothing_travels: bool) -> dict[str, Any]:
    """Scores outside; where every site trained alone, the mean over the sites' own models."""
    if not nothing_travels:
        return _scores(judged.outside())
    each = [_scores(judged.lent(site)) for site in names]
    return {finding: {name: _mean([one[finding][name] for one in each]) for name in NUMBERS} for finding in FINDINGS}


def _told(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """As a row has it: every score of `any`, the single numbers of the other findings."""
    return {
        finding: {name: value for name, value in one.items() if finding == "any" or not isinstance(value, list | dict)}
        for finding, one in found.items()
    }


def _scores(judgement: Judgement) -> dict[str, Any]:
    return scores(*judgement)


def _over_all(test: Mapping[str, Judgement], shared: bool) -> dict[str, Any]:
    """Scores of all sites' test scans together; no interval where the sites share the scans, which then count often."""
    found = scores(*(np.concatenate([each[at] for each in test.values()]) for at in (0, 1)))
    return {name: one | {"auroc_interval": None} for name, one in found.items()} if shared else found


def _site(site: str, record: Mapping[str, Any], scans: Dataset, judgement: Judgement) -> Site:
    found = _scores(judgement)
    return Site(
        train=len(scans.folds["train"]),
        test=len(scans.folds["test"]),
        missed=sum(site in row["lost"] for row in record["rounds"]),
        fingerprint=scans.fingerprint,
        scores={name: value for name, value in found["any"].items() if name != "calibration"},
        auroc_by_finding={finding: one["auroc"] for finding, one in found.items()},
    )


def kib_of(record: Mapping[str, Any], sites: Sequence[str]) -> list[float]:
    """After each round: KiB sent and received so far, mean over the sites."""
    rounds = [sum(row["bytes_sent"].values()) + sum(row["bytes_received"].values()) for row in record["rounds"]]
    return [round(float(value) / KIB / len(sites), 3) for value in np.cumsum(rounds)]


def curve_of(record: Mapping[str, Any], kib: Sequence[float]) -> list[Point]:
    """The validation curve of a record, given `kib_of` it."""
    return [_point(row, kib[row["round"]]) for row in record["rounds"] if "validation" in row]


def _point(row: Mapping[str, Any], kib: float) -> Point:
    found = [site["any"] for site in row["validation"].values()]
    auroc, brier = (_mean([one[name] for one in found]) for name in ("auroc", "brier"))
    return Point(round=row["round"] + 1, auroc=auroc, brier=brier, kib=kib)


def _reached(curve: Sequence[Point], level: float) -> int | None:
    return next((point.round for point in curve if point.auroc is not None and point.auroc >= level), None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def delivered(path: Path) -> Task:
    """The model of a model.safetensors, and what a site needs beside it."""
    return Task(load_model(path), beside(path)["extra"])


def _opener(scans: Opened) -> Callable[..., Dataset]:
    def opened(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
        return scans[site]

    return opened


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _host_cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
