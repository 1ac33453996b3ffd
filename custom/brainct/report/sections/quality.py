"""The parts of a run's page on its scores: curves, hospitals, fairness, calibration, right and wrong answers."""

import statistics
from collections.abc import Sequence

from brainct.ct.folds import FINDINGS
from brainct.ct.metrics import THRESHOLD
from brainct.pages.charts import Dot, Line, curves, dots, reliability, rows_high, stacks
from brainct.pages.drawing import picture
from brainct.pages.page import Section, Table
from brainct.pages.picture import Picture
from brainct.report import wording
from brainct.report.run_folder import Bin, Confusion, Record, Round, aurocs, everyone, mean, mean_curve, scores_of
from brainct.report.wording import ANY, decimals


def by_hospital(record: Record) -> Picture:
    """Dots and whiskers, the lowest hospital on top, those without a score below."""
    tested = scores_of(record)
    order = sorted(tested, key=lambda site: (tested[site].auroc is None, tested[site].auroc or 0.0, site))
    rows = [Dot(site, tested[site].auroc, tested[site].auroc_interval, tested[site].reason or "") for site in order]
    middle = mean(list(aurocs(record).values()))
    lines = {"chance": 0.5} | ({"mean over hospitals": middle} if middle is not None else {})
    whiskers = "whiskers: 95 % interval" if any(row.interval for row in rows) else "the record holds no intervals"
    spoken = "; ".join(f"{row.label} {decimals(row.value) if row.value is not None else row.note}" for row in rows[:40])
    cut = f" The {len(rows[:40])} lowest of {len(rows)} hospitals." if len(rows) > 40 else ""
    return picture(
        "auroc-by-hospital",
        f"Dot plot of the test AUROC of any bleeding by hospital, lowest first: {spoken}.",
        f"How well the model separates scans with a bleeding from scans without, at each hospital ({whiskers}).{cut}",
        dots(rows, "AUROC of any bleeding, test scans", lines, (_floor(rows), 1.02)),
        rows_high(len(rows), 1.0),
    )


def _floor(rows: Sequence[Dot]) -> float:
    ends = [end for row in rows if row.value is not None for end in (row.value, *(row.interval or ()))]
    return min(0.45, *(end - 0.03 for end in ends)) if ends else 0.45


def by_finding(record: Record) -> Picture:
    """Dots and ranges over the hospitals, a row for each finding."""
    kinds = {name: list(aurocs(record, name).values()) for name in FINDINGS}
    rows = [
        Dot(
            wording.finding(name),
            mean(found),
            (min(found), max(found)) if found else None,
            "no hospital has both classes",
        )
        for name, found in kinds.items()
    ]
    spoken = "; ".join(f"{row.label} {decimals(row.value)}" for row in rows)
    return picture(
        "auroc-by-finding",
        f"Dot plot of the mean test AUROC over hospitals by finding: {spoken}.",
        "By kind of bleeding: mean over the hospitals whose test scans hold both classes; the line reaches from the "
        "lowest hospital to the highest.",
        dots(rows, "AUROC, test scans", {"chance": 0.5}, (_floor(rows), 1.02)),
        rows_high(len(rows), 1.0),
    )


def learning(record: Record) -> Section | None:
    if not record.rounds:
        return None
    drawn = []
    by_site = {
        site: [
            (row.round + 1.0, row.validation[site][ANY].auroc)
            for row in record.rounds
            if ANY in row.validation.get(site, {})
        ]
        for site in sorted(record.sites)
    }
    final = mean_curve(record)
    if final:
        last = (
            f"{decimals(final[0][1])} after round {final[0][0]:.0f}, {decimals(final[-1][1])} after {final[-1][0]:.0f}"
        )
        drawn.append(
            picture(
                "validation-auroc",
                f"Validation AUROC over the rounds, one thin line a hospital; the mean over hospitals is {last}.",
                "Validation AUROC of any bleeding. Thin lines: hospitals. Thick: their mean.",
                curves(
                    [
                        *(Line(site, points) for site, points in by_site.items()),
                        Line("mean over hospitals", final, True),
                    ],
                    "rounds closed",
                    "validation AUROC",
                ),
            )
        )
    losses = {
        site: [(row.round + 1.0, row.metrics.get(site, {}).get("loss")) for row in record.rounds]
        for site in everyone(record)
    }
    means = [(row.round + 1.0, mean(_losses(row))) for row in record.rounds]
    known = [value for _, value in means if value is not None]
    if known:
        drawn.append(
            picture(
                "training-loss",
                f"Training loss over the rounds, one thin line a hospital; the mean goes from {known[0]:.3f} to "
                f"{known[-1]:.3f}.",
                "Training loss. Thin lines: hospitals, with a gap where one was missing. Thick: their mean.",
                curves(
                    [
                        *(Line(site, points) for site, points in losses.items()),
                        Line("mean over hospitals", means, True),
                    ],
                    "rounds closed",
                    "training loss",
                ),
            )
        )
    text = [] if final else ["The model was not evaluated on validation scans while it was trained."]
    return Section("While it learned", text, pictures=drawn)


def _losses(row: Round) -> list[float]:
    return [values["loss"] for values in row.metrics.values() if values.get("loss") is not None]  # type: ignore[misc]


def quality(record: Record) -> Section | None:
    if not record.test:
        return None
    tested = scores_of(record)
    rows = [
        (
            site,
            f"{one.positives} / {one.negatives}",
            decimals(one.auroc) if one.auroc is not None else f"– ({one.reason or 'not sent'})",
            wording.interval(one.auroc_interval) or "–",
            decimals(one.balanced_accuracy),
            decimals(one.sensitivity_at_90_specificity),
            decimals(one.brier, 3),
            decimals(one.ece, 3),
        )
        for site, one in tested.items()
    ]
    head = ("hospital", "with / without bleeding", "AUROC", "95 % interval", "balanced accuracy",
            "sensitivity at 90 % specificity", "Brier", "ECE")  # fmt: skip
    kinds = {name: aurocs(record, name) for name in FINDINGS}
    by_kind = [
        (
            wording.finding(name),
            f"{sum(one.positives for one in scores_of(record, name).values())}",
            f"{len(found)} of {len(record.test)}",
            decimals(mean(list(found.values()))),
            f"{min(found.values()):.2f} to {max(found.values()):.2f}" if found else "–",
        )
        for name, found in kinds.items()
    ]
    return Section(
        "How good, hospital by hospital",
        ["Test scans only. Where a hospital's test scans are all of one class, most scores are not defined: a dash."],
        [
            Table("Any bleeding, test scans", head, rows),
            Table(
                "By kind of bleeding",
                ("finding", "scans with it", "hospitals with both classes", "mean AUROC", "lowest to highest"),
                by_kind,
            ),
        ],
    )


def fairness(record: Record) -> Section | None:
    found = aurocs(record)
    if len(found) < 2:
        return None
    low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    rows = [
        ("mean", decimals(statistics.fmean(found.values()))),
        ("lowest", f"{found[low]:.2f} ({low})"),
        ("highest", f"{found[high]:.2f} ({high})"),
        ("spread", decimals(found[high] - found[low])),
        ("SD over hospitals", decimals(statistics.stdev(found.values()))),
    ]
    overlap = _overlap(record, low, high)
    return Section(
        "Fair to every hospital?",
        [
            f"Between the best and the worst served hospital lie {found[high] - found[low]:.2f} of AUROC. {overlap}",
            "A hospital's number depends on how hard its own test scans are, so a spread is a question, not a verdict.",
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
    bins = pooled_bins([one.calibration for one in scores_of(record).values() if one.calibration])
    if not bins:
        return None
    points = [(one.mean_probability or 0.0, one.positives / one.scans, one.scans) for one in bins]
    spoken = "; ".join(
        f"said {wording.percent(guess)}, true of {wording.percent(share)} of {scans} scans"
        for guess, share, scans in points
    )
    rows = [
        (
            f"{100 * one.low:.0f} to {wording.percent(one.high)}",
            one.scans,
            wording.percent(guess),
            wording.percent(share),
        )
        for one, (guess, share, _) in zip(bins, points, strict=True)
    ]
    return Section(
        "Do the probabilities mean what they say?",
        [
            "Of all scans to which the model gives 70 %, seven in ten should have a bleeding. All hospitals' test "
            "scans "
            "together, each judged by its hospital's model. A hospital sends means over groups of five scans or more, "
            "and a hospital with fewer sends none."
        ],
        [Table("Reliability", ("the model says", "scans", "mean probability", "with a bleeding"), rows)],
        [
            picture(
                "calibration",
                f"Reliability diagram of any bleeding: {spoken}.",
                "Below the dashed line the model is too sure of a bleeding, above it not sure enough. A larger "
                "dot: more scans.",
                reliability({"this model": points}),
                3.4,
            )
        ],
    )  # fmt: skip


def pooled_bins(given: Sequence[Sequence[Bin]]) -> list[Bin]:
    """Several hospitals' reliability bins in tenths of their mean probability; tenths without a scan are left out."""
    found: dict[int, list[Bin]] = {}
    for one in (one for bins in given for one in bins if one.scans > 0 and one.mean_probability is not None):
        found.setdefault(min(9, int(10 * (one.mean_probability or 0.0))), []).append(one)
    return [_joined(tenth, found[tenth]) for tenth in sorted(found)]


def _joined(tenth: int, bins: Sequence[Bin]) -> Bin:
    scans, hits = sum(one.scans for one in bins), sum(one.positives for one in bins)
    total = sum((one.mean_probability or 0.0) * one.scans for one in bins)
    return Bin(low=tenth / 10, high=(tenth + 1) / 10, scans=scans, mean_probability=total / scans, positives=hits)


def confusion(record: Record) -> Section | None:
    found = {site: one.confusion for site, one in scores_of(record).items() if one.confusion}
    if not found:
        return None
    total = Confusion.of_all(found.values())
    rows = [(site, one.tp, one.fn, one.fp, one.tn) for site, one in found.items()]
    drawn = [(site, (one.tp, one.fn, one.fp, one.tn)) for site, one in found.items()]
    head = ("found", "missed", "false alarms", "rightly passed")
    return Section(
        "Right and wrong answers",
        [
            f"A probability of {wording.percent(THRESHOLD)} or more counts as “bleeding”. Of {total.tp + total.fn} scans "
            "with a "
            f"bleeding {total.tp} were found and {total.fn} missed; of {total.fp + total.tn} without one, {total.fp} "
            f"were false alarms. Another threshold trades one for the other.",
        ],
        [
            Table(
                "Test scans, any bleeding",
                ("hospital", *head),
                [*rows, ("all", total.tp, total.fn, total.fp, total.tn)],
            )
        ],
        [
            picture(
                "right-and-wrong",
                f"Stacked bars by hospital; in all {total.tp} found, {total.fn} missed, {total.fp} false alarms, "
                f"{total.tn} rightly passed.",
                "Answers by hospital at this threshold.",
                stacks(drawn, head, "test scans"),
                rows_high(len(drawn), 1.1),
            )
        ],
    )
