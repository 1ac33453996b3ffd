"""The last lines of a run on the terminal: a table of the sites, who missed which rounds and why, the model's hash."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from brainct.core.names import listing
from brainct.run.run_record import FILE, Participation, RunRecord, participation

FORMS = {"rounded": "rounded", "noised": "noised", "never": "withheld"}
SHOWN = 2
"""Headline numbers of the workload in the table."""
MOST_ROWS, FIRST_ROWS = 32, 8
"""Sites that the table lists; of more it lists the first few."""


def last_lines(record: RunRecord, folder: Path) -> str:
    """The table, the folder of the results and the model's hash."""
    return f"{table(record)}\n{chosen(record)}{crossed(record)}\nresults: {folder}\nmodel sha256: {record.model_sha256}"


def chosen(record: RunRecord) -> str:
    """What the sites' validation scores decided, in a line; empty for a job without a selection."""
    found = record.selection
    if found is None:
        return ""
    title = record.workload.headlines.get(found.score, found.score)
    if found.round is None:
        return f"no site sent a validation {title}: no round is the best, and none ended the run\n"
    words = f"best validation {title} {found.value:.3f} after round {found.round} (mean over {len(found.sites)} sites)"
    if found.model_sha256:
        words += f", its model in best.safetensors (sha256 {found.model_sha256})"
    if found.stopped_after is not None:
        words += f"; the run ended after round {found.stopped_after}, as the score rose no more"
    if found.score_forms:
        by_form = {FORMS[form]: [site for site, one in found.score_forms.items() if one == form] for form in FORMS}
        forms = ", ".join(f"{form} by {listing(sites)}" for form, sites in by_form.items() if sites)
        words += f"; by policy, scores were {forms}"
    return words + "\n"


def crossed(record: RunRecord) -> str:
    """How good the sites' models are at home and away, in a line; empty for a run that did not score them."""
    name, title = next(iter(record.workload.headlines.items()))
    pairs = [(site == where, found.get(name)) for site, row in record.cross_site.items()
             for where, found in row.scores.items()]  # fmt: skip
    home, away = (
        [value for here, value in pairs if here is at_home and value is not None] for at_home in (True, False)
    )
    if not home or not away:
        return ""
    means = [sum(values) / len(values) for values in (home, away)]
    return (
        f"the last models that {len(record.cross_site)} sites sent have {title} {means[0]:.3f} on their own test "
        f"samples and {means[1]:.3f} on others' (means); all pairs are in {FILE} and in the report\n"
    )


def table(record: RunRecord) -> str:
    """A line for each site, or for the first of many; then a line for each reason for which rounds were missed."""
    headlines = dict(list(record.workload.headlines.items())[:SHOWN])
    rows, parts = [("site", "samples (train/test)", *headlines.values(), "rounds")], participation(record)
    for site in list(parts)[: len(parts) if len(parts) <= MOST_ROWS else FIRST_ROWS]:
        part = parts[site]
        known = site in record.sites
        folds = "/".join(str(record.samples(site, fold)) for fold in ("train", "test")) if known else "not described"
        took = f"{part.took_part} of {part.asked}"
        rows.append((site, folds, *_numbers(record, site, headlines), took))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    more = len(parts) - len(rows) + 1
    others = [f"... and {more} more; all {len(parts)} sites are in {FILE}"] * (more > 0)
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *others, *_missed(parts)])


def _missed(parts: Mapping[str, Participation]) -> list[str]:
    """Sites that missed the same rounds for the same reason share a line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for site, part in parts.items():
        for reason in dict.fromkeys(part.lost.values()):
            numbers = ", ".join(number for number, other in part.lost.items() if other == reason)
            alike.setdefault((numbers, reason), []).append(site)
    return [f"{listing(whose)} missed round {numbers}: {reason}" for (numbers, reason), whose in alike.items()]


def _numbers(record: RunRecord, site: str, names: Iterable[str]) -> list[str]:
    scores = record.test.get(site, {})
    found, missing = record.workload.headline(scores), record.workload.missing(scores) or "not evaluated"
    return [f"- ({missing})" if (value := found[name]) is None else f"{value:.3f}" for name in names]
