"""The pictures of one setting of a ledger's page; the setting's number is a part of their file names."""

from collections.abc import Sequence

from brainct.compare.comparison import BASELINE
from brainct.compare.run_row import RunRow
from brainct.compare.setting import BOUNDS, Setting
from brainct.pages.charts import MOST_ROWS, Dot, Line, curves, dots, reliability, rows_high, stacks
from brainct.pages.drawing import picture
from brainct.pages.picture import Picture
from brainct.pages.scatter import scatter
from brainct.pages.wording import decimals, percent
from brainct.report.ct.pooling import bins_of_runs, confusion_of_runs, pool_bins, reliability_points

ANSWERS = ("found", "missed", "false alarms", "rightly passed")
SPOKEN = 40
"""Schemes that the text of a picture names."""
CROWDED = "Where dots are close together, only some have their names; the table has all."


def standings(setting: Setting) -> list[Picture]:
    """Dots and whiskers: each scheme's score, and its difference to the baseline."""
    gaps = {name: setting.differences[name] for name in setting.schemes if name in setting.differences}
    rows = [Dot(name, gap.mean, gap.interval) for name, gap in gaps.items()]
    return [_leaderboard(setting), *([_differences(setting, rows)] if rows else [])]


def _leaderboard(setting: Setting) -> Picture:
    rows = [Dot(name, setting.means[name].mean, setting.means[name].interval) for name in setting.schemes]
    bounds = {name: setting.means[name].mean for name in BOUNDS if name in setting.means}
    spoken = "; ".join(f"{row.label} {decimals(row.value, 3)}" for row in rows[:SPOKEN])
    spoken += "".join(f"; {name} {value:.3f}" for name, value in bounds.items())
    return picture(
        f"leaderboard-{setting.number}",
        f"Dot plot of the mean test {setting.measure.title} by scheme in {setting.title}, best first: {spoken}.",
        f"{setting.title}: {setting.measure.title} of {setting.measure.subject}, mean over hospitals and seeds; "
        f"whiskers: 95 % interval over seeds.{_cut(rows)}",
        dots(rows, f"{setting.measure.title}, test scans", bounds),
        rows_high(len(rows), 1.0),
    )


def _differences(setting: Setting, rows: Sequence[Dot]) -> Picture:
    spoken = "; ".join(f"{row.label} {row.value:+.3f}" for row in rows[:SPOKEN])
    return picture(
        f"differences-{setting.number}",
        f"Dot plot of the paired difference in {setting.measure.title} to {BASELINE} by scheme in "
        f"{setting.title}: {spoken}.",
        f"{setting.title}: difference to {BASELINE}, seed by seed; a whisker that crosses 0 shows no difference "
        f"(before correction for the number of schemes).{_cut(rows)}",
        dots(rows, f"{setting.measure.title} minus {BASELINE}'s", {"no difference": 0.0}),
        rows_high(len(rows), 1.0),
    )


def _cut(rows: Sequence[Dot]) -> str:
    return f" The best {MOST_ROWS} of {len(rows)} schemes." if len(rows) > MOST_ROWS else ""


def prices(setting: Setting) -> list[Picture]:
    """Scatter plots: mean score against traffic, and the worst hospital's against the mean."""
    scores = {name: setting.means[name].mean for name in setting.schemes}
    traffic = {name: setting.middle(name, lambda row: row.kib_per_site) for name in scores}
    worst = {name: setting.middle(name, RunRow.worst) for name in scores}
    paid = [(name, kib, scores[name]) for name, kib in traffic.items() if kib]
    served = [(name, scores[name], value) for name, value in worst.items() if value is not None]
    return [*([_traffic(setting, paid)] if paid else []), *([_fairness(setting, served)] if served else [])]


def _traffic(setting: Setting, points: Sequence[tuple[str, float, float]]) -> Picture:
    spoken = "; ".join(f"{name} {value:.3f} at {kib:,.0f} KiB" for name, kib, value in points[:SPOKEN])
    return picture(
        f"traffic-{setting.number}",
        f"Scatter plot of mean {setting.measure.title} against traffic by scheme in {setting.title}: {spoken}.",
        f"{setting.title}: {setting.measure.title} and traffic. Up and to the left is better. {CROWDED}",
        scatter(points, "KiB a hospital over the run", f"mean {setting.measure.title}", log=True),
        3.4,
    )


def _fairness(setting: Setting, points: Sequence[tuple[str, float, float]]) -> Picture:
    spoken = "; ".join(f"{name} mean {mean:.3f}, worst {worst:.3f}" for name, mean, worst in points[:SPOKEN])
    return picture(
        f"fairness-{setting.number}",
        f"Scatter plot of the worst hospital's {setting.measure.title} against the mean by scheme in "
        f"{setting.title}: {spoken}.",
        f"{setting.title}: the worst served hospital against the mean. Higher is fairer. {CROWDED}",
        scatter(
            points, f"mean {setting.measure.title} over hospitals", f"{setting.measure.title} at the worst hospital"
        ),
        3.4,
    )


def learning(setting: Setting) -> list[Picture]:
    """Validation scores over the rounds and over the bytes; leaders by name, the other schemes as thin lines."""
    strong = setting.leaders()
    thin = [name for name in setting.schemes if name not in strong]
    points = {name: found for name in (*strong, *thin) if (found := setting.curve(name))}
    if not points:
        return []
    by_round = {name: [(float(at), value) for at, _, value in found] for name, found in points.items()}
    by_bytes = {name: [(kib / 1024, value) for _, kib, value in found] for name, found in points.items()}
    return [
        _learning(setting, "rounds", "rounds closed", by_round),
        _learning(setting, "bytes", "MiB a hospital so far", by_bytes),
    ]


def _learning(setting: Setting, kind: str, x: str, points: dict[str, list[tuple[float, float]]]) -> Picture:
    strong = setting.leaders()
    end = max((found[-1][0] for name, found in points.items() if name in strong), default=float("inf"))
    lines = [Line(name, [one for one in found if one[0] <= end], name in strong) for name, found in points.items()]
    spoken = "; ".join(
        f"{line.label} ends at {decimals(line.points[-1][1])} with {line.points[-1][0]:.4g}"
        for line in lines
        if line.strong
    )
    return picture(
        f"validation-by-{kind}-{setting.number}",
        f"Validation {setting.measure.title} against {x} in {setting.title}: {spoken}.",
        f"{setting.title}: validation {setting.measure.title}, mean over hospitals and seeds. Named: the best on "
        f"the test scans, and {BASELINE}. Thin: the others, up to the same point.",
        curves(lines, x, f"validation {setting.measure.title}", whole=kind == "rounds"),
        3.0,
    )


def calibration(setting: Setting) -> Picture | None:
    """Reliability of the best scheme and of the baseline."""
    pooled = {name: pool_bins(bins_of_runs(setting.groups[name])) for name in setting.leaders(1)}
    models = {name: reliability_points(bins) for name, bins in pooled.items() if bins}
    if not models:
        return None
    spoken = ". ".join(
        f"{name}: " + "; ".join(f"said {percent(guess)}, true of {percent(share)}" for guess, share, _ in points)
        for name, points in models.items()
    )
    return picture(
        f"calibration-{setting.number}",
        f"Reliability diagram of {setting.measure.subject} in {setting.title}. {spoken}.",
        f"{setting.title}: the probability that a model gives, and how often it is true; all hospitals' test scans and "
        "all seeds together. Below the dashed line a model is too sure. A larger dot: more scans.",
        reliability(models),
        3.4,
    )


def confusion(setting: Setting) -> Picture | None:
    """Right and wrong answers of the leaders as stacked bars."""
    given = {name: confusion_of_runs(setting.groups[name]) for name in setting.leaders()}
    rows = [(name, (one.tp, one.fn, one.fp, one.tn)) for name, one in given.items() if one is not None]
    if not rows:
        return None
    spoken = "; ".join(
        f"{name} {', '.join(f'{count} {kind}' for count, kind in zip(counts, ANSWERS, strict=True))}"
        for name, counts in rows
    )
    return picture(
        f"confusion-{setting.number}",
        f"Stacked bars of right and wrong answers by scheme in {setting.title}: {spoken}.",
        f"{setting.title}: answers on the test scans of all hospitals and seeds; the best schemes and {BASELINE}.",
        stacks(rows, ANSWERS, "answers"),
        rows_high(len(rows), 1.1),
    )
