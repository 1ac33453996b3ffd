"""The section on the hospitals: their data, as each described it before the first round."""

from collections.abc import Callable, Mapping, Sequence

from brainct.pages.page import Section, Table
from brainct.pages.wording import sites_in_words
from brainct.report.readable_record import Record

Columns = Mapping[str, Mapping[str, str]]
"""Further columns: by head, each hospital's cell."""

FOLDS = ("train", "valid", "test")
MOST_NOTES = 40


def hospitals(
    record: Record, unit: str, samples: Callable[[str, str], int], columns: Columns | None = None
) -> Section | None:
    """Data by hospital and fold. unit: what the data are counted in, such as `scan`. samples: of a site in a fold."""
    if not record.sites:
        return None
    more = columns or {}
    head = ("hospital", "data", "train", "validation", "test", *more, "fingerprint")
    rows: list[tuple[str | int, ...]] = []
    for site, found in sorted(record.sites.items()):
        counts, cells = [samples(site, fold) for fold in FOLDS], [cell.get(site, "–") for cell in more.values()]
        rows.append((site, found.kind, *counts, *cells, found.fingerprint[:12]))
    return Section(
        "The hospitals",
        ["Each hospital's description of its own data before the first round. A fingerprint changes with the data."],
        [Table(f"{unit.capitalize()}s by hospital and fold", head, rows)],
        notes=[f"{sites_in_words(sites, list(record.sites))}: {note}" for note, sites in _notes(record)[:MOST_NOTES]],
    )


def _notes(record: Record) -> Sequence[tuple[str, list[str]]]:
    """Each note with the hospitals that sent it."""
    notes: dict[str, list[str]] = {}
    for site, found in sorted(record.sites.items()):
        for note in found.notes:
            notes.setdefault(note, []).append(site)
    return list(notes.items())
