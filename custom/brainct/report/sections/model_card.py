"""The parts of a run's page that a file needs beside its numbers: the model card and where the numbers come from."""

import statistics
from collections.abc import Mapping
from typing import Any

from brainct.pages.page import Section, Table
from brainct.report import wording
from brainct.report.run_folder import Record, RunFolder, aurocs, network
from brainct.report.wording import listing


def card(run: RunFolder) -> Section:
    record = run.record
    kinds = sorted({record.sites[site].kind for site in run.sites})
    found = aurocs(record)
    performance = (
        f"AUROC of any bleeding on the hospitals' own test scans: mean {statistics.fmean(found.values()):.2f}, lowest "
        f"{min(found.values()):.2f}." if found else "Not tested."
    )  # fmt: skip
    sha256 = record.model_sha256 or "none: the run has no final model"
    return Section(
        "Model card",
        terms={
            "Intended use": "Research on training across hospitals: comparing methods, and rehearsing a federation.",
            "Not intended": f"{wording.NOT_A_DEVICE} No claim is made for any scanner, age or disease that the table of "
            "hospitals does not show.",
            "Model": f"{network(record) or 'Unknown'}; six probabilities, one a finding; SHA-256 {sha256}.",
            "Data": f"Kinds of data set: {listing(kinds) or 'unknown'}. Labels are the hospitals' own and were not "
            "read a second time. Age, sex and scanner are not known to this report.",
            "Performance": performance,
            "Limits": "Pictures are scaled to the network's input, so small bleedings may vanish. Findings that a "
            "hospital does not label are neither learned nor tested there. At a hospital outside the federation the "
            "scores may be lower.",
            "Risks": "A missed bleeding; trust in a probability that is not calibrated for the reader's own patients; "
            "traces of training data that whoever holds the model may find in it.",
        },
    )


def origin(record: Record) -> Section | None:
    if not record.plan:
        return None
    rows: list[tuple[str, str]] = [
        ("way of running", record.way),
        ("scheme", record.scheme),
        ("its arguments", flat(record.arguments) or "–"),
        ("seed", str(record.seed)),
        (
            "choices",
            flat({key: value for key, value in record.plan.items() if key not in ("scheme", "arguments", "seed")}),
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("model SHA-256", record.model_sha256 or "–"),
    ]
    return Section(
        "Where the numbers come from",
        [
            "With the same choices, data, seed and names of hospitals, the same kind of CPU gives the same model to "
            "the bit."
        ],
        [Table("The run's choices", ("", "value"), rows)],
    )


def flat(choices: Mapping[str, Any], before: str = "") -> str:
    """Nested choices on one line: `rounds 30; fit.rate 0.003`."""
    parts = [
        flat(value, f"{before}{name}.") if isinstance(value, Mapping) else f"{before}{name} {value}"
        for name, value in choices.items()
        if value not in ({}, None)
    ]
    return "; ".join(parts)
