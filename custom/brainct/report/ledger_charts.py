"""The pictures of one setting of a ledger's page; number: of the setting on the page, part of their file names."""

from collections.abc import Mapping, Sequence

from brainct.compare.design import BASELINE
from brainct.compare.ledger import Row
from brainct.compare.statistics import Difference, Place, mean_of
from brainct.pages.charts import MOST_ROWS, Dot, Line, curves, dots, reliability, rows_high, stacks
from brainct.pages.drawing import picture
from brainct.pages.picture import Picture
from brainct.pages.scatter import scatter
from brainct.report import wording
from brainct.report.ranking import BOUNDS, Groups, answers, bins, curve, leaders, middle, ranked, title
from brainct.report.sections.quality import pooled_bins
from brainct.report.wording import decimals

ANSWERS = ("found", "missed", "false alarms", "rightly passed")


def standings(place: Place, groups: Groups, gaps: Mapping[str, Difference], number: int) -> list[Picture]:
    """Dots and whiskers: each method's AUROC, and its difference to the baseline."""
    order = ranked(groups)
    means = {name: mean_of([row.mean() for row in groups[name]]) for name in order}
    rows = [Dot(name, found.mean, found.interval) for name, found in means.items() if found]
    bounds = {name: score for name in BOUNDS if name in groups and (score := middle(groups[name])) is not None}
    spoken = "; ".join(f"{row.label} {decimals(row.value, 3)}" for row in rows[:40])
    spoken += "".join(f"; {name} {value:.3f}" for name, value in bounds.items())
    drawn = [
        picture(
            f"leaderboard-{number}",
            f"Dot plot of the mean test AUROC by method in {title(place)}, best first: {spoken}.",
            f"{title(place)}: AUROC of any bleeding, mean over hospitals and seeds; whiskers: 95 % interval over "
            f"seeds.{_cut(rows)}",
            dots(rows, "AUROC, test scans", bounds),
            rows_high(len(rows), 1.0),
        )
    ]
    if found := [Dot(name, gaps[name].mean, gaps[name].interval) for name in order if name in gaps]:
        spoken = "; ".join(f"{dot.label} {dot.value:+.3f}" for dot in found[:40])
        drawn.append(
            picture(
                f"differences-{number}",
                f"Dot plot of the paired difference in AUROC to {BASELINE} by method in {title(place)}: {spoken}.",
                f"{title(place)}: difference to {BASELINE}, seed by seed; a whisker that crosses 0 shows no "
                f"difference (before correction for the number of methods).{_cut(found)}",
                dots(found, f"AUROC minus {BASELINE}'s", {"no difference": 0.0}),
                rows_high(len(found), 1.0),
            )
        )
    return drawn


def _cut(rows: Sequence[Dot]) -> str:
    return f" The best {MOST_ROWS} of {len(rows)} methods." if len(rows) > MOST_ROWS else ""


def prices(place: Place, groups: Groups, number: int) -> list[Picture]:
    """Scatters: mean AUROC against traffic, and the worst hospital's against the mean."""
    order = ranked(groups)
    scores = {name: middle(groups[name]) or 0.0 for name in order}
    paid = [(name, kib, scores[name]) for name in order if (kib := middle(groups[name], lambda row: row.kib_per_site))]
    served = [(name, scores[name], worst) for name in order if (worst := middle(groups[name], Row.worst)) is not None]
    drawn = []
    if paid:
        drawn.append(
            picture(
                f"traffic-{number}",
                f"Scatter of mean AUROC against traffic by method in {title(place)}: "
                + "; ".join(f"{name} {value:.3f} at {kib:,.0f} KiB" for name, kib, value in paid[:40])
                + ".",
                f"{title(place)}: what accuracy costs in traffic. Up and to the left is better. {_NAMED}",
                scatter(paid, "KiB a hospital over the run", "mean AUROC", log=True),
                3.4,
            )
        )
    if served:
        drawn.append(
            picture(
                f"fairness-{number}",
                f"Scatter of the worst hospital's AUROC against the mean by method in {title(place)}: "
                + "; ".join(f"{name} mean {mean:.3f}, worst {worst:.3f}" for name, mean, worst in served[:40])
                + ".",
                f"{title(place)}: the worst served hospital against the mean. Higher is fairer. {_NAMED}",
                scatter(served, "mean AUROC over hospitals", "AUROC at the worst hospital"),
                3.4,
            )
        )
    return drawn


_NAMED = "Where dots crowd only some have their names; the table has all."


def learning(place: Place, groups: Groups, number: int) -> list[Picture]:
    """Validation AUROC over the rounds and over the bytes; the leaders by name, the other methods as thin lines."""
    strong = leaders(groups)
    thin = [name for name in ranked(groups) if name not in strong]
    found = {name: points for name in (*strong, *thin) if (points := curve(groups[name]))}
    if not found:
        return []
    drawn = []
    for kind, at, x in (("rounds", 0, "rounds closed"), ("bytes", 1, "MiB a hospital so far")):
        end = max((points[-1][at] for name, points in found.items() if name in strong), default=float("inf"))
        lines = [
            Line(name, [(one[at] / (1024 if at else 1), one[2]) for one in points if one[at] <= end], name in strong)
            for name, points in found.items()
        ]
        spoken = "; ".join(
            f"{line.label} ends at {decimals(line.points[-1][1])} with {line.points[-1][0]:.4g}"
            for line in lines
            if line.strong
        )
        drawn.append(
            picture(
                f"validation-by-{kind}-{number}",
                f"Validation AUROC against {x} in {title(place)}: {spoken}.",
                f"{title(place)}: validation AUROC, mean over hospitals and seeds. Named: the best on the test scans, "
                f"and {BASELINE}. Thin: the others, as far as that.",
                curves(lines, x, "validation AUROC", whole=not at),
                3.0,
            )
        )
    return drawn


def calibration(place: Place, groups: Groups, number: int) -> Picture | None:
    """Reliability of the best method and of the baseline."""
    found = {name: pooled_bins(bins(groups[name])) for name in leaders(groups, 1)}
    models = {
        name: [(one.mean_probability or 0.0, one.positives / one.scans, one.scans) for one in each]
        for name, each in found.items()
        if each
    }
    if not models:
        return None
    spoken = ". ".join(
        f"{name}: "
        + "; ".join(f"said {wording.percent(guess)}, true of {wording.percent(share)}" for guess, share, _ in points)
        for name, points in models.items()
    )
    return picture(
        f"calibration-{number}",
        f"Reliability diagram of any bleeding in {title(place)}. {spoken}.",
        f"{title(place)}: what the models say and how often it is true, all hospitals' test scans and all seeds "
        "together. Below the dashed line a model is too sure of a bleeding. A larger dot: more scans.",
        reliability(models),
        3.4,
    )


def confusion(place: Place, groups: Groups, number: int) -> Picture | None:
    """Right and wrong answers of the leaders as stacked bars."""
    rows = [
        (name, (given.tp, given.fn, given.fp, given.tn))
        for name in leaders(groups)
        if (given := answers(groups[name])) is not None
    ]
    if not rows:
        return None
    spoken = "; ".join(
        f"{name} {', '.join(f'{count} {kind}' for count, kind in zip(counts, ANSWERS, strict=True))}"
        for name, counts in rows
    )
    return picture(
        f"confusion-{number}",
        f"Stacked bars of right and wrong answers by method in {title(place)}: {spoken}.",
        f"{title(place)}: answers on the test scans of all hospitals and seeds; the best methods and {BASELINE}.",
        stacks(rows, ANSWERS, "answers"),
        rows_high(len(rows), 1.1),
    )
