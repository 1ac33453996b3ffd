"""One answer a study: the slices' labels and probabilities pooled, and scores of studies next to those of slices."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from brainct.ct.folds import STUDY
from brainct.ct.metrics import scores
from brainct.ct.wanted import Pooling
from brainct.errors import Refused
from brainct.training.data import Fold

Array = NDArray[np.float64]


def pooling_of(word: str) -> Pooling:
    """The pooling of this name; Refused for any other."""
    known: tuple[Pooling, ...] = get_args(Pooling)
    found = next((each for each in known if each == word), None)
    if found is None:
        raise Refused(f"got the pooling {word!r}, wanted {', '.join(known)}")
    return found


def all_scores(fold: Fold, found: Array, findings: Sequence[str], pooling: Pooling | None) -> dict[str, Any]:
    """Scores of the slices by finding; with a pooling also those of the studies, by STUDY and the finding."""
    labels = fold.labels.double().numpy()
    of_slices = scores(labels, found, findings)
    if pooling is None:
        return of_slices
    if fold.studies is None:
        raise Refused("the job wants scores of studies, and of these scans it is not known which are of one study")
    numbers = fold.studies.numpy()
    of_studies = scores(pooled_labels(labels, numbers), pooled(found, numbers, pooling), findings)
    return of_slices | {f"{STUDY}{name}": one for name, one in of_studies.items()}


def pooled(probabilities: Array, studies: NDArray[np.int64], pooling: Pooling) -> Array:
    """(S, F) probabilities of the studies, in the order of their numbers, from those of their slices (N, F)."""
    rows = [probabilities[studies == each] for each in np.unique(studies)]
    if pooling == "max":
        each = [own.max(0) for own in rows]
    elif pooling == "mean":
        each = [own.mean(0) for own in rows]
    else:
        each = [1 - np.prod(1 - own, axis=0) for own in rows]
    return np.stack(each) if each else probabilities[:0]


def by_name(
    names: Sequence[str], studies: NDArray[np.int64], probabilities: Array, pooling: Pooling
) -> tuple[list[str], list[list[float]]]:
    """Each study's name, that of its first slice without the slice's number, and its pooled probabilities."""
    first = [int(np.flatnonzero(studies == each)[0]) for each in np.unique(studies)]
    rows: list[list[float]] = pooled(probabilities, studies, pooling).tolist()
    return [names[at].rpartition("#")[0] or names[at] for at in first], rows


def pooled_labels(labels: Array, studies: NDArray[np.int64]) -> Array:
    """(S, F): 1 where a slice has the finding, 0 where all are known to be without, else NaN."""
    rows = [labels[studies == each] for each in np.unique(studies)]
    found = [np.where((own == 1).any(0), 1.0, np.where(np.isnan(own).any(0), np.nan, 0.0)) for own in rows]
    return np.stack(found) if found else labels[:0]
