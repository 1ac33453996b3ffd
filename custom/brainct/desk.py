"""A site's half of a run: opens its scans once and answers orders, the same whoever carried them."""

import functools
import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from brainct import plain
from brainct.ct.dataset import open_site
from brainct.ct.scans import FINDINGS, Dataset, Fold
from brainct.ct.sitefile import SiteFile, read_site_file
from brainct.errors import Refused, one_line
from brainct.identity import identity_in
from brainct.learner import SiteLearner, network_of
from brainct.package import fingerprint
from brainct.plan import Plan, plan_of
from brainct.scheme import Keep, Learner, Scheme, Task
from brainct.state import run_name
from brainct.threads import one_thread
from brainct.weights import Weights

ENVIRONMENT = "BRAINCT_SITE"
SECRET = "BRAINCT_SECRET"
LOG = "brainct"
"""The logger whose lines are for the people at the console."""

ORDERS = ("describe", "reply", "evaluate")
HELD_OUT = ("valid", "test")
"""Folds of which a site tells a model's scores; of the training scans they would tell about single patients."""

NOTHING: Mapping[str, Any] = {"keep": {}, "before": {}, "round": -1, "step": 0}
"""What is kept; what was before each order of the last round, by its digest; that round and its last step."""

Opener = Callable[[SiteFile | None, str, Sequence[str], int, int], Dataset]


def site_file_of(kit: Path | None) -> Path | None:
    """Where a site says what scans it has: its kit's local/brainct.yaml, else the file that BRAINCT_SITE names."""
    if kit is not None and (kit / "local" / "brainct.yaml").is_file():
        return kit / "local" / "brainct.yaml"
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


class _Own(Refused):
    """A refusal in words that may name the site's files: for the site's own people."""


class Desk:
    """Answers the orders `describe`, `reply` and `evaluate` for one site.

    keep: folder of what the site keeps for itself, below it one for each run; it outlives this process. site_file: see
    `site_file_of`. opener: opens the site's scans, as ct.dataset.open_site does. discreet: what may name a file or a
    folder of the site goes to the site's own log and not into an answer; for every site that is not rehearsed. startup:
    the folder of that name in the site's kit, which says who it is to the other sites.
    """

    def __init__(
        self,
        site: str,
        keep: Path,
        site_file: Path | None,
        opener: Opener = open_site,
        discreet: bool = True,
        startup: Path | None = None,
    ):
        self.site, self.site_file, self._opener, self._discreet = site, site_file, opener, discreet
        self._keeps, self._kept_of = keep, ("", NOTHING)
        self._identity = functools.cache(functools.partial(identity_in, startup))
        self._scans: tuple[tuple[Any, ...], Dataset] | None = None
        self._plan: tuple[Any, Plan, Scheme] | None = None
        self._network: tuple[Any, torch.nn.Module] | None = None
        one_thread()

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What the server gets for an order: what was asked, or `error` and a sentence that says what is wrong."""
        return {**self._said(order), "exchange": order.get("exchange", "")}

    def _said(self, order: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = self._answer(order)
            plain.split(answer)  # what could not travel is refused here, where it can be said
            return answer
        except _Own as error:
            return self._fault("can't open its scans", str(error))
        except Refused as error:
            return {"error": str(error)}
        except Exception as error:  # a site's fault must reach the server by name, and cost that site one round
            logging.getLogger(__name__).debug("%s could not answer", self.site, exc_info=True)
            return self._fault(
                f"failed ({type(error).__name__})", f"{self.site} failed: {type(error).__name__}: {error}"
            )

    def _fault(self, what: str, details: str) -> dict[str, Any]:
        if not self._discreet:
            return {"error": details}
        logging.getLogger(LOG).error("%s: %s", self.site, details.removeprefix(f"{self.site}: "))
        return {"error": f"{self.site} {what}; the reason is in the site's own log"}

    def _answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        _check(order)
        plan, scheme = self._plan_of(order["plan"])
        scans = self._open(plan, order["sites"], scheme.public)
        if order["what"] == "describe":
            self._begin(order)
            held = self._kept(order["run"])
            own = {"package": fingerprint(), "kept": {"round": held["round"], "empty": not held["keep"]}}
            return {"about": {**describe(scans, scheme.public), **own}}
        learner = self._learner(plan, scans, order["round"], order["run"])
        task = Task(order["task"]["weights"], order["task"]["extra"])
        kept = self._kept(order["run"])
        if order["what"] == "evaluate":
            seeing, weights = _used(scheme, task, learner, kept["keep"])
            return {"scores": seeing.evaluate(weights, order["fold"])}
        # an order comes a second time when its answer was lost on the way
        digest, step = _digest(order), order.get("step", 0)
        again = digest in kept["before"]
        if not again and (order["round"], step) <= (kept["round"], kept["step"]):
            raise Refused(
                f"the server asks for round {order['round']}, but {self.site} keeps what it had after round "
                f"{kept['round']} of this run: the server's state is an older copy; begin a new run"
            )
        before = kept["before"][digest] if again else kept["keep"]
        report, keep = scheme.reply(task, learner, before)
        if not again:
            held = {**(kept["before"] if order["round"] == kept["round"] else {}), digest: before}
            self._store({"keep": keep, "before": held, "round": order["round"], "step": step}, order["run"])
        return {
            "weights": report.weights,
            "examples": report.examples,
            "metrics": report.metrics,
            "extra": report.extra,
        }

    def delivered(self, plan: Plan, task: Task, sites: Sequence[str], run: str) -> tuple[Learner, Weights]:
        """After a run's last round, given the delivered model: how this site would ask it, and the model it would ask.

        For what sees a site's single predictions, as only a rehearsal may; a site answers with `answer` alone.
        """
        scheme = plan.build()
        learner = self._learner(plan, self._open(plan, sites, scheme.public), plan.rounds, run)
        return _used(scheme, task, learner, self._kept(run)["keep"])

    def _learner(self, plan: Plan, scans: Dataset, round: int, run: str) -> SiteLearner:
        secret = os.environ.get(SECRET) or (None if self._discreet else "")
        run_secret = functools.partial(self._run_secret, run) if self._discreet else bytes
        return SiteLearner(self._network_of(plan), scans, plan, self.site, round, secret, run_secret, self._identity)

    def _keep_file(self, run: str) -> Path:
        return self._keeps / run_name(run) / f"{self.site}.safetensors"

    def _run_secret(self, run: str) -> bytes:
        """32 bytes from the machine's own randomness, drawn once in a run, readable by this site alone."""
        file = self._keep_file(run).with_suffix(".secret")
        if not file.exists():
            plain.write(file, secrets.token_bytes(32), 0o600)
        return file.read_bytes()

    def _begin(self, order: Mapping[str, Any]) -> None:
        """Whatever lies under the name of a run that only begins is not this run's."""
        if order.get("new", True):
            self._keep_file(order["run"]).unlink(missing_ok=True)
            self._keep_file(order["run"]).with_suffix(".secret").unlink(missing_ok=True)
            self._kept_of = ("", NOTHING)

    def _kept(self, run: str) -> Mapping[str, Any]:
        """See NOTHING."""
        if self._kept_of[0] != run:
            file = self._keep_file(run)
            self._kept_of = (run, {**NOTHING, **plain.load(file)} if file.exists() else NOTHING)
        return self._kept_of[1]

    def _store(self, kept: Mapping[str, Any], run: str) -> None:
        plain.save(self._keep_file(run), kept)
        self._kept_of = (run, kept)

    def _plan_of(self, choices: Mapping[str, Any]) -> tuple[Plan, Scheme]:
        if self._plan is None or self._plan[0] != choices:
            plan = plan_of(choices, f"{self.site}: the job")
            self._plan = (choices, plan, plan.build())
        return self._plan[1:]

    def _open(self, plan: Plan, sites: Sequence[str], public: bool) -> Dataset:
        key = (tuple(sites), plan.network.size, plan.network.dims)
        if self._scans is None or self._scans[0] != key:
            try:
                file = read_site_file(self.site_file) if self.site_file else None
                scans = self._opener(file, self.site, sites, plan.network.size, plan.network.dims)
            except Refused as error:
                raise _Own(str(error)) from None
            check_channels(scans, plan, self.site)
            self._scans = (key, scans)
        if public:
            self._read_public(self._scans[1])
        return self._scans[1]

    def _read_public(self, scans: Dataset) -> None:
        try:
            scans.public()
        except Refused as error:
            raise _Own(f"{self.site}: {error}") from None

    def _network_of(self, plan: Plan) -> torch.nn.Module:
        if self._network is None or self._network[0] != plan.network:
            self._network = (plan.network, network_of(plan))
        return self._network[1]


def _used(scheme: Scheme, task: Task, learner: Learner, keep: Keep) -> tuple[Learner, Weights]:
    seeing = scheme.see(task, learner, keep)
    return seeing, scheme.use(task, seeing, keep)


def _check(order: Mapping[str, Any]) -> None:
    """Refuse an order that is none of the three, and scores of other scans than those that are held out."""
    if order["what"] not in ORDERS:
        raise Refused(f"the server's order is {one_line(order['what'])!r}; wanted one of {', '.join(ORDERS)}")
    if order["what"] == "evaluate" and order["fold"] not in HELD_OUT:
        raise Refused(f"the server asks for scores of fold {one_line(order['fold'])!r}; wanted {' or '.join(HELD_OUT)}")


def _digest(order: Mapping[str, Any]) -> str:
    return plain.sha256({"round": order["round"], "step": order.get("step", 0), "task": order["task"]})


def describe(scans: Dataset, public: bool = False) -> dict[str, Any]:
    """What a site tells the federation of its scans: counts, a fingerprint, notes; no path, no patient.

    public: also how many public scans it holds, and their fingerprint.
    """
    folds = {name: _counts(fold) for name, fold in scans.folds.items()}
    about = {"kind": scans.kind, "folds": folds, "fingerprint": scans.fingerprint, "notes": list(scans.notes)}
    if not public:
        return about
    found = scans.public()
    return {**about, "public": {"scans": len(found.images), "fingerprint": found.fingerprint}}


def _counts(fold: Fold) -> dict[str, Any]:
    positives = {name: int((fold.labels[:, i] == 1).sum()) for i, name in enumerate(FINDINGS)}
    negatives = {name: int((fold.labels[:, i] == 0).sum()) for i, name in enumerate(FINDINGS)}
    return {"scans": len(fold), "positives": positives, "negatives": negatives}


def check_channels(scans: Dataset, plan: Plan, site: str) -> None:
    """Refuse scans with another number of HU windows than the network has channels."""
    found = next(fold.images.shape[1] for fold in scans.folds.values() if len(fold))
    if found != plan.network.channels:
        raise Refused(f"{site} has {found} HU windows, the job's network takes {plan.network.channels} channels")
