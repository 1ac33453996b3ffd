"""How scores and counts leave a site by its policy: exact, rounded, noised, or not at all.

Noise: Dwork, Roth: The Algorithmic Foundations of Differential Privacy, 2014, the Gaussian mechanism. How far
one sample moves a score is in the workload (core.workload.ScoreKeys).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from brainct.core.privacy_event import Event
from brainct.core.workload import ScoreKeys, Workload

FEW, WITHHELD = "too few scans", "withheld"

Normals = Callable[[int], NDArray[np.float64]]


class ScoreRule(BaseModel):
    """How a site's scores of a model leave.

    form: `exact`; `rounded` to `digits` decimals, without counts and bins; `noised`, of which Gaussian noise makes each
    evaluation a release of mu = 1 / `noise` for one held-out scan, and which are then rounded; `never`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    form: Literal["exact", "rounded", "noised", "never"] = "exact"
    digits: int = Field(2, ge=1, le=6)
    noise: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "ScoreRule":
        if (self.form == "noised") != (self.noise is not None):
            raise ValueError("form `noised` and `noise`, a number above 0, go together; set both or neither")
        return self

    @property
    def event(self) -> Event | None:
        """What one evaluation gives away, where it is counted."""
        return Event("scores", mu=1 / self.noise) if self.noise is not None else None


def scores_as(
    keys: ScoreKeys,
    rule: ScoreRule,
    least_class: int,
    scores: Mapping[str, Mapping[str, Any]],
    normals: Normals,
    exclusive: bool = False,
) -> dict[str, Any]:
    """The scores of each output as the rule lets them out.

    least_class: an output with fewer samples of a class than this is withheld. normals: as many independent standard
    normal values, which only the site can compute and which are the same for the same scores. exclusive: see
    Workload.exclusive; then all outputs are withheld where one is.
    """
    small = {output: least_class > 1 and _fewest(keys, one) < least_class for output, one in scores.items()}
    if exclusive and any(small.values()):
        small = dict.fromkeys(small, True)
    found = {output: _released(keys, rule, small[output], one) for output, one in scores.items()}
    if rule.noise is None:
        return found
    noised = [name for name, reach in keys.numbers.items() if reach is not None]
    places = [(output, name) for output in sorted(found) for name in noised if found[output][name] is not None]
    # each score's noise is scaled to its own reach, and by the root of their number: together they have mu = 1 / noise
    noise = normals(len(places)) * rule.noise * len(places) ** 0.5
    for (output, name), value in zip(places, noise.tolist(), strict=True):
        reach = keys.numbers[name]
        assert reach is not None
        moved = found[output][name] + reach(scores[output]) * value
        found[output][name] = round(min(1.0, max(0.0, moved)), rule.digits)
    return found


def _fewest(keys: ScoreKeys, found: Mapping[str, Any]) -> int:
    return min(int(found[each]) for each in keys.classes)


def _released(keys: ScoreKeys, rule: ScoreRule, small: bool, found: Mapping[str, Any]) -> dict[str, Any]:
    if rule.form == "never":
        return _without(found, WITHHELD)
    if small:
        return _without(found, FEW)
    if rule.form == "exact":
        return dict(found)
    left = {name: _rounded(found[name], rule) for name in keys.numbers}
    if rule.form == "noised":
        left = {name: found[name] if reach is not None else None for name, reach in keys.numbers.items()}
    return {**found, **left, **dict.fromkeys(keys.details)}


def _rounded(value: float | None, rule: ScoreRule) -> float | None:
    return None if value is None else round(value, rule.digits)


def nothing_of(keys: ScoreKeys, outputs: Sequence[str]) -> dict[str, Any]:
    """The scores of these outputs where the policy lets none out, whether the site has any or not."""
    return {output: _without(dict.fromkeys(keys.keys), WITHHELD) for output in outputs}


def _without(found: Mapping[str, Any], why: str) -> dict[str, Any]:
    """No score and no count, with the reason."""
    return {**dict.fromkeys(found), "reason": why}


def description_as(
    workload: Workload, least_class: int, about: Mapping[str, Any], terms: str, choices: Any
) -> dict[str, Any]:
    """A description with counts of at least this many, and with the policy's terms in words.

    With exact counts, warnings about the data leave as well; otherwise they would show which counts are small.
    """
    if least_class <= 1:
        return {**about, "notes": [*about["notes"], terms]}
    return {**workload.without_small(about, least_class, choices), "notes": [terms]}
