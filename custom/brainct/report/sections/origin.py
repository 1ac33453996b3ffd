"""The section on where a run's numbers come from: its choices, its versions, its model."""

from collections.abc import Mapping
from typing import Any

from brainct.pages.page import Section, Table
from brainct.report.readable_record import Record


def origin(record: Record) -> Section | None:
    """All choices of the run; None for a record without a plan."""
    if not record.plan:
        return None
    rest = {key: value for key, value in record.plan.items() if key not in ("scheme", "arguments", "seed")}
    rows: list[tuple[str, str]] = [
        ("backend", record.way),
        ("scheme", record.scheme),
        ("its arguments", flatten(record.arguments) or "–"),
        ("seed", str(record.seed)),
        ("choices", flatten(rest)),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("model SHA-256", record.model_sha256 or "–"),
    ]
    if record.start:
        rows += [("started from", f"{one.source or 'a model'}, SHA-256 {one.sha256}") for one in record.start.lineage]
    return Section(
        "Where the numbers come from",
        [
            "The same choices, data, seed and names of hospitals give a bit-identical model (same SHA-256) on the same "
            "kind of CPU."
        ],
        [Table("The run's choices", ("", "value"), rows)],
    )


def flatten(choices: Mapping[str, Any], before: str = "") -> str:
    """Nested choices on one line: `rounds 30; fit.rate 0.003`."""
    parts = [
        flatten(value, f"{before}{name}.") if isinstance(value, Mapping) else f"{before}{name} {value}"
        for name, value in choices.items()
        if value not in ({}, None)
    ]
    return "; ".join(parts)
