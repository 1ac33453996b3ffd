"""A finished federation as one line of the ledger: who trained on what, and what each attacker would measure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from brainct.compare import ledger

LEDGER = "ledger.jsonl"


class View(BaseModel):
    """What one attacker has of a federation.

    signals: for each site the confidence of each scan of its pool (see observe.confidence); a site that the attacker
    sees nothing of is left out. votes: in place of it, for each site 0 and 1 of each label that it was heard to give.
    """

    model_config = ConfigDict(extra="forbid")

    signals: dict[str, list[float]] = {}
    votes: dict[str, str] = {}


class Row(BaseModel):
    """One federation.

    key, code: as in study.ledger. name: the variant's. number: 0 to N - 1. members: for each site 0 and 1 of each scan
    of its pool: whether it was trained on. views: by attacker. aurocs: of `any` at each site on its test scans, by the
    model that the site would use. kib_per_site: KiB sent and received, mean over the sites. mu: of all noised updates
    of a site together (Gaussian differential privacy), None without noise. epsilon: of all labels that a site flipped
    at random together (pure differential privacy), None without.
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    code: str
    name: str
    scheme: str
    number: int = Field(ge=0)
    plan: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    choices: dict[str, Any] = {}
    versions: dict[str, str] = {}
    status: Literal["done", "failed"] = "done"
    error: str = ""
    members: dict[str, str] = {}
    views: dict[str, View] = {}
    aurocs: dict[str, float | None] = {}
    kib_per_site: float | None = None
    mu: float | None = None
    epsilon: float | None = None
    model_sha256: str = ""
    seconds: float = Field(0.0, ge=0)

    @property
    def auroc(self) -> float | None:
        """Mean over the sites where it is defined."""
        known = [value for value in self.aurocs.values() if value is not None]
        return sum(known) / len(known) if known else None


def bits(text: str) -> NDArray[np.bool_]:
    """0 and 1 as they are written."""
    return np.array([each == "1" for each in text], dtype=np.bool_)


def written(values: Any) -> str:
    """0 and 1 of any sequence of bools."""
    return "".join("1" if value else "0" for value in values)


def append(path: Path, row: Row) -> None:
    """Add one line, whole; see study.ledger.append."""
    ledger.append_row(path, row)


def read(path: Path) -> list[Row]:
    """The rows in the order in which they were written; see study.ledger.read."""
    return ledger.read_rows(path, Row)


def done(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """By variant its federations in order of number: of each the row that was written last."""
    found: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.status == "done":
            found.setdefault(row.name, {})[row.number] = row
    return {name: [of[number] for number in sorted(of)] for name, of in found.items()}
