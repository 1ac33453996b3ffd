"""The writer of a run's results: record.json, model.safetensors, TensorBoard scalars and the checkpoint."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from brainct.core import serialization
from brainct.core.scheme import Memory, Scheme
from brainct.core.version import VERSION, fingerprint, versions
from brainct.core.weights import Weights, nbytes
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.run import checkpoint, model_file, progress, selection
from brainct.run.board import Board
from brainct.run.checkpoint import State
from brainct.run.run_record import (
    FILE,
    Resumption,
    RollCall,
    Round,
    RunRecord,
    SentModel,
    SiteDescription,
    participation,
)

Track = Callable[[str, str, float, int], None]
BEST = "best.safetensors"
START_COPY = "start.safetensors"


class RecordWriter:
    """Grows with the run and is written after each closed round, so that a crash leaves all closed rounds.

    folder: new or empty, otherwise refused. way: `rehearse`, or where FLARE runs. board: also write TensorBoard
    scalars. states: folder of the checkpoint; the default is `state` in the folder. resumed: the checkpoint that the
    run continues from; its folder may hold files then. track: gets each scalar too: site, name, value, round. start:
    file of a start model that a resumed run needs too; a copy is written with the first checkpoint, to `start_copy`.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        scheme: Scheme,
        way: str,
        board: bool = True,
        *,
        states: Path | None = None,
        resumed: State | None = None,
        track: Track | None = None,
        start: Path | None = None,
    ):
        if resumed is None and folder.exists() and any(folder.iterdir()):
            raise Refused(f"the output folder {folder} is in use; name another one or remove it first")
        self.folder, self.states, self.resumed = folder, states or folder / "state", resumed
        self._wants_board, self._workload = board, plan.kind
        self._board: Board | None = None
        self._track, self._start = track, start
        self.record = _continued(resumed.record) if resumed else _begun(plan, scheme, way)
        self.sent: Mapping[str, Weights] = resumed.sent if resumed else {}
        """By site the model that it sent last, until all are scored; {} unless the job asks for cross_site."""
        self.stored = self.closed
        """Number of closed rounds that are in the checkpoint."""
        self._began = time.monotonic() - self.record.seconds

    @property
    def content(self) -> dict[str, Any]:
        """What record.json holds, or will hold at the next closed round."""
        return self.record.as_json()

    @property
    def rounds(self) -> Sequence[Round]:
        """The closed rounds."""
        return self.record.rounds

    @property
    def closed(self) -> int:
        """Number of closed rounds."""
        return len(self.rounds)

    @property
    def start_copy(self) -> Path:
        """Where the copy of the start model is."""
        return self.states / START_COPY

    def open(self, sites: Mapping[str, Any], absent: Mapping[str, str] | None = None) -> None:
        """Note the sites' descriptions of their data; nothing is written before. A resumed run needs the same data.

        absent: by site that the roll call lacks, why.
        """
        described = {site: SiteDescription.model_validate(about) for site, about in sites.items()}
        if self.resumed:
            checkpoint.check_data(self.record.sites, described)
        if self._start:
            serialization.write(self.start_copy, self._start.read_bytes())
        self._board = Board(self.folder / "tb_events") if self._wants_board else None
        self.record.sites = {**self.record.sites, **described}
        if absent or self.record.roll_call:
            was = self.record.roll_call or RollCall()
            joined = {site: number for site, number in was.joined.items() if site not in (absent or {})}
            self.record.roll_call = RollCall(missing={**was.missing, **(absent or {})}, joined=joined)

    def join(self, site: Mapping[str, Any], number: int) -> None:
        """Note the description of a site that answered the roll call in a round."""
        assert self.record.roll_call is not None
        (name, about), was = *site.items(), self.record.roll_call
        described = SiteDescription.model_validate(about)
        if name in self.record.sites:
            checkpoint.check_data({name: self.record.sites[name]}, {name: described})
        self.record.sites = {**self.record.sites, name: described}
        self.record.roll_call = RollCall(missing=was.missing, joined={**was.joined, name: number})

    @property
    def _lineage(self) -> list[dict[str, str]]:
        """What the model was trained on from."""
        return [one.model_dump() for one in self.record.start.lineage] if self.record.start else []

    def has_fold(self, fold: str) -> bool:
        """Whether any site has samples in this fold."""
        return any(self.record.samples(site, fold) for site in self.record.sites)

    def keep_sent(self, number: int, models: Mapping[str, Weights]) -> None:
        """Hold the whole models that sites sent in this round, in place of those that they sent before."""
        self.sent = {**self.sent, **{site: dict(model) for site, model in models.items()}}
        rows = {site: SentModel(round=number) for site in models}
        self.record.cross_site = {**self.record.cross_site, **rows}

    def crossed(self, site: str, scores: Mapping[str, Any]) -> None:
        """Note each site's scores of the model that this site sent, which is held no longer."""
        row = SentModel(
            round=self.record.cross_site[site].round,
            scores={where: self._workload.headline(found) for where, found in scores.items()},
        )
        self.record.cross_site = {**self.record.cross_site, site: row}
        self.sent = {name: model for name, model in self.sent.items() if name != site}

    def close_round(
        self,
        number: int,
        memory: Memory,
        *,
        sent: Mapping[str, int],
        received: Mapping[str, int],
        lost: Mapping[str, str],
        reported: Sequence[str],
        metrics: Mapping[str, Mapping[str, float]],
        answered: Mapping[str, float],
        seconds: float,
    ) -> None:
        """Note a closed round and write it to disk. memory: the server's, after the round; the rest: see Round."""
        row = Round(
            round=number,
            seconds=round(seconds, 4),
            lost=lost,
            reported=sorted(reported),
            metrics=metrics,
            answered={site: round(value, 4) for site, value in answered.items()},
            bytes_sent=sent,
            bytes_received=received,
        )
        self.record.rounds = (*self.rounds, row)
        self.checkpoint(memory)
        for site, values in metrics.items():
            self._scalars(site, values, number)

    def evaluated(self, number: int, scores: Mapping[str, Any]) -> None:
        """Note the sites' validation scores of the global model after a round."""
        self.rounds[number].validation = dict(scores)
        for site, found in scores.items():
            self._scalars(site, self._workload.headline(found), number, "valid/")

    def keep_best(self, number: int, model: Weights, extra: Mapping[str, Any]) -> None:
        """Write the model of the best round so far; a run that stops before its checkpoint evaluates it again."""
        file = selection.best_file(self.states, number)
        model_file.write_model(file, model, self.record.plan, extra, self._lineage)

    def _select(self) -> None:
        """Note the choice among rounds, and put the best round's model next to the last one."""
        plan = plan_of(self.record.plan, "the run's record")
        if plan.selection is None:
            return
        found, sha256 = selection.standing(plan, self.record), ""
        if found.best is not None and plan.selection.keep_best:
            kept = selection.best_file(self.states, found.best)
            serialization.write(self.folder / BEST, kept.read_bytes())
            best = model_file.read_model(self.folder / BEST)
            sha256 = model_file.model_sha256(best.weights, best.extra)
        self.record.selection = selection.selected(plan, self.record, sha256)

    def checkpoint(self, memory: Memory) -> None:
        """Write what there is: first the checkpoint that a run can continue from, then the record for its readers."""
        self._tick()
        checkpoint.save(self.states, State(memory, self.record, self.sent))
        self.stored = self.closed
        self._write()

    def finish(self, model: Weights, test: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        """Note the test scores; write the model, what a site needs in addition to its weights, and the whole record."""
        model_file.write_model(self.folder / "model.safetensors", model, self.record.plan, extra, self._lineage)
        self.record.test, self.record.model_bytes = dict(test), nbytes(model)
        self.record.model_sha256 = model_file.model_sha256(model, extra)
        self.record.participation = participation(self.record)
        self._select()
        self._tick()
        for site, found in test.items():
            self._scalars(site, self._workload.headline(found), self.record.plan["rounds"], "test/")
        self._write()
        if self._board:
            self._board.close()

    def _tick(self) -> None:
        self.record.seconds = round(time.monotonic() - self._began, 3)

    def _write(self) -> None:
        progress.write(self.states, self.record)
        serialization.write(self.folder / FILE, self.record.model_dump_json(exclude_unset=True, indent=1).encode())

    def _scalars(self, site: str, values: Mapping[str, float | None], number: int, fold: str = "") -> None:
        for name, value in values.items():
            if self._board and value is not None:
                self._board.add(f"{fold}{name}/{site}", value, number)
            if self._track and value is not None:
                self._track(site, f"{fold}{name}", value, number)


def _begun(plan: Plan, scheme: Scheme, way: str) -> RunRecord:
    return RunRecord(
        version=VERSION,
        way=way,
        scheme=scheme.name,
        arguments=scheme.arguments,
        seed=plan.seed,
        plan=plan.model_dump(mode="json"),
        versions=versions(),
        package=fingerprint(),
        sites={},
        rounds=(),
        seconds=0.0,
    )


def _continued(record: RunRecord) -> RunRecord:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    again = Resumption(round=len(record.rounds), time=now, versions=versions(), package=fingerprint())
    return record.model_copy(update={"resumed": [*record.resumed, again]})
