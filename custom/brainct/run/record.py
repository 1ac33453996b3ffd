"""What a run leaves behind: record.json, model.safetensors, TensorBoard scalars, its state, and the last screen."""

import json
import platform
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors.torch import save as save_bytes

from brainct.core import serialization
from brainct.core.scheme import Memory, Scheme
from brainct.core.version import fingerprint
from brainct.core.weights import Weights, nbytes, sha256
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.job.workloads import workload_named
from brainct.run import checkpoint
from brainct.run.checkpoint import State

PACKAGES = ("flare-brainct", "nvflare", "torch", "monai", "numpy")


class Record:
    """Grows with the run; on disk after each closed round, so that a crash leaves what was closed.

    folder: new or empty, else refused. way: `rehearse`, or where FLARE runs. board: also write TensorBoard scalars.
    states: folder of the server's state, `state` in the folder unless said. resumed: the state that a run goes on from;
    its folder is in use, then.
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
    ):
        if resumed is None and folder.exists() and any(folder.iterdir()):
            raise Refused(f"the output folder {folder} is in use; name another one or remove it first")
        self.folder, self.states, self.resumed = folder, states or folder / "state", resumed
        self._wants_board, self._workload = board, plan.kind
        self._board: Board | None = None
        self.content: dict[str, Any] = {
            "way": way,
            "scheme": scheme.name,
            "arguments": dict(scheme.arguments),
            "seed": plan.seed,
            "plan": plan.model_dump(),
            "versions": versions(),
            "package": fingerprint(),
            "sites": {},
            "rounds": [],
            "seconds": 0.0,
        }
        if resumed:
            again = {
                "round": len(resumed.record["rounds"]),
                "time": _now(),
                "versions": versions(),
                "package": fingerprint(),
            }
            self.content = {**resumed.record, "resumed": [*resumed.record.get("resumed", []), again]}
        self._began = time.monotonic() - self.content["seconds"]

    @property
    def closed(self) -> int:
        """Number of rounds that are closed."""
        return len(self.content["rounds"])

    def open(self, sites: Mapping[str, Any]) -> None:
        """Note what the sites said of their scans; nothing is written before."""
        if self.resumed:
            checkpoint.same_scans(self.content["sites"], sites)
        self._board = Board(self.folder / "tb_events") if self._wants_board else None
        self.content["sites"] = dict(sites)

    def has_fold(self, fold: str) -> bool:
        """Whether any site has scans in this fold."""
        return any(self._workload.samples(site, fold) for site in self.content["sites"].values())

    def close_round(
        self,
        number: int,
        memory: Memory,
        *,
        sent: Mapping[str, int],
        received: Mapping[str, int],
        lost: Mapping[str, str],
        metrics: Mapping[str, Mapping[str, float]],
        answered: Mapping[str, float],
        seconds: float,
    ) -> None:
        """Note a closed round and close it to disk.

        memory: the server's, after the round. sent, received: bytes to and from each site. lost: who, and why. metrics:
        what the sites measured. answered: seconds after which each site's report was there.
        """
        row = {"round": number, "seconds": round(seconds, 4), "lost": dict(lost), "metrics": dict(metrics)}
        row["answered"] = {site: round(value, 4) for site, value in answered.items()}
        self.content["rounds"].append({**row, "bytes_sent": dict(sent), "bytes_received": dict(received)})
        self.checkpoint(memory)
        for site, values in metrics.items():
            self._scalars(site, values, number)

    def evaluated(self, number: int, scores: Mapping[str, Any]) -> None:
        """Note the sites' validation scores of the global model after a round."""
        self.content["rounds"][number]["validation"] = dict(scores)
        for site, found in scores.items():
            self._scalars(site, _named("valid", self._workload.headline(found)), number)

    def checkpoint(self, memory: Memory) -> None:
        """Close to disk what there is: first the state that a run can go on from, then the record for its readers."""
        self._tick()
        checkpoint.save(self.states, State(memory, self.content))
        self._write()

    def finish(self, model: Weights, test: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        """Note the sites' test scores; write the model, what it needs beside its weights, and the whole record."""
        metadata = {"plan": json.dumps(self._model_plan())}
        metadata |= {"extra": json.dumps(extra, allow_nan=False)} if extra else {}
        serialization.write(self.folder / "model.safetensors", save_bytes(dict(model), metadata))
        self.content |= {"test": dict(test), "model_sha256": model_sha256(model, extra), "model_bytes": nbytes(model)}
        self.content["participation"] = participation(self.content)
        self._tick()
        for site, found in test.items():
            self._scalars(site, _named("test", self._workload.headline(found)), self.content["plan"]["rounds"])
        self._write()
        if self._board:
            self._board.close()

    def _model_plan(self) -> dict[str, Any]:
        """What of the plan a model needs to be loaded: its scheme and the workload's choices but for its training."""
        own = [key for key in self._workload.choices.model_fields if key != "fit"]
        return {key: self.content["plan"][key] for key in ("scheme", "arguments", "workload", *own)}

    def _tick(self) -> None:
        self.content["seconds"] = round(time.monotonic() - self._began, 3)

    def _write(self) -> None:
        serialization.write(self.folder / "record.json", json.dumps(self.content, indent=1, allow_nan=False).encode())

    def _scalars(self, site: str, values: Mapping[str, float | None], number: int) -> None:
        for name, value in values.items():
            if self._board and value is not None:
                self._board.add(f"{name}/{site}", value, number)


def model_sha256(model: Weights, extra: Mapping[str, Any]) -> str:
    """64 hex digits over the weights and, where a model needs more than these, over that too."""
    return serialization.sha256({"weights": sha256(model), "extra": extra}) if extra else sha256(model)


class Board:
    """TensorBoard's event file, written without importing torch's or TensorFlow's wrappers."""

    def __init__(self, folder: Path):
        from tensorboard.summary import Writer

        self._writer = Writer(str(folder))

    def add(self, tag: str, value: float, step: int) -> None:
        """One scalar."""
        self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def participation(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each site: rounds in which it was asked, in which its report took part, and why not in which others."""
    rounds = record["rounds"]
    return {
        site: {
            "asked": sum(site in row["bytes_sent"] for row in rounds),
            "took_part": sum(site in row["metrics"] for row in rounds),
            "lost": {str(row["round"]): row["lost"][site] for row in rounds if site in row["lost"]},
        }
        for site in sorted(record["sites"])
    }


def table(record: Mapping[str, Any]) -> str:
    """The last screen: a line for each site; below it, who missed what and why."""
    workload = workload_named(record["plan"].get("workload", "ct"))
    shown = list(workload.headlines)[:2]
    rows = [("site", "samples (train/test)", *(workload.headlines[name] for name in shown), "rounds")]
    missed = []
    for site, part in participation(record).items():
        scores, about = record["test"].get(site, {}), record["sites"][site]
        numbers, missing = workload.headline(scores), workload.missing(scores) or "not evaluated"
        folds = "/".join(str(workload.samples(about, fold)) for fold in ("train", "test"))
        took = f"{part['took_part']} of {part['asked']}"
        rows.append((site, folds, *(_number(numbers[name], missing) for name in shown), took))
        missed += _missed(site, part["lost"])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *missed])


def _missed(site: str, lost: Mapping[str, str]) -> list[str]:
    """A line for each reason for which a site missed rounds."""
    rounds: dict[str, list[str]] = {}
    for number, reason in lost.items():
        rounds.setdefault(reason, []).append(number)
    return [f"{site} missed round {', '.join(numbers)}: {reason}" for reason, numbers in rounds.items()]


def last_lines(record: Mapping[str, Any], folder: Path) -> str:
    """The table, the place of the results and the model's hash."""
    return f"{table(record)}\n\nresults: {folder}\nmodel sha256: {record['model_sha256']}"


def _named(fold: str, numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    return {f"{fold}/{name}": value for name, value in numbers.items()}


def _number(value: float | None, missing: str) -> str:
    return f"{value:.3f}" if value is not None else f"- ({missing})"
