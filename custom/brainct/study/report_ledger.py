"""The page of a ledger: which method is better than FedAvg, by how much, how sure, at what price, for whom."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from brainct.study import words
from brainct.study.design import BASELINE
from brainct.study.ledger import Row, once
from brainct.study.page import Page, Section, Table
from brainct.study.pictures import Dot, Picture, dots, picture, rows_high, scatter
from brainct.study.runfolder import cleaned
from brainct.study.statistics import Difference, Mean, Place, compared, converged, mean_of, reported
from brainct.study.words import counted, decimals, listing

BOUNDS = ("alone", "pooled")
"""Rows that are no methods: what a hospital reaches by itself, and what one place with all scans would."""

SURE = 0.05
"""The corrected p under which a difference is spoken of."""

MOST_PLACES = 6
"""Federations and budgets with pictures of their own; the summary has all."""

Groups = Mapping[str, Sequence[Row]]
Gaps = Mapping[str, Difference]


def ledger_page(rows: Sequence[Row], path: Path) -> Page:
    """All that a ledger tells, aggregated: the page does not grow with the number of runs."""
    rows = once([Row.model_validate(cleaned(row.model_dump())) for row in rows])
    found = reported(rows)
    gaps = {place: compared(groups, BASELINE) for place, groups in found.items()}
    shown = list(found)[:MOST_PLACES]
    parts = [
        _summary(found, gaps),
        *(_place(place, found[place], gaps[place], number) for number, place in enumerate(shown, 1)),
        _convergence(found),
        _failures(rows),
        Section("Definitions", terms=_DEFINITIONS | words.DEFINITIONS),
    ]
    first = shown[0] if shown else None
    return Page(
        title=f"{counted(len(_methods(found)), 'method')} compared",
        subtitle=f"{counted(len(rows), 'run')} in “{path.name}”",
        warnings=_warnings(rows),
        answers=_answers(rows, found, gaps),
        first=Section("In short", pictures=[] if first is None else _leaders(first, found[first], gaps[first], 1)),
        sections=[part for part in parts if part is not None],
        footer=f"Made from {path.name} by brainct. {words.NOT_A_DEVICE}",
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
    where = f"In {_title(place)}: "
    return [
        ("What was compared?", what),
        ("Which method is best?", _best(place, found[place], gaps[place])),
        ("Is training together worth it?", _worth(where, found[place])),
        ("How sure is that?", _sure(found, gaps)),
        ("Is every hospital served?", _served(where, found[place])),
        ("What does it cost?", _cost(where, found[place])),
    ]


def _middle(rows: Sequence[Row], value: Callable[[Row], float | None] = Row.mean) -> float | None:
    known = [number for row in rows if (number := value(row)) is not None]
    return statistics.fmean(known) if known else None


def _ranked(groups: Groups) -> list[str]:
    """Methods with a score, the best first."""
    scored = {name: middle for name, rows in groups.items() if (middle := _middle(rows)) is not None}
    return sorted((name for name in scored if name not in BOUNDS), key=lambda name: (-scored[name], name))


def _best(place: Place, groups: Groups, gaps: Gaps) -> list[str]:
    order = _ranked(groups)
    if not order:
        return ["No method has a score."]
    said = [f"In {_title(place)}, {order[0]} has the highest mean AUROC, {decimals(_middle(groups[order[0]]))}."]
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
    known = {name: _middle(groups[name]) for name in (*BOUNDS, BASELINE) if name in groups}
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
    order = _ranked(groups)
    worst = {name: value for name in order if (value := _middle(groups[name], Row.worst)) is not None}
    if not worst:
        return ["No hospital has a score."]
    best = max(worst, key=worst.__getitem__)
    said = [f"{where}the worst served hospital fares best with {best}: its AUROC is {worst[best]:.2f} in the mean."]
    if BASELINE in worst and best != BASELINE:
        said.append(f"With {BASELINE} it is {worst[BASELINE]:.2f}.")
    return said


def _cost(where: str, groups: Groups) -> list[str]:
    cost = {name: value for name in _ranked(groups) if (value := _middle(groups[name], lambda row: row.kib_per_site))}
    if not cost:
        return ["Traffic is not in the ledger."]
    least, most = min(cost, key=cost.__getitem__), max(cost, key=cost.__getitem__)
    return [
        f"{where}from {words.size(1024 * cost[least])} a hospital ({least}) to {words.size(1024 * cost[most])} "
        f"({most}) "
        f"over a whole run."
    ]


def _summary(found: Mapping[Place, Groups], gaps: Mapping[Place, Gaps]) -> Section | None:
    rows: list[tuple[str | int, ...]] = []
    for place, groups in list(found.items())[:60]:
        order = _ranked(groups)
        sure = sum(gap.corrected is not None and gap.corrected < SURE for gap in gaps[place].values())
        rows.append(
            (
                _title(place),
                len(order),
                f"{order[0]} {decimals(_middle(groups[order[0]]))}" if order else "–",
                *(decimals(_middle(groups.get(name, []))) for name in (BASELINE, *BOUNDS)),
                sure,
            )
        )
    if not rows:
        return None
    head = ("setting", "methods", "best, mean AUROC", BASELINE, "alone", "pooled", "differences beyond chance")
    notes = [f"{len(found) - 60} more settings are in the ledger only."] if len(found) > 60 else []
    notes += [f"Pictures and tables follow for the first {MOST_PLACES}."] if len(found) > MOST_PLACES else []
    return Section("All settings", tables=[Table("Mean AUROC of any bleeding, test scans", head, rows)], notes=notes)


def _title(place: Place) -> str:
    federation, budget = place
    return federation if budget == 1 else f"{federation}, {budget} times the rounds"


def _place(place: Place, groups: Groups, gaps: Gaps, number: int) -> Section:
    pictures = [] if number == 1 else _leaders(place, groups, gaps, number)
    order = [*_ranked(groups), *(name for name in BOUNDS if name in groups)]
    head = ("method", "seeds", "AUROC, 95 % interval", f"minus {BASELINE}, 95 % interval", "p, Holm", "worst hospital",
            "unseen hospital", "Brier", "ECE", "KiB a hospital", "CPU s")  # fmt: skip
    rows = [_line(name, groups[name], gaps.get(name)) for name in order[:60]]
    return Section(
        f"Setting: {_title(place)}",
        tables=[Table("Means over hospitals, then over seeds; the best on top", head, rows)],
        pictures=[*pictures, *_prices(place, groups, number)],
    )


def _line(name: str, rows: Sequence[Row], gap: Difference | None) -> tuple[str | int, ...]:
    auroc = mean_of([row.mean() for row in rows])
    grid = "".join(f", {key} {value}" for key, value in rows[0].grid.items())
    return (
        f"{name}{grid}",
        len(rows),
        _with_interval(auroc),
        f"{gap.mean:+.3f} {_ends(gap.interval, '+.3f')}" if gap else "–",
        f"{gap.corrected:.3f}" if gap and gap.corrected is not None else "–",
        decimals(_middle(rows, Row.worst)),
        decimals(_middle(rows, unseen)),
        decimals(_middle(rows, lambda row: row.mean("brier")), 3),
        decimals(_middle(rows, lambda row: row.mean("ece")), 3),
        decimals(_middle(rows, lambda row: row.kib_per_site), 0),
        decimals(_middle(rows, lambda row: row.times.cpu), 0),
    )


def unseen(row: Row) -> float | None:
    """AUROC of any bleeding at the hospital outside the federation."""
    value = (row.unseen or {}).get("any", {}).get("auroc")
    return None if value is None else float(value)


def _with_interval(mean: Mean | None) -> str:
    return "–" if mean is None else f"{mean.mean:.3f} {_ends(mean.interval, '.3f')}".strip()


def _ends(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f"({interval[0]:{form}} to {interval[1]:{form}})"


def _leaders(place: Place, groups: Groups, gaps: Gaps, number: int) -> list[Picture]:
    order = _ranked(groups)
    means = {name: mean_of([row.mean() for row in groups[name]]) for name in order}
    rows = [Dot(name, found.mean, found.interval) for name, found in means.items() if found]
    lines = {name: middle for name in BOUNDS if name in groups and (middle := _middle(groups[name])) is not None}
    spoken = "; ".join(f"{row.label} {decimals(row.value, 3)}" for row in rows[:40])
    spoken += "".join(f"; {name} {value:.3f}" for name, value in lines.items())
    drawn = [
        picture(
            f"leaderboard-{number}",
            f"Dot plot of the mean test AUROC by method in {_title(place)}, best first: {spoken}.",
            f"{_title(place)}: AUROC of any bleeding, mean over hospitals and seeds; whiskers: 95 % interval over "
            "seeds.",
            dots(rows, "AUROC, test scans", lines),
            rows_high(len(rows), 1.0),
        )
    ]
    ordered = [name for name in order if name in gaps]
    if ordered:
        found = [Dot(name, gaps[name].mean, gaps[name].interval) for name in ordered]
        spoken = "; ".join(f"{dot.label} {dot.value:+.3f}" for dot in found[:40])
        drawn.append(
            picture(
                f"differences-{number}",
                f"Dot plot of the paired difference in AUROC to {BASELINE} by method in {_title(place)}: {spoken}.",
                f"{_title(place)}: difference to {BASELINE}, seed by seed; a whisker that crosses 0 shows no "
                "difference "
                "(before correction for the number of methods).",
                dots(found, f"AUROC minus {BASELINE}'s", {"no difference": 0.0}),
                rows_high(len(found), 1.0),
            )
        )
    return drawn


def _prices(place: Place, groups: Groups, number: int) -> list[Picture]:
    paid = [
        (name, kib, middle)
        for name in _ranked(groups)
        if (kib := _middle(groups[name], lambda row: row.kib_per_site))
        and (middle := _middle(groups[name])) is not None
    ]
    served = [
        (name, middle, worst)
        for name in _ranked(groups)
        if (middle := _middle(groups[name])) is not None and (worst := _middle(groups[name], Row.worst)) is not None
    ]
    drawn = []
    if paid:
        drawn.append(
            picture(
                f"traffic-{number}",
                f"Scatter of mean AUROC against traffic by method in {_title(place)}: "
                + "; ".join(f"{name} {value:.3f} at {kib:,.0f} KiB" for name, kib, value in paid[:40])
                + ".",
                f"{_title(place)}: what accuracy costs in traffic. Up and to the left is better.",
                scatter(paid, "KiB a hospital over the run", "mean AUROC", log=True),
                3.4,
            )
        )
    if served:
        drawn.append(
            picture(
                f"fairness-{number}",
                f"Scatter of the worst hospital's AUROC against the mean by method in {_title(place)}: "
                + "; ".join(f"{name} mean {mean:.3f}, worst {worst:.3f}" for name, mean, worst in served[:40])
                + ".",
                f"{_title(place)}: the worst served hospital against the mean. Higher is fairer.",
                scatter(served, "mean AUROC over hospitals", "AUROC at the worst hospital"),
                3.4,
            )
        )
    return drawn


def _convergence(found: Mapping[Place, Groups]) -> Section | None:
    rows = []
    for (federation, budget), groups in found.items():
        longer = min((more for name, more in found if name == federation and more > budget), default=None)
        for name, of in groups.items() if longer else ():
            gain = converged(of, found[federation, longer].get(name, []))  # type: ignore[index]
            if gain:
                rows.append(
                    (
                        f"{name}, {federation}",
                        f"{budget} to {longer}",
                        f"{gain.mean:+.3f} {_ends(gain.interval, '+.3f')}",
                        _verdict(gain),
                    )
                )
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
    "Worst hospital": "The lowest AUROC among the hospitals of a run, then the mean over seeds.",
    "Unseen hospital": "A hospital that took no part, tested with the model that it would be given.",
    "Converged": "With more rounds the same seeds gained nothing beyond chance: the interval of the gain reaches 0.",
    "Tuned arguments": "Where a method has a grid, its point was chosen on validation scans, and only its test scores "
    "are shown.",
}
