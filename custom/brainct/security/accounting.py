"""What a site's releases give away together: each of its kind as an event, and the epsilon of many events.

Balle, Wang: Improving the Gaussian Mechanism for Differential Privacy, ICML 2018 (Gaussian events, exactly); Abadi et
al.: Deep Learning with Differential Privacy, CCS 2016 (training); Doroshenko et al.: Connect the Dots, PoPETs 2022
(privacy loss distributions, as dp-accounting has them).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from brainct.core.privacy_event import NUMBERS, Event, Kind
from brainct.errors import Refused

UNITS: Mapping[Kind, str] = {
    "update": "all training scans of the hospital together",
    "training": "one patient of the training fold, or one scan where patients are unknown",
    "labels": "all training scans of the hospital together",
    "scores": "one held-out scan",
}
"""Of each kind of event, what may be exchanged for anything else without the releases telling by more than epsilon."""

FINEST, POINTS, COARSEST = 1e-4, 1e6, 1.0
"""Steps of the privacy loss in which a distribution is held; they grow where there would be more points than this.
Where they would grow beyond the last, at an epsilon near 100,000, training counts as Gaussian events, unsampled."""


def epsilon(events: Iterable[Event], delta: float) -> float:
    """The epsilon, at this delta in (0, 1), of all events together; 0 for none.

    The unit is that of the events. Events of several kinds are added up as if all protected the same patient, for whom
    the sum is an upper bound, as long as no other of the hospital's scans than one held-out scan is that patient's too.
    Gaussian events alone are exact; with training it is an upper estimate and near; epsilons of labels are added.
    """
    listed = list(events)
    squares = math.fsum(event.mu**2 for event in listed)
    training: Counter[tuple[float, float]] = Counter()
    for event in listed:
        if event.steps:
            training[event.noise, event.sampling] += event.steps
    noised = _noised(squares, tuple(sorted((*pair, steps) for pair, steps in training.items())), delta)
    return noised + math.fsum(event.epsilon for event in listed)


def as_row(event: Event) -> dict[str, Any]:
    """The kind and the numbers that this kind has, for JSON."""
    return {"kind": event.kind, **{name: getattr(event, name) for name in NUMBERS[event.kind]}}


def of_row(row: Mapping[str, Any]) -> Event:
    """The event of a row, whatever else the row says; of version 0.1.0 too, whose `loss` is an update's mu squared."""
    try:
        if "kind" not in row:
            return Event("update", mu=math.sqrt(row["loss"]))
        return Event(row["kind"], **{name: row[name] for name in NUMBERS[row["kind"]]})
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            f"a row of the privacy ledger is none of this version's or an earlier one's ({type(error).__name__}: "
            f"{error}); restore it from a backup"
        ) from None


@lru_cache(maxsize=256)
def _noised(squares: float, training: tuple[tuple[float, float, int], ...], delta: float) -> float:
    """Of Gaussian events whose squared mu add up to this, and of training: (noise, sampling, steps) each."""
    if not training:
        return _gaussian(squares, delta)
    from dp_accounting.pld import privacy_loss_distribution as pld
    from dp_accounting.privacy_accountant import NeighboringRelation

    total = squares + math.fsum(steps * (2 / noise) ** 2 for noise, _, steps in training)
    step = max(FINEST, (total / 2 + 10 * math.sqrt(total)) / POINTS)
    if step > COARSEST:
        return _gaussian(total, delta)
    found = pld.from_gaussian_mechanism(1 / math.sqrt(squares), value_discretization_interval=step) if squares else None
    for noise, sampling, steps in training:
        one = pld.from_gaussian_mechanism(
            noise,
            sampling_prob=sampling,
            value_discretization_interval=step,
            neighboring_relation=NeighboringRelation.REPLACE_ONE,
        )
        many = one.self_compose(steps)
        found = many if found is None else found.compose(many)
    assert found is not None
    return float(found.get_epsilon_for_delta(delta))


def _gaussian(squares: float, delta: float) -> float:
    from dp_accounting import get_epsilon_gaussian

    with np.errstate(divide="ignore"):
        return float(get_epsilon_gaussian(1 / math.sqrt(squares), delta)) if squares else 0.0
