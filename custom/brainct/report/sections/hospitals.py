"""The section on the hospitals: their data, as each described it before the first round."""

from collections.abc import Mapping, Sequence

from brainct.pages.page import Section, Table
from brainct.pages.wording import sites_in_words
from brainct.report.readable_record import About, Record

Columns = Mapping[str, Mapping[str, str]]
"""Further columns: by head, each hospital's cell."""

MOST_NOTES = 40


def hospitals(record: Record, unit: str, columns: Columns | None = None) -> Section | None:
    """Data by hospital and fold. unit: what the data are counted in, such as `scan`."""
    if not record.sites:
        return None
    more = columns or {}
    head = ("hospital", "data", "train", "validation", "test", *more, "fingerprint")
    rows: list[tuple[str | int, ...]] = [
        (site, found.kind, *_counts(found), *(cells.get(site, "–") for cells in more.values()), found.fingerprint[:12])
        for site, found in sorted(record.sites.items())
    ]
    return Section(
        "The hospitals",
        ["Each hospital's description of its own data before the first round. A fingerprint changes with the data."],
        [Table(f"{unit.capitalize()}s by hospital and fold", head, rows)],
        notes=[f"{sites_in_words(sites, list(record.sites))}: {note}" for note, sites in _notes(record)[:MOST_NOTES]],
    )


def _counts(found: About) -> list[int]:
    return [found.scans(fold) for fold in ("train", "valid", "test")]


def _notes(record: Record) -> Sequence[tuple[str, list[str]]]:
    """Each note with the hospitals that sent it."""
    notes: dict[str, list[str]] = {}
    for site, found in sorted(record.sites.items()):
        for note in found.notes:
            notes.setdefault(note, []).append(site)
    return list(notes.items())
