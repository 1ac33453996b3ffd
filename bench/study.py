"""The page of the study: `turns` against every other scheme, seed by seed, from the ledger of `brainct compare`.

    brainct compare --plan docs/results/study.yaml --out runs   # the runs; resumable, hours
    python bench/study.py runs/study                            # copies the ledger, writes the page
    python bench/study.py                                       # writes the page alone

The page is docs/results/study.md, from docs/results/study/ledger.jsonl.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from brainct.compare.ledger import read_rows
from brainct.compare.run_row import RunRow
from brainct.compare.setting import BOUNDS, Setting, settings_of
from brainct.compare.statistics import Difference, difference_of, differences_to, mean_of, paired_differences

STUDY = Path(__file__).parents[1] / "docs" / "results" / "study"
PAGE = STUDY.with_suffix(".md")
LEDGER = STUDY / "ledger.jsonl"
OURS = "turns"
PARTS: Mapping[str, str] = {
    "turns": "the scheme: one site a round, a byte a number, batches of 12, rate falling to 0",
    "turns-exact": "float32 in place of bytes, so a quarter of the rounds",
    "turns-exact-824": "float32, and four times the bytes",
    "turns-all-sites": "all sites in each round, so a seventh of the rounds",
    "turns-batch-8": "batches of 8",
    "turns-constant": "a rate that does not fall",
    "cyclic-210": "a chain of trainings of three passes in place of single gradients",
}
"""What was changed, in words."""
TENTH: Mapping[str, str] = {
    "tenth-ridge-start": "start model, then `ridge`: one round",
    "tenth-headstart": "start model, `ridge` in round 1, `fedavg` in round 2",
    "tenth-turns-start": "start model, then `turns`",
    "tenth-turns-start-slow": "start model, then `turns` at a third of the rate",
    "tenth-fedavg-start": "start model, then `fedavg` of 3 passes a round",
    "tenth-fedavg-start-30-passes": "start model, then `fedavg` of 30 passes a round",
    "tenth-bf16-start": "start model, then `fedavg` of 6 passes a round, in bf16",
    "tenth-cyclic-start": "start model, then one chain of trainings of 3 passes",
    "tenth-turns": "`turns` from nothing",
    "tenth-fedavg": "`fedavg` of 3 passes a round from nothing",
    "layerwise": "`layerwise`, the three deepest layers, 30 rounds from nothing",
}
"""What was run within a tenth of the bytes, in words."""
THIRD: Mapping[str, str] = {
    "third-turns": "`turns` from nothing",
    "third-fedavg": "`fedavg` from nothing",
    "third-feddyn": "`feddyn` from nothing",
    "third-turns-start": "start model, then `turns`",
    "third-fedavg-start": "start model, then `fedavg`",
    "third-feddyn-start": "start model, then `feddyn`",
}
"""What was run within a third of the bytes, in words."""
STARTED: Mapping[str, str] = {
    "turns": "from nothing",
    "turns-start": "from the package's start model",
    "turns-start-strong": "from the start model, with augmentation by scanners",
}
"""What a start model gives, in words."""
ASIDE = {*PARTS, *TENTH, *THIRD, *STARTED} - {OURS, "layerwise"}
"""Runs that have tables of their own."""
INTRODUCTION = f"""# A scheme of this project against the field

Written by `python bench/study.py` from [the ledger](study/ledger.jsonl); what follows for a hospital is on [the page of
results](README.md). `{OURS}` has as many rounds as cost no more bytes than 30 rounds of `fedavg`, and passes as often
over the scans. At 7x16 each scheme has its usual rounds and arguments, and nothing is tuned; at 7x12 each has six
trials on validation folds, a quarter of each hospital's scans. Differences are taken seed by seed, `{OURS}` minus the
other, with a 95 % bootstrap interval over seeds; p is that of the sign-flip test, corrected by Holm for the table.
Worst: the lowest mean over hospitals of any seed. Unseen hospital: one that takes no part in training, so it has no
model of its own; of head CT its scans are the test fold that all share. CPU: of all sites and the server together, on
a shared machine.
"""
HEADS = (
    *("scheme", "seeds", "AUROC ± SD", "worst", f"`{OURS}` minus it, 95 % interval", "p, Holm", "seeds won"),
    *("worst hospital", "unseen hospital", "rounds", "KiB a hospital", "CPU s"),
)


def main() -> None:
    if len(sys.argv) > 1:
        shutil.copyfile(Path(sys.argv[1]) / "ledger.jsonl", LEDGER)
    settings = settings_of(list(read_rows(LEDGER)))
    picture(settings[0], STUDY / "head_ct.svg")
    parts = [INTRODUCTION, *(section(one) for one in settings)]
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(f"written: {PAGE}")


def section(setting: Setting) -> str:
    """One federation at one budget: the schemes, then the parts of ours."""
    groups = setting.groups
    whole = {name: rows for name, rows in groups.items() if name not in ASIDE}
    found = [f"## {setting.title}\n", table(whole)]
    if "turns-exact" in groups:
        found += [f"\nWhat each part gives, minus `{OURS}` on the same seeds:\n", short_table(PARTS, groups, OURS)]
    if "turns-start" in groups:
        found += [f"\nFrom a start model, minus `{OURS}` on the same seeds:\n", short_table(STARTED, groups, OURS)]
    if chosen := chosen_of(groups):
        found += [f"\nChosen on validation folds: {chosen}."]
    if "third-turns" in groups:
        found += ["\nAt a third of the bytes, minus `fedavg` with all of them:\n", short_table(THIRD, groups, "fedavg")]
    if "tenth-turns" in groups:
        found += ["\nAt a tenth of the bytes, minus `fedavg` with all of them:\n", short_table(TENTH, groups, "fedavg")]
    return "\n".join([*found, ""])


def chosen_of(groups: Mapping[str, Sequence[RunRow]]) -> str:
    """The trial that won, for each scheme that was tuned here."""
    tuned = {name: rows[0].grid for name, rows in groups.items() if rows[0].grid}
    each = {name: ", ".join(f"{key} {value}" for key, value in grid.items()) for name, grid in tuned.items()}
    return "; ".join(f"`{name}` {words}" for name, words in sorted(each.items()))


def picture(setting: Setting, file: Path) -> None:
    """Each scheme's seeds, mean and interval, the best on top; on the right what it sends."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "brainct", "svg.fonttype": "none", "font.family": "sans-serif"}
    from matplotlib import pyplot as plt

    shown = {name: setting.groups[name] for name in setting.everyone if name not in ASIDE}
    figure, axes = plt.subplots(figsize=(8, 0.34 * len(shown) + 1))
    for at, (name, rows) in enumerate(shown.items()):
        colour = "#0b6e4f" if name == OURS else "#888888" if name in BOUNDS else "#1f4e8c"
        mean = setting.means[name]
        axes.plot(mean.values, [at] * mean.seeds, "o", color=colour, alpha=0.25, markersize=4, markeredgewidth=0)
        axes.plot(mean.interval or (mean.mean, mean.mean), [at, at], color=colour, linewidth=2)
        axes.plot([mean.mean], [at], "D", color=colour, markersize=5)
        kib = mean_of([row.kib_per_site for row in rows])
        told = "all scans in one place" if kib is None else f"{kib.mean / 1024:,.1f} MiB a hospital"
        axes.text(1.012, at, told, va="center", fontsize=8, transform=axes.get_yaxis_transform())
    names = [f"{name} (a bound)" if name in BOUNDS else name for name in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(f"{setting.measure.title} of {setting.measure.subject}: seeds, mean, 95 % interval of the mean")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})


def table(groups: Mapping[str, Sequence[RunRow]]) -> str:
    """All schemes and bounds, the best first."""
    lines = [f"| {' | '.join(HEADS)} |", "|" + " --- |" * len(HEADS)]
    means = {name: mean_of([row.mean() for row in rows]) for name, rows in groups.items()}
    order = sorted((name for name, mean in means.items() if mean), key=lambda name: -means[name].mean)  # type: ignore[union-attr]
    gaps = differences_to(OURS, groups)
    return "\n".join([*lines, *(line(name, groups, gaps) for name in order)])


def line(name: str, groups: Mapping[str, Sequence[RunRow]], gaps: Mapping[str, Difference]) -> str:
    rows = groups[name]
    mean, worst = mean_of([row.mean() for row in rows]), mean_of([row.worst() for row in rows])
    assert mean is not None
    assert worst is not None
    cells = [
        f"`{name}`" + (" (a bound)" if name in BOUNDS else ""),
        str(mean.seeds),
        f"{mean.mean:.3f} ± {mean.sd or 0:.3f}",
    ]
    cells.append(f"{min(mean.values):.3f}")
    cells += against(gaps[name], groups[OURS], rows) if name in gaps else ["", "", ""]
    kib = mean_of([row.kib_per_site for row in rows])
    cpu, unseen = mean_of([row.times.cpu for row in rows]), mean_of([row.held_out() for row in rows])
    cells += [
        f"{worst.mean:.3f}",
        f"{unseen.mean:.3f}" if unseen else "–",
        str(rows[0].rounds),
        f"{kib.mean:,.0f}" if kib else "–",
        f"{cpu.mean:.0f}" if cpu else "–",
    ]
    return f"| {' | '.join(cells)} |"


def against(gap: Difference, ours: Sequence[RunRow], other: Sequence[RunRow]) -> list[str]:
    """Ours minus another: the difference with its interval, p, and how many seeds ours won."""
    single = paired_differences(ours, other, RunRow.mean)
    around = "" if gap.interval is None else f" [{-gap.interval[1]:+.3f}, {-gap.interval[0]:+.3f}]"
    p = "" if gap.corrected is None else f"{gap.corrected:.3f}" if gap.corrected >= 0.001 else "< 0.001"
    return [f"{-gap.mean:+.3f}{around}", p, f"{sum(value > 0 for value in single)} of {len(single)}"]


def short_table(names: Mapping[str, str], groups: Mapping[str, Sequence[RunRow]], baseline: str) -> str:
    """The runs of these names in words, each minus the baseline's on the seeds that both have."""
    lines = ["| run | rounds | KiB a hospital | seeds | AUROC ± SD | difference, 95 % interval |", "|" + " --- |" * 6]
    for name in (name for name in names if name in groups):
        rows = groups[name]
        mean, kib = mean_of([row.mean() for row in rows]), mean_of([row.kib_per_site for row in rows])
        gap = None if name == baseline else difference_of(rows, groups[baseline])
        assert mean is not None
        assert kib is not None
        about = ""
        if gap is not None and gap.interval is not None:
            about = f"{gap.mean:+.3f} [{gap.interval[0]:+.3f}, {gap.interval[1]:+.3f}]"
        cells = [names[name], f"{rows[0].rounds}", f"{kib.mean:,.0f}", f"{mean.seeds}"]
        lines.append(f"| {' | '.join([*cells, f'{mean.mean:.3f} ± {mean.sd or 0:.3f}', about])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
