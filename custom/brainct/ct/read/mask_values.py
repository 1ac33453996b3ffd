"""What the values of a mask mark: a finding each; `any` is the union of those that mark a kind of bleeding."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import FINDINGS
from brainct.errors import Refused


def values_of(finding: str, mask_values: Mapping[int, str]) -> list[int]:
    """The values of a mask that mark a finding; empty where none does."""
    marks = FINDINGS if finding == "any" else (finding,)
    return [value for value, name in mask_values.items() if name in marks]


def check_values(mask: NDArray[Any], mask_values: Mapping[int, str], name: str) -> None:
    """Refuse a mask with a value that the site file does not name: what it marks would count as nothing."""
    given, found = set(mask_values) | {0}, set(np.unique(mask).tolist())
    if not found <= given:
        odd = sorted(found - given)[:5]
        raise Refused(f"{name}: mask values {odd}, wanted {sorted(given)}: correct `mask_values` in the site file")
