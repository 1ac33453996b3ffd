"""The questions on top of a ledger's page, each with the sentences that answer it."""

from collections.abc import Sequence

from brainct.compare.comparison import BASELINE
from brainct.compare.leaderboard import beyond_chance
from brainct.compare.run_row import RunRow
from brainct.compare.setting import BOUNDS, Setting
from brainct.pages.wording import counted, decimals, listing, size

FEWEST_SEEDS = 6
"""Seeds below which the sign-flip test can't give p < 0.05."""


def answer(settings: Sequence[Setting]) -> list[tuple[str, list[str]]]:
    """Questions and answers; what concerns one setting is answered for the first."""
    if not settings:
        return [("What was compared?", ["Nothing: no run has finished."])]
    first = settings[0]
    return [
        ("What was compared?", _compared(settings)),
        ("Which scheme is best?", _best(first)),
        ("Is training together worth it?", _worth(first)),
        ("How sure is that?", _sure(settings)),
        ("Is every hospital served?", _served(first)),
        ("What does it cost?", _cost(first)),
    ]


def schemes_of(settings: Sequence[Setting]) -> list[str]:
    """The names of all schemes, without the bounds, in order of appearance."""
    return list(dict.fromkeys(name for one in settings for name in one.groups if name not in BOUNDS))


def _compared(settings: Sequence[Setting]) -> list[str]:
    schemes = schemes_of(settings)
    seeds = {len(rows) for one in settings for rows in one.groups.values()}
    repeats = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else str(min(seeds))
    return [
        f"{counted(len(schemes), 'scheme')} (a scheme is a method of training together): {listing(schemes, 12)}.",
        f"{counted(len(settings), 'setting')} (a federation of hospitals and a number of rounds), each repeated with "
        f"{repeats} different seeds.",
    ]


def _best(setting: Setting) -> list[str]:
    if not setting.schemes:
        return ["No scheme has a score."]
    best = setting.schemes[0]
    first = f"In {setting.title}, {best} has the highest mean {setting.measure.title}, {decimals(setting.score(best))}."
    if BASELINE not in setting.groups:
        return [first, f"The ledger lacks {BASELINE}, so differences are unknown."]
    sure = {name: gap.mean for name, gap in beyond_chance(setting).items() if name not in BOUNDS}
    better = [name for name, mean in sure.items() if mean > 0]
    worse = [name for name, mean in sure.items() if mean < 0]
    verdicts = [f"Better than {BASELINE} beyond chance: {listing(better)}."] if better else []
    verdicts += [f"Worse beyond chance: {listing(worse)}."] if worse else []
    return [first, *(verdicts or [f"No scheme differs from {BASELINE} beyond chance."])]


def _worth(setting: Setting) -> list[str]:
    words = {
        "alone": "each hospital alone reaches",
        BASELINE: f"together ({BASELINE})",
        "pooled": "with all scans in one place",
    }
    parts = [f"{text} {decimals(score)}" for name, text in words.items() if (score := setting.score(name)) is not None]
    return (
        [f"In {setting.title}: {'; '.join(parts)} (mean {setting.measure.title})."]
        if parts
        else ["Neither bound is in the ledger."]
    )


def _sure(settings: Sequence[Setting]) -> list[str]:
    fewest = min(len(rows) for one in settings for rows in one.groups.values())
    shown = sum(len(beyond_chance(one)) for one in settings)
    tested = sum(len(one.differences) for one in settings)
    sentences = [
        f"Differences are taken seed by seed on the same scans; {shown} of {tested} are beyond chance after correction "
        "for the number of schemes."
    ]
    if fewest < FEWEST_SEEDS:
        sentences.append(f"Some schemes have only {counted(fewest, 'seed')}: too few to show any difference.")
    return sentences


def _served(setting: Setting) -> list[str]:
    values = {name: setting.middle(name, RunRow.worst) for name in setting.schemes}
    worst = {name: value for name, value in values.items() if value is not None}
    if not worst:
        return ["No hospital has a score."]
    best = max(worst, key=worst.__getitem__)
    sentences = [
        f"In {setting.title}: the worst served hospital fares best with {best}: its mean "
        f"{setting.measure.title} is {worst[best]:.2f}."
    ]
    if BASELINE in worst and best != BASELINE:
        sentences.append(f"With {BASELINE} it is {worst[BASELINE]:.2f}.")
    return sentences


def _cost(setting: Setting) -> list[str]:
    traffic = {name: setting.middle(name, lambda row: row.kib_per_site) for name in setting.schemes}
    known = {name: kib for name, kib in traffic.items() if kib}
    if not known:
        return ["Traffic is not in the ledger."]
    least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return [
        f"In {setting.title}: from {size(1024 * known[least])} a hospital ({least}) to {size(1024 * known[most])} "
        f"({most}) over a whole run."
    ]
