"""The sections of a head CT run's page on its scores: hospital by hospital, fairness, calibration, answers."""

import statistics

from brainct.ct.metrics import THRESHOLD
from brainct.pages.charts import reliability, rows_high, stacks
from brainct.pages.drawing import picture
from brainct.pages.page import Section, Table
from brainct.pages.wording import decimals, interval, percent
from brainct.report.ct.definitions import finding_in_words
from brainct.report.ct.pooling import pool_bins, reliability_points
from brainct.report.readable_record import Confusion, Record, aurocs, findings_of, mean, scores_of


def quality(record: Record) -> Section | None:
    """All scores of the test scans; None for a run that tested nothing."""
    if not record.test:
        return None
    return Section(
        "How good, hospital by hospital",
        ["Test scans only. A dash: not defined, since all test scans of the hospital are of one class."],
        [_by_hospital(record), _by_finding(record)],
    )


def _by_hospital(record: Record) -> Table:
    rows = [
        (
            site,
            f"{one.positives} / {one.negatives}",
            decimals(one.auroc) if one.auroc is not None else f"– ({one.reason or 'not sent'})",
            interval(one.auroc_interval) or "–",
            decimals(one.balanced_accuracy),
            decimals(one.sensitivity_at_90_specificity),
            decimals(one.brier, 3),
            decimals(one.ece, 3),
        )
        for site, one in scores_of(record).items()
    ]
    head = (
        "hospital", "with / without bleeding", "AUROC", "95 % interval", "balanced accuracy",
        "sensitivity at 90 % specificity", "Brier", "ECE",
    )  # fmt: skip
    return Table("Any bleeding, test scans", head, rows)


def _by_finding(record: Record) -> Table:
    found = {name: aurocs(record, name) for name in findings_of(record)}
    rows = [
        (
            finding_in_words(name),
            f"{sum(one.positives for one in scores_of(record, name).values())}",
            f"{len(values)} of {len(record.test)}",
            decimals(mean(list(values.values()))),
            f"{min(values.values()):.2f} to {max(values.values()):.2f}" if values else "–",
        )
        for name, values in found.items()
    ]
    head = ("finding", "scans with it", "hospitals with both classes", "mean AUROC", "lowest to highest")
    return Table("By kind of bleeding", head, rows)


def fairness(record: Record) -> Section | None:
    """The differences between hospitals; None for fewer than two with a score."""
    found = aurocs(record)
    if len(found) < 2:
        return None
    low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    spread = found[high] - found[low]
    rows = [
        ("mean", decimals(statistics.fmean(found.values()))),
        ("lowest", f"{found[low]:.2f} ({low})"),
        ("highest", f"{found[high]:.2f} ({high})"),
        ("spread", decimals(spread)),
        ("SD over hospitals", decimals(statistics.stdev(found.values()))),
    ]
    return Section(
        "Fair to every hospital?",
        [
            f"The AUROC of the best and the worst served hospital differ by {spread:.2f}. "
            f"{_overlap(record, low, high)}",
            "A hospital's number depends on how difficult its own test scans are: a spread is a question, not a "
            "verdict.",
        ],
        [Table("AUROC of any bleeding over the hospitals", ("", "AUROC"), rows)],
    )


def _overlap(record: Record, low: str, high: str) -> str:
    tested = scores_of(record)
    one, other = tested[low].auroc_interval, tested[high].auroc_interval
    if one is None or other is None:
        return ""
    if one[1] >= other[0]:
        return "The intervals of the two overlap, so chance alone may explain it."
    return "The intervals of the two do not overlap: chance alone hardly explains it."


def calibration(record: Record) -> Section | None:
    """Whether the probabilities are as often true as they say; None for a record without bins."""
    bins = pool_bins([one.calibration for one in scores_of(record).values() if one.calibration])
    if not bins:
        return None
    points = reliability_points(bins)
    spoken = "; ".join(
        f"said {percent(guess)}, true of {percent(share)} of {scans} scans" for guess, share, scans in points
    )
    rows = [
        (f"{100 * one.low:.0f} to {percent(one.high)}", one.scans, percent(guess), percent(share))
        for one, (guess, share, _) in zip(bins, points, strict=True)
    ]
    return Section(
        "Do the probabilities mean what they say?",
        [
            "Of all scans to which the model gives 70 %, seven in ten should have a bleeding. All hospitals' test "
            "scans together, each evaluated with its hospital's model. A hospital sends means over groups of five "
            "scans or more; a hospital with fewer scans sends none."
        ],
        [Table("Reliability", ("the model says", "scans", "mean probability", "with a bleeding"), rows)],
        [
            picture(
                "calibration",
                f"Reliability diagram of any bleeding: {spoken}.",
                "Below the dashed line the model is too sure of a bleeding, above it not sure enough. A larger dot: "
                "more scans.",
                reliability({"this model": points}),
                3.4,
            )
        ],
    )


def confusion(record: Record) -> Section | None:
    """Right and wrong answers at the threshold; None for a record without them."""
    found = {site: one.confusion for site, one in scores_of(record).items() if one.confusion}
    if not found:
        return None
    total = Confusion.of_all(found.values())
    counts = [(site, (one.tp, one.fn, one.fp, one.tn)) for site, one in found.items()]
    sums = (total.tp, total.fn, total.fp, total.tn)
    head = ("found", "missed", "false alarms", "rightly passed")
    rows = [(site, *one) for site, one in [*counts, ("all", sums)]]
    return Section(
        "Right and wrong answers",
        [
            f"A probability of {percent(THRESHOLD)} or more counts as “bleeding”. Of {total.tp + total.fn} scans with "
            f"a bleeding {total.tp} were found and {total.fn} missed; of {total.fp + total.tn} without one, {total.fp} "
            "were false alarms. Another threshold trades one for the other."
        ],
        [Table("Test scans, any bleeding", ("hospital", *head), rows)],
        [
            picture(
                "right-and-wrong",
                f"Stacked bars by hospital; in all {total.tp} found, {total.fn} missed, {total.fp} false alarms, "
                f"{total.tn} rightly passed.",
                "Answers by hospital at this threshold.",
                stacks(counts, head, "test scans"),
                rows_high(len(counts), 1.1),
            )
        ],
    )
