"""What a run leaves behind: record.json, model.safetensors, TensorBoard scalars, a checkpoint, and the last screen."""

import json
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors.torch import save as save_bytes

from brainct import plain
from brainct.errors import Refused
from brainct.plan import Plan
from brainct.scheme import Memory, Scheme
from brainct.weights import Weights, nbytes, sha256

PACKAGES = ("flare-brainct", "nvflare", "torch", "monai", "numpy")


class Record:
    """Grows with the run; on disk after each closed round, so that a crash leaves what was closed.

    folder: new or empty, else refused. way: `rehearse`, or where FLARE runs. board: also write TensorBoard scalars.
    """

    def __init__(self, folder: Path, plan: Plan, scheme: Scheme, way: str, board: bool = True):
        if folder.exists() and any(folder.iterdir()):
            raise Refused(f"the output folder {folder} is in use; name another one or remove it first")
        self.folder, self._began = folder, time.monotonic()
        self._wants_board = board
        self._board: Board | None = None
        self.content: dict[str, Any] = {
            "way": way,
            "scheme": scheme.name,
            "arguments": dict(scheme.arguments),
            "seed": plan.seed,
            "plan": plan.model_dump(),
            "versions": versions(),
            "sites": {},
            "rounds": [],
        }

    def open(self, sites: Mapping[str, Any]) -> None:
        """Note what the sites said of their scans; nothing is written before."""
        self._board = Board(self.folder / "tb_events") if self._wants_board else None
        self.content["sites"] = dict(sites)

    def has_fold(self, fold: str) -> bool:
        """Whether any site has scans in this fold."""
        return any(site["folds"].get(fold, {}).get("scans", 0) for site in self.content["sites"].values())

    def close_round(
        self,
        number: int,
        *,
        sent: Mapping[str, int],
        received: Mapping[str, int],
        lost: Mapping[str, str],
        metrics: Mapping[str, Mapping[str, float]],
        seconds: float,
    ) -> None:
        """Note a closed round: bytes to and from each site, who was lost and why, what the sites measured."""
        row = {"round": number, "seconds": round(seconds, 4), "lost": dict(lost), "metrics": dict(metrics)}
        self.content["rounds"].append({**row, "bytes_sent": dict(sent), "bytes_received": dict(received)})
        for site, values in metrics.items():
            self._scalars(site, values, number)

    def evaluated(self, number: int, scores: Mapping[str, Any]) -> None:
        """Note the sites' validation scores of the global model after a round."""
        self.content["rounds"][number]["validation"] = dict(scores)
        for site, found in scores.items():
            self._scalars(site, {"valid/auroc": found["any"]["auroc"], "valid/brier": found["any"]["brier"]}, number)

    def checkpoint(self, memory: Memory, number: int) -> None:
        """Close a round to disk: the server's memory first, then the record that says it is closed."""
        plain.save(self.folder / "state" / "memory.safetensors", {"round": number, "memory": memory})
        self._write()

    def finish(self, model: Weights, test: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
        """Note the sites' test scores; write the model, what it needs beside its weights, and the whole record."""
        metadata = {"plan": json.dumps({key: self.content["plan"][key] for key in ("scheme", "arguments", "network")})}
        metadata |= {"extra": json.dumps(extra, allow_nan=False)} if extra else {}
        plain.write(self.folder / "model.safetensors", save_bytes(dict(model), metadata))
        self.content |= {"test": dict(test), "model_sha256": model_sha256(model, extra), "model_bytes": nbytes(model)}
        self.content["seconds"] = round(time.monotonic() - self._began, 3)
        for site, found in test.items():
            self._scalars(site, {"test/auroc": found["any"]["auroc"]}, self.content["plan"]["rounds"])
        self._write()
        if self._board:
            self._board.close()

    def _write(self) -> None:
        plain.write(self.folder / "record.json", json.dumps(self.content, indent=1, allow_nan=False).encode())

    def _scalars(self, site: str, values: Mapping[str, float | None], number: int) -> None:
        for name, value in values.items():
            if self._board and value is not None:
                self._board.add(f"{name}/{site}", value, number)


def model_sha256(model: Weights, extra: Mapping[str, Any]) -> str:
    """64 hex digits over the weights and, where a model needs more than these, over that too."""
    return plain.sha256({"weights": sha256(model), "extra": extra}) if extra else sha256(model)


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


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def table(record: Mapping[str, Any]) -> str:
    """The last screen: a line for each site, where the results are said by the caller."""
    rows = [("site", "scans (train/test)", "AUROC", "balanced accuracy", "rounds missed")]
    for site, about in sorted(record["sites"].items()):
        scores = record["test"].get(site, {}).get("any", {"reason": "not evaluated"})
        missed = sum(site in row["lost"] for row in record["rounds"])
        folds = "/".join(str(about["folds"].get(fold, {}).get("scans", 0)) for fold in ("train", "test"))
        rows.append((site, folds, _number(scores, "auroc"), _number(scores, "balanced_accuracy"), str(missed)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def last_lines(record: Mapping[str, Any], folder: Path) -> str:
    """The table, the place of the results and the model's hash."""
    return f"{table(record)}\n\nresults: {folder}\nmodel sha256: {record['model_sha256']}"


def _number(scores: Mapping[str, Any], name: str) -> str:
    value = scores.get(name)
    return f"{value:.3f}" if value is not None else f"- ({scores.get('reason')})"
