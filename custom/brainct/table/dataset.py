"""Opens a site's table: rows into folds by patient and class, with a fingerprint of values, labels and folds."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from brainct.core.determinism import generator
from brainct.errors import Refused
from brainct.table.config import TableChoices, Task
from brainct.table.demonstration import evenly, share
from brainct.table.read import Floats, read_table
from brainct.table.samples import Samples, samples_of, values_of
from brainct.table.site_config import TableFile, read_site_file
from brainct.training.data import FOLDS, Dataset, Fold, Public, no_public
from brainct.training.site_choices import Split

DEMONSTRATION = "DEMONSTRATION data of scikit-learn, partitioned among the sites; not this site's own"


@dataclass(frozen=True)
class TableData(Dataset):
    """A site's samples, inputs (N, d) float64 as they were read, for a job's task, and whether it standardises them."""

    task: Task = "binary"
    standardise: bool = True


def open_site(path: Path | None, site: str, sites: Sequence[str], choices: TableChoices) -> TableData:
    """The samples of one site; without a site file its share of a demonstration table.

    sites: all names of the federation; only demonstration data depend on them. Refused begins with the site's name.
    """
    try:
        file = read_site_file(path)
        if file.kind == "demo_table":
            samples, common = share(file, site, sites, choices)
            found = public_of(common)
            return _split_dataset(
                samples, file, choices, lambda: found if len(common) else no_public(), (DEMONSTRATION,)
            )
        assert file.path is not None
        samples = samples_of(read_table(file.path), file, choices)
        return _split_dataset(samples, file, choices, functools.cache(functools.partial(_public, file, choices)))
    except Refused as refusal:
        raise Refused(f"{site}: {refusal}") from None


def _public(file: TableFile, choices: TableChoices) -> Public:
    return no_public() if file.public is None else public_of(values_of(read_table(file.public), file, choices))


def public_of(values: Floats) -> Public:
    """The public set in the order of its rows' digests, so that the order of the file's rows does not matter."""
    digests = [sha256(row.tobytes()).digest() for row in values]
    order = sorted(range(len(values)), key=lambda at: digests[at])
    return Public(torch.from_numpy(values[order]), sha256(b"".join(digests[at] for at in order)).hexdigest())


def _split_dataset(
    samples: Samples,
    file: TableFile,
    choices: TableChoices,
    public: Callable[[], Public],
    notes: tuple[str, ...] = (),
) -> TableData:
    fold_of = split(samples, file.split)
    if not (fold_of == 0).any():
        raise Refused("no training samples: raise `split.train`, or check the file")
    if len(set(samples.groups.tolist())) < len(samples.groups):
        notes = (*notes, f"{len(samples.groups)} samples of {len(set(samples.groups.tolist()))} patients")
    return dataset_of(samples, fold_of, file, choices, public, notes)


def dataset_of(
    samples: Samples,
    fold_of: NDArray[np.int64],
    file: TableFile,
    choices: TableChoices,
    public: Callable[[], Public] = no_public,
    notes: tuple[str, ...] = (),
) -> TableData:
    """A site's data; fold_of: (N,) each sample's place in FOLDS."""
    folds = {name: _fold(samples, np.flatnonzero(fold_of == at)) for at, name in enumerate(FOLDS)}
    known = (file.kind, folds, _fingerprint(samples, fold_of), notes, file.batch_size, "cpu", public)
    return TableData(*known, choices.task, choices.standardise)


def split(samples: Samples, choices: Split) -> NDArray[np.int64]:
    """(N,) 0 train, 1 valid, 2 test: groups stay together, and classes are spread evenly over the folds."""
    groups, first = np.unique(samples.groups, return_index=True)
    numbers = len(np.unique(samples.labels)) > 2 * samples.labels.shape[1] + 10
    kinds = np.array(["" if numbers else str(samples.labels[at]) for at in first])
    order = groups[evenly(kinds, generator(choices.seed, "table", "split"))]
    place = np.empty(len(groups), np.int64)
    place[order] = np.arange(len(groups))
    ends = np.round(np.cumsum([choices.train, choices.valid]) * len(groups)).astype(int)
    return np.searchsorted(ends, place[samples.groups], side="right").astype(np.int64)


def _fold(samples: Samples, which: NDArray[np.int64]) -> Fold:
    patients = torch.from_numpy(samples.groups[which]) if samples.patients else None
    return Fold(torch.from_numpy(samples.values[which]), torch.from_numpy(samples.labels[which]), patients)


def _fingerprint(samples: Samples, fold_of: NDArray[np.int64]) -> str:
    """SHA-256 over the sorted digests of (values, labels, fold): no name and no patient enters it."""
    rows = zip(samples.values, samples.labels, fold_of, strict=True)
    each = [
        sha256(values.tobytes() + labels.tobytes() + FOLDS[fold].encode()).digest() for values, labels, fold in rows
    ]
    return sha256(b"".join(sorted(each))).hexdigest()
