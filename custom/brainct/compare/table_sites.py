"""Simulated federations of one table: a demonstration table or a file, partitioned among the sites anew for each seed.

Label skew by a Dirichlet distribution over the classes of each site: Hsu, Qi, Brown, arXiv:1909.06335, section 3.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from brainct.compare.federation import HELD_OUT_SITE, Federation
from brainct.core.determinism import generator
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.table.config import TableChoices
from brainct.table.dataset import TableData, dataset_of, public_of
from brainct.table.demonstration import TARGET, demonstration, evenly
from brainct.table.read import Table, read_table
from brainct.table.samples import Samples, labels_of, samples_of, values_of
from brainct.table.site_config import TableFile, read_site_file
from brainct.training.data import FOLDS, Dataset

Ints = NDArray[np.int64]
TRAIN, VALID, TEST = range(len(FOLDS))


def _skew(value: Any) -> Any:
    return None if value == "iid" else value


class TableFederation(Federation):
    """Sites that share one table. See Federation for the common choices.

    data: a demonstration table of scikit-learn, or a site file of kind `table`. samples: training samples a site; with
    `size` skew their mean. skew: `iid`; `label`, each site's shares of the classes drawn around the table's; or `size`,
    unequal numbers of training samples, at least one a site. valid: validation samples a site. test: samples of the
    test fold, which all sites and the held-out site share; by default all that are left. public: samples of the public
    set, without labels, for schemes that need one.
    """

    data: Literal["breast_cancer", "wine", "digits"] | Path = "breast_cancer"
    samples: int = Field(16, ge=1)
    skew: Annotated[Literal["label", "size"] | None, BeforeValidator(_skew)] = None
    valid: int = Field(4, ge=0)
    test: int | None = Field(None, ge=1)
    public: int = Field(0, ge=0)

    @property
    def label(self) -> str:
        """Its name; default: the table, its size and skew."""
        return self.name or f"{self._title} {self.sites}x{self.samples} {self.skew or 'iid'}"

    @property
    def has_validation(self) -> bool:
        """Whether its sites have validation samples."""
        return bool(self.valid)

    @property
    def on_disk(self) -> bool:
        """False: no file of scans is read."""
        return False

    @property
    def work(self) -> int:
        """Training samples of all sites."""
        return self.sites * self.samples

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the choices without the name, and of the file's content where there is one."""
        choices = self.model_dump_json(exclude_defaults=True, exclude={"name", *(["data"] if self._path else [])})
        content = b""
        if self._path is not None:
            file = self._file()
            assert file.path is not None
            content = file.model_dump_json(exclude_defaults=True, exclude={"path"}).encode() + file.path.read_bytes()
        return hashlib.sha256(f"table {choices}\n".encode() + content).hexdigest()

    def stated(self) -> dict[str, Any]:
        """See Federation."""
        return self.model_dump(mode="json", exclude={"data"}) | {"data": self._title}

    def opened_for(self, plan: Plan) -> tuple[object, ...]:
        """The question and the columns."""
        choices = table_choices(plan)
        return choices.task, repr(choices.features), *choices.outputs, choices.standardise

    def open(self, seed: int, plan: Plan) -> dict[str, Dataset]:
        """The samples of every site, and the shared test fold as that of HELD_OUT_SITE."""
        choices, file, table = table_choices(plan), self._file(), self._table()
        samples = self._samples(table, file, choices)
        rng = generator(seed, "federation", "table")
        order = evenly(np.array(table.column(file.target)), rng)
        test, public, left = self._shared(order)
        own = self._shares(samples.labels, left, rng)
        if self.test is None:
            test = np.setdiff1d(left, np.concatenate([one for share in own for one in share]))
        if not len(test):
            raise Refused(f"federation {self.label}: the sites leave no test sample; lower `samples`, or state `test`")
        common = public_of(samples.values[public])

        def site(train: Ints, valid: Ints) -> TableData:
            which = np.concatenate([train, valid, test])
            fold_of = np.repeat([TRAIN, VALID, TEST], [len(train), len(valid), len(test)])
            some = Samples(samples.values[which], samples.labels[which], np.arange(len(which)))
            found = dataset_of(some, fold_of, file, choices)
            return replace(found, public=lambda: common) if self.public else found

        nothing = np.empty(0, np.int64)
        opened: dict[str, Dataset] = {name: site(*one) for name, one in zip(self.names, own, strict=True)}
        return {**opened, HELD_OUT_SITE: site(nothing, nothing)}

    @property
    def _path(self) -> Path | None:
        return self.data if isinstance(self.data, Path) else None

    @property
    def _title(self) -> str:
        return self._path.stem if self._path else str(self.data)

    def _file(self) -> TableFile:
        changes = {"batch_size": self.batch_size}
        if self._path is None:
            return TableFile(kind="demo_table", target=TARGET, **changes)  # type: ignore[arg-type]
        file = read_site_file(self._path)
        if file.path is None or file.patient is not None:
            raise Refused(f"{self._path.name}: a comparison needs a site file of kind table without `patient`")
        return file.model_copy(update=changes)

    def _table(self) -> Table:
        file = self._file()
        return demonstration(str(self.data)) if file.path is None else read_table(file.path)

    def _samples(self, table: Table, file: TableFile, choices: TableChoices) -> Samples:
        if file.kind == "table":
            return samples_of(table, file, choices)
        return Samples(values_of(table, file, choices), labels_of(table, file, choices), np.arange(table.rows))

    def _shared(self, order: Ints) -> tuple[Ints, Ints, Ints]:
        """The test fold, the public set, and what is left for the sites; classes are spread evenly over all three."""
        test = 0 if self.test is None else self.test
        if test + self.public + self.sites > len(order):
            raise Refused(
                f"federation {self.label}: test {test}, public {self.public} and {self.sites} sites need more than the "
                f"table's {len(order)} samples"
            )
        ends = test, test + self.public
        return order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] :]

    def _shares(self, labels: NDArray[np.float32], left: Ints, rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
        """Each site's training and validation samples."""
        sizes = self._sizes(rng) + self.valid
        if sizes.sum() > len(left):
            raise Refused(
                f"federation {self.label}: {self.sites} sites with {self.samples} training and {self.valid} validation "
                f"samples need {sizes.sum()}, {len(left)} are left; lower `samples`, `valid` or `sites`"
            )
        drawn = self._by_class(labels, left, sizes, rng) if self.skew == "label" else np.split(left, np.cumsum(sizes))
        shares = [rng.permutation(own) for own in drawn[: self.sites]]
        return [(own[self.valid :], own[: self.valid]) for own in shares]

    def _sizes(self, rng: np.random.Generator) -> Ints:
        if self.skew != "size":
            return np.full(self.sites, self.samples)
        ends = np.round(np.cumsum(rng.dirichlet([self.alpha] * self.sites)) * self.sites * (self.samples - 1))
        return 1 + np.diff(ends, prepend=0).astype(np.int64)

    def _by_class(self, labels: NDArray[np.float32], left: Ints, sizes: Ints, rng: np.random.Generator) -> list[Ints]:
        """Each site's samples, by shares of the classes that are drawn for it."""
        kinds = np.unique(labels[left], axis=0, return_inverse=True)[1].ravel()
        prior = np.bincount(kinds) / len(kinds)
        wishes = [rng.multinomial(size, rng.dirichlet(self.alpha * len(prior) * prior)) for size in sizes]
        pools = [left[kinds == kind].tolist() for kind in range(len(prior))]
        return [
            np.array([sample for kind, count in enumerate(wish) for sample in _take(pools, kind, int(count))])
            for wish in wishes
        ]


def table_choices(plan: object) -> TableChoices:
    """The plan as a table's choices; Refused for another workload, and for a regression, which has no AUROC."""
    if not isinstance(plan, TableChoices):
        raise Refused(f"the job's workload is {getattr(plan, 'workload', 'unknown')}; this federation has tables")
    if plan.task == "regression":
        raise Refused("task is regression; wanted binary or classes: comparisons rank by AUROC, which it lacks")
    return plan


def _take(pools: Sequence[list[int]], kind: int, count: int) -> list[int]:
    """So many samples of a class; where it runs out, of the class that has most left."""
    found = []
    for _ in range(count):
        pool = pools[kind] or max(pools, key=len)
        found.append(pool.pop(0))
    return found
