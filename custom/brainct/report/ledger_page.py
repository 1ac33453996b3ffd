"""The page of a ledger: which method is better than FedAvg, by how much, how sure, at what price, for whom."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from brainct.compare.design import BASELINE
from brainct.compare.ledger import Row, once
from brainct.compare.markdown import unseen
from brainct.compare.statistics import Difference, Mean, Place, at_equal_bytes, compared, gains, mean_of, reported
from brainct.ct.metrics import THRESHOLD
from brainct.pages.page import Page, Section, Table
from brainct.report import wording
from brainct.report.ledger_charts import ANSWERS, calibration, confusion, learning, prices, standings
from brainct.report.ranking import BOUNDS, Groups, answers, leaders, middle, ranked, title
from brainct.report.run_folder import cleaned
from brainct.report.wording import counted, decimals, listing

SURE = 0.05
"""The corrected p under which a difference is spoken of."""

MOST_PLACES = 4
"""Federations and budgets with pictures of their own; the summary has all."""

Gaps = Mapping[str, Difference]


def ledger_page(rows: Sequence[Row], path: Path) -> Page:
    """All that a ledger tells, aggregated: the page does not grow with the number of runs."""
    rows = once([Row.model_validate(cleaned(row.model_dump())) for row in rows])
    found = reported(rows)
    gaps = {place: compared(groups, BASELINE) for place, groups in found.items()}
    shown = list(found)[:MOST_PLACES]
    parts = [
        _summary(found, gaps),
        *(part for number, place in enumerate(shown, 1) for part in _place(place, found[place], gaps[place], number)),
        _convergence(found),
        _failures(rows),
        Section("Definitions", terms=_DEFINITIONS | wording.DEFINITIONS),
    ]
    first = shown[0] if shown else None
    return Page(
        title=f"{counted(len(_methods(found)), 'method')} compared",
        subtitle=f"{counted(len(rows), 'run')} in “{path.name}”",
        warnings=_warnings(rows),
        answers=_answers(rows, found, gaps),
        first=Section("In short", pictures=[] if first is None else standings(first, found[first], gaps[first], 1)),
        sections=[part for part in parts if part is not None],
        footer=f"Made from {path.name} by brainct. {wording.NOT_A_DEVICE}",
    )


def _methods(found: Mapping[Place, Groups]) -> list[str]:
    return list(dict.fromkeys(name for groups in found.values() for name in groups if name not in BOUNDS))


def _warnings(rows: Sequence[Row]) -> list[str]:
    said = []
    failed = sum(row.status == "failed" for row in rows)
    if not rows:
        said.append("The ledger holds no run.")
    if failed:
        said.append(f"{counted(failed, 'run')} of {len(rows)} failed and are left out of every number; see Failures.")
    if rows and all(row.choices.get("data") == "phantom" for row in rows):
        said.append("Synthetic phantom scans, drawn by a program: these numbers say nothing about patients.")
    if len({row.code for row in rows if row.status == "done"}) > len({row.scheme for row in rows}):
        said.append("The runs come from several versions of the software; see the ledger's `code`.")
    return said


def _answers(
    rows: Sequence[Row], found: Mapping[Place, Groups], gaps: Mapping[Place, Gaps]
) -> list[tuple[str, list[str]]]:
    seeds = [len(of) for groups in found.values() for of in groups.values()]
    repeats = f"{min(seeds)} to {max(seeds)}" if len(set(seeds)) > 1 else str(seeds[0]) if seeds else "no"
    what = [
        f"{counted(len(_methods(found)), 'method')} of training together: {listing(_methods(found), 12)}.",
        f"{counted(len(found), 'setting')} (a federation of hospitals and a number of rounds), {repeats} repetitions "
        "with "
        f"other seeds in each.",
    ]
    if not found:
        return [("What was compared?", ["Nothing: no run has come to its end."])]
    place = next(iter(found))
    where = f"In {title(place)}: "
    return [
        ("What was compared?", what),
        ("Which method is best?", _best(place, found[place], gaps[place])),
        ("Is training together worth it?", _worth(where, found[place])),
        ("How sure is that?", _sure(found, gaps)),
        ("Is every hospital served?", _served(where, found[place])),
        ("What does it cost?", _cost(where, found[place])),
    ]


def _best(place: Place, groups: Groups, gaps: Gaps) -> list[str]:
    order = ranked(groups)
    if not order:
        return ["No method has a score."]
    said = [f"In {title(place)}, {order[0]} has the highest mean AUROC, {decimals(middle(groups[order[0]]))}."]
    if BASELINE not in groups:
        return [*said, f"Without {BASELINE} in the ledger nothing is said of differences."]
    return [*said, *_verdicts(gaps)]


def _verdicts(gaps: Gaps) -> list[str]:
    sure = {name: gap for name, gap in gaps.items() if gap.corrected is not None and gap.corrected < SURE}
    better = [name for name, gap in sure.items() if gap.mean > 0 and name not in BOUNDS]
    worse = [name for name, gap in sure.items() if gap.mean < 0 and name not in BOUNDS]
    said = [f"Better than {BASELINE} beyond chance: {listing(better)}."] if better else []
    said += [f"Worse beyond chance: {listing(worse)}."] if worse else []
    return said or [f"No method differs from {BASELINE} beyond chance."]


def _worth(where: str, groups: Groups) -> list[str]:
    known = {name: middle(groups[name]) for name in (*BOUNDS, BASELINE) if name in groups}
    parts = [
        f"{text} {decimals(known[name])}"
        for name, text in (("alone", "each hospital alone reaches"), (BASELINE, f"together ({BASELINE})"),
                           ("pooled", "with all scans in one place"))
        if known.get(name) is not None
    ]  # fmt: skip
    return [f"{where}{'; '.join(parts)} (mean AUROC)."] if parts else ["Neither bound is in the ledger."]


def _sure(found: Mapping[Place, Groups], gaps: Mapping[Place, Gaps]) -> list[str]:
    fewest = min(len(rows) for groups in found.values() for rows in groups.values())
    total = sum(gap.corrected is not None and gap.corrected < SURE for of in gaps.values() for gap in of.values())
    tested = sum(len(of) for of in gaps.values())
    said = [
        f"Differences are taken seed by seed on the same scans; {total} of {tested} are beyond chance after correction "
        f"for the number of methods."
    ]
    if fewest < 6:
        said.append(f"Some methods have only {counted(fewest, 'seed')}: that can't show any difference.")
    return said


def _served(where: str, groups: Groups) -> list[str]:
    order = ranked(groups)
    worst = {name: value for name in order if (value := middle(groups[name], Row.worst)) is not None}
    if not worst:
        return ["No hospital has a score."]
    best = max(worst, key=worst.__getitem__)
    said = [f"{where}the worst served hospital fares best with {best}: its AUROC is {worst[best]:.2f} in the mean."]
    if BASELINE in worst and best != BASELINE:
        said.append(f"With {BASELINE} it is {worst[BASELINE]:.2f}.")
    return said


def _cost(where: str, groups: Groups) -> list[str]:
    cost = {name: value for name in ranked(groups) if (value := middle(groups[name], lambda row: row.kib_per_site))}
    if not cost:
        return ["Traffic is not in the ledger."]
    least, most = min(cost, key=cost.__getitem__), max(cost, key=cost.__getitem__)
    return [
        f"{where}from {wording.size(1024 * cost[least])} a hospital ({least}) to {wording.size(1024 * cost[most])} "
        f"({most}) "
        f"over a whole run."
    ]


def _summary(found: Mapping[Place, Groups], gaps: Mapping[Place, Gaps]) -> Section | None:
    rows: list[tuple[str | int, ...]] = []
    for place, groups in list(found.items())[:60]:
        order = ranked(groups)
        sure = sum(gap.corrected is not None and gap.corrected < SURE for gap in gaps[place].values())
        rows.append(
            (
                title(place),
                len(order),
                f"{order[0]} {decimals(middle(groups[order[0]]))}" if order else "–",
                *(decimals(middle(groups.get(name, []))) for name in (BASELINE, *BOUNDS)),
                sure,
            )
        )
    if not rows:
        return None
    head = ("setting", "methods", "best, mean AUROC", BASELINE, "alone", "pooled", "differences beyond chance")
    notes = [f"{len(found) - 60} more settings are in the ledger only."] if len(found) > 60 else []
    notes += [f"Pictures and tables follow for the first {MOST_PLACES}."] if len(found) > MOST_PLACES else []
    return Section("All settings", tables=[Table("Mean AUROC of any bleeding, test scans", head, rows)], notes=notes)


def _place(place: Place, groups: Groups, gaps: Gaps, number: int) -> list[Section]:
    pictures = [] if number == 1 else standings(place, groups, gaps, number)
    order = [*ranked(groups), *(name for name in BOUNDS if name in groups)]
    head = ("method", "seeds", "AUROC, 95 % interval", f"minus {BASELINE}, 95 % interval", "p, Holm", "worst hospital",
            "unseen hospital", "Brier", "ECE", "KiB a hospital", "CPU s")  # fmt: skip
    rows = [_line(name, groups[name], gaps.get(name)) for name in order[:60]]
    learned, answered = _learned(place, groups, number), _answered(place, groups, number)
    return [
        Section(
            f"Setting: {title(place)}",
            tables=[Table("Means over hospitals, then over seeds; the best on top", head, rows)],
            pictures=[*pictures, *prices(place, groups, number)],
            notes=[] if learned else ["The ledger holds no validation scores: no curves, no scores at equal bytes."],
        ),
        *(part for part in (learned, answered) if part is not None),
    ]


def _learned(place: Place, groups: Groups, number: int) -> Section | None:
    drawn = learning(place, groups, number)
    if not drawn:
        return None
    budgets, found = at_equal_bytes(groups, BASELINE)
    rows = [(name, *map(_mean_and_sd, found[name])) for name in ranked(groups) if name in found]
    head = ("method", *(f"{wording.size(1024 * kib)} a hospital" for kib in budgets))
    said = (
        f"A quarter, half and all of what {BASELINE} sends and receives; mean over hospitals, then over seeds, ± SD "
        "over seeds; a dash: not evaluated with so little"
    )
    return Section(
        f"Learning and bytes: {title(place)}",
        tables=[Table(f"Validation AUROC at equal bytes. {said}", head, rows[:60])] if rows else [],
        pictures=drawn,
    )


def _mean_and_sd(mean: Mean | None) -> str:
    if mean is None:
        return "–"
    return f"{mean.mean:.3f}" + (f" ± {mean.sd:.3f}" if mean.sd is not None else "")


def _answered(place: Place, groups: Groups, number: int) -> Section | None:
    drawn = [one for one in (calibration(place, groups, number), confusion(place, groups, number)) if one is not None]
    if not drawn:
        return None
    head = ("method", *ANSWERS, "sensitivity", "specificity")
    rows = [
        (name, given.tp, given.fn, given.fp, given.tn, _share(given.tp, given.fn), _share(given.tn, given.fp))
        for name in leaders(groups)
        if (given := answers(groups[name])) is not None
    ]
    return Section(
        f"Right and wrong answers: {title(place)}",
        [f"A probability of {wording.percent(THRESHOLD)} or more counts as “bleeding”."],
        [Table(f"Answers of all hospitals and seeds; the best methods and {BASELINE}", head, rows)],
        drawn,
    )


def _share(right: int, wrong: int) -> str:
    return decimals(right / (right + wrong)) if right + wrong else "–"


def _line(name: str, rows: Sequence[Row], gap: Difference | None) -> tuple[str | int, ...]:
    auroc = mean_of([row.mean() for row in rows])
    grid = "".join(f", {key} {value}" for key, value in rows[0].grid.items())
    return (
        f"{name}{grid}",
        len(rows),
        _with_interval(auroc),
        f"{gap.mean:+.3f} {_ends(gap.interval, '+.3f')}" if gap else "–",
        f"{gap.corrected:.3f}" if gap and gap.corrected is not None else "–",
        decimals(middle(rows, Row.worst)),
        decimals(middle(rows, unseen)),
        decimals(middle(rows, lambda row: row.mean("brier")), 3),
        decimals(middle(rows, lambda row: row.mean("ece")), 3),
        decimals(middle(rows, lambda row: row.kib_per_site), 0),
        decimals(middle(rows, lambda row: row.times.cpu), 0),
    )


def _with_interval(mean: Mean | None) -> str:
    return "–" if mean is None else f"{mean.mean:.3f} {_ends(mean.interval, '.3f')}".strip()


def _ends(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f"({interval[0]:{form}} to {interval[1]:{form}})"


def _convergence(found: Mapping[Place, Groups]) -> Section | None:
    rows = [
        (
            f"{name}, {federation}",
            f"{budget} to {longer}",
            f"{gain.mean:+.3f} {_ends(gain.interval, '+.3f')}",
            _verdict(gain),
        )
        for federation, name, budget, longer, gain in gains(found)
    ]
    if not rows:
        return Section(
            "Had they converged?",
            ["Each method ran with one number of rounds only, so nobody can say: a slower method may still be rising."],
        ) if found else None  # fmt: skip
    still = sum(row[-1] == "no" for row in rows)
    head = ("method, federation", "rounds, in multiples", "gain in AUROC, 95 % interval", "converged")
    notes = [f"{len(rows) - 80} further rows are left out."] if len(rows) > 80 else []
    return Section(
        "Had they converged?",
        [f"With more rounds {still} of {len(rows)} still gained beyond chance. Compare those at the larger budget."],
        [Table("What more rounds gave, seed by seed", head, rows[:80])],
        notes=notes,
    )


def _verdict(gain: Difference) -> str:
    if gain.interval is None:
        return "one seed can't say"
    return "no" if gain.interval[0] > 0 else "yes"


def _failures(rows: Sequence[Row]) -> Section | None:
    reasons = Counter((row.name, row.error or "no reason") for row in rows if row.status == "failed")
    if not reasons:
        return None
    lines = [(name, count, reason) for (name, reason), count in reasons.most_common(30)]
    return Section("Failures", tables=[Table("The commonest reasons", ("method", "runs", "reason"), lines)])


_DEFINITIONS = {
    "Setting": "A federation (hospitals x training scans at each, and in what they differ) and a number of rounds; all "
    "methods of a setting train for as long on the same scans.",
    "Difference": f"A method's mean AUROC over hospitals minus {BASELINE}'s with the same seed, so on the same scans "
    "and from the same first weights; then the mean over seeds.",
    "95 % interval over seeds": "Percentile bootstrap of the mean over seeds, widened for few seeds (Hesterberg, The "
    "American Statistician 69:371, 2015).",
    "p, Holm": "Two-sided sign-flip permutation test of the paired differences, corrected by Holm's method for all "
    f"methods of one setting. “Beyond chance” means less than {SURE:g}. n seeds can't give less than 2/2^n.",
    "Alone": "Each hospital trains on its own scans only, for as many steps.",
    "Pooled": "All hospitals' training scans in one place: what a federation hopes to come near to. Not allowed in "
    "practice; a bound.",
    "Equal bytes": f"What a hospital has received and sent so far, against what it does in a whole run of {BASELINE}; "
    "the AUROC is that of the last evaluation on validation scans up to there.",
    "Found, missed, false alarms, rightly passed": "Test scans with a bleeding at or above and below the threshold; "
    "scans without one at or above and below it. Sensitivity is found / (found + missed), specificity rightly passed / "
    "(rightly passed + false alarms). Where hospitals share test scans, each answers for itself.",
    "Worst hospital": "The lowest AUROC among the hospitals of a run, then the mean over seeds.",
    "Unseen hospital": "A hospital that took no part, tested with the model that it would be given.",
    "Converged": "With more rounds the same seeds gained nothing beyond chance: the interval of the gain reaches 0.",
    "Tuned arguments": "Where a method has a grid, its point was chosen on validation scans, and only its test scores "
    "are shown.",
}
