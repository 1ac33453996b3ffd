"""scikit-learn's small tables, partitioned among a simulation's sites by class and seed: demonstration data, public."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brainct.core.determinism import generator
from brainct.errors import Refused
from brainct.table.config import TableChoices
from brainct.table.read import Floats, Table
from brainct.table.samples import Samples, labels_of, values_of
from brainct.table.site_config import TableFile

TARGET = "target"
NAMES = ("breast_cancer", "wine", "digits")


@lru_cache(maxsize=3)
def demonstration(name: str) -> Table:
    """The whole table; the target column holds the class's number (breast_cancer: 1 is malignant)."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    # scikit-learn has benign as 1; what a hospital looks for is 1 here
    target = 1 - found.target if name == "breast_cancer" else found.target
    columns = {
        str(one): [repr(float(cell)) for cell in found.data[:, at]] for at, one in enumerate(found.feature_names)
    }
    return Table(name, {**columns, TARGET: [str(int(one)) for one in target]})


def share(file: TableFile, site: str, sites: Sequence[str], choices: TableChoices) -> tuple[Samples, Floats]:
    """One site's samples, and the values of the public set, the same at all sites."""
    ordered = sorted(sites)
    if site not in ordered:
        raise Refused(
            f"site {site} is not among the sites {', '.join(ordered)}: it has no share of a demonstration table"
        )
    table = demonstration(file.demo or _fitting(choices))
    values, labels = values_of(table, file, choices), labels_of(table, file, choices)
    kinds = np.array(table.column(TARGET))
    order = evenly(kinds, generator(file.split.seed, "table", table.name))
    public, rest = order[: file.demo_public], order[file.demo_public :]
    # class by class, so that every n-th sample of the list has the classes in the list's shares
    own = rest[np.argsort(kinds[rest], kind="stable")][ordered.index(site) :: len(ordered)]
    if not len(own):
        raise Refused(f"{len(ordered)} sites but only {len(rest)} samples in {table.name}: simulate fewer sites")
    return Samples(values[own], labels[own], np.arange(len(own))), values[public]


def _fitting(choices: TableChoices) -> str:
    """The first demonstration table with the job's features."""
    for name in NAMES:
        columns = set(demonstration(name).cells) - {TARGET}
        features = choices.features
        if len(columns) == features if isinstance(features, int) else columns.issuperset(features):
            return name
    raise Refused(f"no demonstration table has the job's {choices.columns} features; give a site file of kind table")


def evenly(kinds: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """A shuffled order in which each kind is spread evenly: any beginning of it is stratified."""
    place = np.zeros(len(kinds))
    for kind in np.unique(kinds):
        own = rng.permutation(np.flatnonzero(kinds == kind))
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return np.argsort(place, kind="stable")
