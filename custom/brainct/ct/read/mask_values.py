"""What the values of a mask mark: a finding each; `any` is the union of those that mark a kind of bleeding."""

from collections.abc import Mapping

from brainct.ct.folds import FINDINGS


def values_of(finding: str, mask_values: Mapping[int, str]) -> list[int]:
    """The values of a mask that mark a finding; empty where none does."""
    marks = FINDINGS if finding == "any" else (finding,)
    return [value for value, name in mask_values.items() if name in marks]
