"""The parts of a run's page on the hospitals: what they have, who took part, what travelled and how long it took."""

import statistics
from collections.abc import Sequence

from brainct.pages.charts import Line, curves, grid, rows_high
from brainct.pages.drawing import picture
from brainct.pages.page import Section, Table
from brainct.report import wording
from brainct.report.run_folder import Record, Round, everyone, traffic
from brainct.report.wording import ANY


def hospitals(record: Record) -> Section | None:
    if not record.sites:
        return None
    rows: list[tuple[str | int, ...]] = []
    for site, found in sorted(record.sites.items()):
        bleeds = [found.folds[fold].positives.get(ANY, 0) if fold in found.folds else 0 for fold in ("train", "test")]
        folds = [found.scans(fold) for fold in ("train", "valid", "test")]
        rows.append((site, found.kind, *folds, f"{bleeds[0]} / {bleeds[1]}", found.fingerprint[:12]))
    notes: dict[str, list[str]] = {}
    for site, found in sorted(record.sites.items()):
        for note in found.notes:
            notes.setdefault(note, []).append(site)
    head = ("hospital", "data", "train", "validation", "test", "bleedings (train / test)", "fingerprint")
    return Section(
        "The hospitals",
        [
            "What each hospital said of its own scans before the first round. The fingerprint changes when the data "
            "does."
        ],
        [Table("Scans by hospital and fold", head, rows)],
        notes=[f"{wording.sites(sites, list(record.sites))}: {note}" for note, sites in list(notes.items())[:40]],
    )


def participation(record: Record) -> Section | None:
    if not record.rounds:
        return None
    sites = everyone(record)
    cells = [[_took_part(row, site) for row in record.rounds] for site in sites]
    lost = sum(cell == 2 for line in cells for cell in line)
    drawn = picture(
        "participation",
        f"Grid of {len(sites)} hospitals by {len(record.rounds)} rounds: {lost} answers were lost, "
        f"{sum(cell == 1 for line in cells for cell in line)} came.",
        "Who took part in which round.",
        grid(sites, len(record.rounds), cells, "round"),
        rows_high(len(sites), 0.95),
    )
    rows = [
        (
            wording.spans(numbers),
            f"{asked - len(gone)} of {asked}",
            "; ".join(f"{site}: {why}" for site, why in gone) or "–",
        )
        for numbers, asked, gone in _alike(record.rounds)
    ]
    more = [f"Further rows are left out: {len(rows) - 100}; record.json has them all."] if len(rows) > 100 else []
    return Section(
        "Participation",
        ["Who answered in each round, who was lost, and why. Rounds that went alike share a row."],
        [Table("Answers by round", ("round", "answered", "lost, and why"), rows[:100])],
        [drawn],
        notes=more,
    )


def _took_part(row: Round, site: str) -> int:
    """0 not asked, 1 answered, 2 lost."""
    if site in row.lost:
        return 2
    return int(site in row.bytes_sent)


def _alike(rounds: Sequence[Round]) -> list[tuple[list[int], int, list[tuple[str, str]]]]:
    """(rounds, number of sites asked, [(site lost, reason)]), neighbours that went alike joined."""
    joined: list[tuple[list[int], int, list[tuple[str, str]]]] = []
    for row in rounds:
        asked, gone = len(set(row.bytes_sent) | set(row.lost)), sorted(row.lost.items())
        if joined and joined[-1][1:] == (asked, gone):
            joined[-1][0].append(row.round)
        else:
            joined.append(([row.round], asked, gone))
    return joined


def traffic_and_time(record: Record) -> Section | None:
    if not record.rounds:
        return None
    rows = [(site, *(wording.size(count) for count in traffic(record, site))) for site in everyone(record)]
    seconds = [row.seconds for row in record.rounds]
    down, up = traffic(record)
    return Section(
        "Traffic and time",
        [
            f"{wording.size(down)} went to the hospitals and {wording.size(up)} came back; the model is "
            f"{wording.size(record.model_bytes) if record.model_bytes else 'of unknown size'}. A round took "
            f"{wording.duration(statistics.median(seconds))} (median), the slowest {wording.duration(max(seconds))}.",
        ],
        [Table("Bytes by hospital over all rounds", ("hospital", "received", "sent"), rows)],
        [
            picture(
                "seconds",
                f"Seconds of each round: between {min(seconds):.2f} and {max(seconds):.2f}.",
                "Wall time of each round; the first includes opening the scans where that was not done before.",
                curves(
                    [Line("seconds", [(row.round, row.seconds) for row in record.rounds], True)],
                    "round",
                    "seconds",
                ),
                2.0,
            )
        ],
    )
