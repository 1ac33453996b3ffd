"""The sections on the rounds: who took part, how the training loss fell, what travelled, and how long it took."""

import statistics
from collections.abc import Sequence

from brainct.pages.charts import Line, curves, grid, rows_high
from brainct.pages.drawing import picture
from brainct.pages.page import Section, Table
from brainct.pages.picture import Picture
from brainct.pages.wording import duration, size, spans
from brainct.report.readable_record import Record, Round, everyone, mean, traffic

MOST_ROWS = 100


def participation(record: Record) -> Section | None:
    """Who replied in which round, and why replies were lost."""
    if not record.rounds:
        return None
    sites = everyone(record)
    cells = [[_state(row, site) for row in record.rounds] for site in sites]
    lost, replied = (sum(cell == state for line in cells for cell in line) for state in (2, 1))
    rows = [
        (
            spans(numbers),
            f"{asked - len(missing)} of {asked}",
            "; ".join(f"{site}: {why}" for site, why in missing) or "–",
        )
        for numbers, asked, missing in _join_equal_rounds(record.rounds)
    ]
    left_out = len(rows) - MOST_ROWS
    return Section(
        "Participation",
        ["Who replied in each round, whose reply was lost, and why. Equal rounds share a row."],
        [Table("Replies by round", ("round", "replied", "lost, and why"), rows[:MOST_ROWS])],
        [
            picture(
                "participation",
                f"Grid of {len(sites)} hospitals by {len(record.rounds)} rounds: {lost} replies were lost, {replied} "
                "came.",
                "Who took part in which round.",
                grid(sites, len(record.rounds), cells, "round"),
                rows_high(len(sites), 0.95),
            )
        ],
        notes=[f"Further rows are left out: {left_out}; record.json has them all."] if left_out > 0 else [],
    )


def _state(row: Round, site: str) -> int:
    """0 not asked, 1 replied, 2 lost."""
    return 2 if site in row.lost else int(site in row.bytes_sent)


def _join_equal_rounds(rounds: Sequence[Round]) -> list[tuple[list[int], int, list[tuple[str, str]]]]:
    """(rounds, number of sites asked, [(site, why its reply was lost)]); equal neighbours are joined."""
    joined: list[tuple[list[int], int, list[tuple[str, str]]]] = []
    for row in rounds:
        asked, missing = len(set(row.bytes_sent) | set(row.lost)), sorted(row.lost.items())
        if joined and joined[-1][1:] == (asked, missing):
            joined[-1][0].append(row.round)
        else:
            joined.append(([row.round], asked, missing))
    return joined


def learning(record: Record, validation: Picture | None) -> Section | None:
    """Curves over the rounds. validation: the workload's curve of its score; None without evaluations."""
    if not record.rounds:
        return None
    loss = _training_loss(record)
    text = [] if validation else ["This page has no validation scores over the rounds."]
    return Section("While it learned", text, pictures=[one for one in (validation, loss) if one is not None])


def _training_loss(record: Record) -> Picture | None:
    by_site = {
        site: [(row.round + 1.0, row.metrics.get(site, {}).get("loss")) for row in record.rounds]
        for site in everyone(record)
    }
    means = [(row.round + 1.0, mean(_losses(row))) for row in record.rounds]
    known = [value for _, value in means if value is not None]
    if not known:
        return None
    lines = [Line(site, points) for site, points in by_site.items()]
    return picture(
        "training-loss",
        f"Training loss over the rounds, one thin line a hospital; the mean goes from {known[0]:.3f} to "
        f"{known[-1]:.3f}.",
        "Training loss. Thin lines: hospitals, with a gap where one was missing. Thick: their mean.",
        curves([*lines, Line("mean over hospitals", means, True)], "rounds closed", "training loss"),
    )


def _losses(row: Round) -> list[float]:
    found = (values.get("loss") for values in row.metrics.values())
    return [value for value in found if value is not None]


def traffic_and_time(record: Record) -> Section | None:
    """Bytes by hospital and seconds by round."""
    if not record.rounds:
        return None
    rows = [(site, *(size(count) for count in traffic(record, site))) for site in everyone(record)]
    seconds = [row.seconds for row in record.rounds]
    down, up = traffic(record)
    return Section(
        "Traffic and time",
        [
            f"{size(down)} were sent to the hospitals and {size(up)} came back; the model has "
            f"{size(record.model_bytes) if record.model_bytes else 'an unknown size'}. A round took "
            f"{duration(statistics.median(seconds))} (median), the slowest {duration(max(seconds))}.",
        ],
        [Table("Bytes by hospital over all rounds", ("hospital", "received", "sent"), rows)],
        [
            picture(
                "seconds",
                f"Seconds of each round: between {min(seconds):.2f} and {max(seconds):.2f}.",
                "Wall time of each round; the first includes opening the data if that was not done earlier.",
                curves(
                    [Line("seconds", [(row.round, row.seconds) for row in record.rounds], True)], "round", "seconds"
                ),
                2.0,
            )
        ],
    )
