"""The names under which label files know the findings, and what looks like one of them but is not."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from brainct.errors import Refused

SYNONYMS = {
    "epidural": ("EDH", "epidural hemorrhage", "epidural hematoma", "extradural"),
    "intraparenchymal": ("IPH", "intraparenchymal hemorrhage", "intracerebral", "intracerebral hemorrhage"),
    "intraventricular": ("IVH", "intraventricular hemorrhage"),
    "subarachnoid": ("SAH", "subarachnoid hemorrhage"),
    "subdural": ("SDH", "subdural hemorrhage", "subdural hematoma"),
    "any": ("label", "ICH", "hemorrhage", "any hemorrhage", "intracranial hemorrhage"),
}
"""Names of the RSNA findings in published label files."""
OTHERS = ("image", "patient_id", "patient", "split", "slice", "study", "series", "fold", "id", "site", "spacing")
"""Columns that are no findings, though some are spelt like one."""
_CLOSE = 0.8


def plain(name: str) -> str:
    """A name without capitals, spaces and signs, and with American spelling, to compare names."""
    return re.sub(r"[\W_]", "", name.lower()).replace("haem", "hem")


def matching_columns(columns: Iterable[str], findings: Sequence[str], table: str) -> dict[str, str]:
    """The column of each finding that has one, by its name or a synonym of it.

    Refused if two columns name one finding, or a column is spelt nearly like a finding: it would be ignored.
    """
    names = {plain(word): each for each in findings for word in (each, *SYNONYMS.get(each, ()))}
    found: dict[str, str] = {}
    for column in columns:
        finding = names.get(plain(column))
        if finding is None:
            _check_not_close(column, names, table)
        elif finding in found:
            raise Refused(f"{table}: `{found[finding]}` and `{column}` are both {finding}: choose one with `columns`")
        else:
            found[finding] = column
    return found


def _check_not_close(column: str, names: Mapping[str, str], table: str) -> None:
    if plain(column) in {plain(each) for each in OTHERS} or len(plain(column)) < 4:
        return
    close = difflib.get_close_matches(plain(column), names, n=1, cutoff=_CLOSE)
    if close:
        raise Refused(
            f"{table}: column `{column}` is no finding, but nearly {names[close[0]]}: correct the header, or name the "
            "columns of the findings with `columns` in the site file"
        )
