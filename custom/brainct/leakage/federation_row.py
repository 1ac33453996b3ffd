"""A finished shadow federation as a row of the ledger: who trained on which scans, and what each attacker measures."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field


class AttackerView(BaseModel):
    """What one attacker sees of a federation.

    signals: by site, the confidence on each scan of its pool (see attackers.confidence); a site of which the attacker
    sees nothing is left out. votes: used instead for schemes that send labels: by site, each label as 0 or 1.
    """

    model_config = ConfigDict(extra="forbid")

    signals: dict[str, list[float]] = {}
    votes: dict[str, str] = {}


class FederationRow(BaseModel):
    """One federation.

    key, code: see compare.run_row. name: the variant's. number: 0 to N - 1. members: by site, 1 for each scan of its
    pool that it trained on, else 0. views: by attacker. aurocs: of `any` on each site's test scans, by the model that
    the site would use. kib_per_site: KiB sent and received, mean over the sites. mu: of all of a site's noised updates
    together (Gaussian differential privacy), None without noise. epsilon: of all labels that a site randomised together
    (pure differential privacy), None without.
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
    views: dict[str, AttackerView] = {}
    aurocs: dict[str, float | None] = {}
    kib_per_site: float | None = None
    mu: float | None = None
    epsilon: float | None = None
    model_sha256: str = ""
    seconds: float = Field(0.0, ge=0)

    @property
    def auroc(self) -> float | None:
        """Mean AUROC over the sites where it is defined."""
        known = [value for value in self.aurocs.values() if value is not None]
        return sum(known) / len(known) if known else None


def parse_bits(text: str) -> NDArray[np.bool_]:
    """Bools from a text of 0 and 1."""
    return np.array([each == "1" for each in text], dtype=np.bool_)


def format_bits(values: Any) -> str:
    """A text of 0 and 1 from bools."""
    return "".join("1" if value else "0" for value in values)


def finished_federations(rows: Sequence[FederationRow]) -> dict[str, list[FederationRow]]:
    """By variant, its finished federations in order of number; of each the row that was written last."""
    found: dict[str, dict[int, FederationRow]] = {}
    for row in rows:
        if row.status == "done":
            found.setdefault(row.name, {})[row.number] = row
    return {name: [of[number] for number in sorted(of)] for name, of in found.items()}
