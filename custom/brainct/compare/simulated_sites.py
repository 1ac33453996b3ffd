"""Simulated federations of head CT: how many sites and scans, how the sites differ, and a held-out site."""

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field

from brainct.compare.federation import HELD_OUT_SITE, Federation
from brainct.compare.simulated_scanners import draw_scanner, rescan
from brainct.core.determinism import generator
from brainct.ct.config import ct_choices
from brainct.ct.dataset import open_site, open_sites
from brainct.ct.phantom import SCANNERS, Scanner
from brainct.ct.site_choices import Partition, PhantomChoices, Split
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.training.data import FOLDS, Dataset, Fold

SIMULATED = "simulated_scanner"
"""The skew of scans on disk that come from one archive: each site gets a simulated scanner of its own."""

Skew = Literal["scanner", "simulated_scanner", "label", "size"]

FEWEST = 4
"""Training scans that a phantom site has at least, however unequal the sizes."""


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return [word for word in value.replace("+", ",").split(",") if word != "iid"]
    return value


class SimulatedFederation(Federation):
    """Sites with head CT: the phantom's, or scans on disk that are partitioned. See Federation for the common choices.

    scans: training scans a site; with `size` skew their mean.
    skew: `iid`, or any of `scanner`, `label`, `size`, joined by +. On the phantom, all sites have one scanner, which
    the seed picks; with `scanner` the sites take turns through all scanners but one, and the held-out site has that
    one. `label`: a site's share of bleeding is drawn from a Dirichlet distribution around its scanner's. `size`: a
    Dirichlet distribution divides the training scans, at least FEWEST a site.
    valid, test: scans of every phantom site in these folds. outside: scans in the test fold of the held-out phantom
    site; 0 for no such site. difficulty: the phantom's.
    data: a site file of scans on disk, which are partitioned (see ct.site_config) instead of the phantom. The held-out
    site then has the shared test fold, and the site file states the folds' sizes. With `simulated_scanner` in the skew,
    each site and the held-out site has its scans, test scans included, through a simulated scanner of its own (see
    simulated_scanners). public: number of scans set aside, unlabelled, for schemes that need a public set; the phantom
    has its own.
    """

    scans: int = Field(16, ge=1)
    skew: Annotated[list[Skew], BeforeValidator(_words)] = ["scanner"]
    valid: int = Field(8, ge=0)
    test: int = Field(40, ge=1)
    outside: int = Field(64, ge=0)
    difficulty: float = Field(1.0, gt=0)
    data: Path | None = None
    public: int | None = Field(None, ge=1)

    @property
    def label(self) -> str:
        """Its name; default: its size and skew."""
        data = f"{self.data.stem} " if self.data else ""
        return self.name or f"{data}{self.sites}x{self.scans} {'+'.join(self.skew) or 'iid'}"

    @property
    def has_validation(self) -> bool:
        """Whether its sites have validation scans."""
        return bool(self.valid) if self.data is None else read_site_file(self.data).split.valid > 0

    @property
    def on_disk(self) -> bool:
        """Whether the scans come from files."""
        return self.data is not None

    @property
    def work(self) -> int:
        """Training scans of all sites."""
        return self.sites * self.scans

    def stated(self) -> dict[str, Any]:
        """See Federation."""
        choices = self.model_dump(mode="json", exclude={"data"})
        return choices | {"data": self.data.name if self.data else "phantom"}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the result depends on: the choices without the name, and for scans on disk a listing.

        The listing holds the site file, the label table's content, and each file's path below the root and its size:
        on any machine, a change of the data shows without reading every scan. Rows hold the scans' own fingerprints.
        """
        choices = self.model_dump_json(exclude_defaults=True, exclude={"name", "data"})
        return hashlib.sha256("\n".join([choices, *(_listing(self.data) if self.data else ())]).encode()).hexdigest()

    def opened_for(self, plan: Plan) -> tuple[object, ...]:
        """The scans' size and dimensions."""
        network = ct_choices(plan).network
        return network.size, network.dims

    def open(self, seed: int, plan: Plan) -> dict[str, Dataset]:
        """See open_scans."""
        network = ct_choices(plan).network
        return self.open_scans(seed, network.size, network.dims)

    def open_scans(self, seed: int, size: int, dims: int) -> dict[str, Dataset]:
        """The scans of every site, and of HELD_OUT_SITE if there is one, without its training labels."""
        if self.data is not None:
            return self._partition(self.data, seed, size, dims)
        files = self.files(seed)
        opened = {site: open_site(file, site, [], size, dims) for site, file in files.items()}
        if HELD_OUT_SITE in opened:
            opened[HELD_OUT_SITE] = _without_labels(opened[HELD_OUT_SITE])
        return opened

    def files(self, seed: int) -> dict[str, SiteFile]:
        """Each phantom site's site file, and that of HELD_OUT_SITE, as its `brainct.yaml` would state it."""
        if SIMULATED in self.skew:
            raise Refused(f"federation {self.label}: the phantom has scanners of its own; skew it by `scanner`")
        rng = generator(seed, "federation")
        turn = int(rng.integers(len(SCANNERS)))
        others = [SCANNERS[(turn + at) % len(SCANNERS)] for at in range(1, len(SCANNERS))]
        inside = others if "scanner" in self.skew else others[:1]
        sizes = self._sizes(rng)
        found = {}
        for at, site in enumerate(self.names):
            scanner = inside[at % len(inside)]
            found[site] = self._file(seed, scanner, sizes[at], self.test, self._prevalence(scanner, rng))
        if self.outside:
            found[HELD_OUT_SITE] = self._file(seed, SCANNERS[turn], self.scans, self.outside, None)
        return found

    def _sizes(self, rng: np.random.Generator) -> list[int]:
        if "size" not in self.skew:
            return [self.scans] * self.sites
        spare = self.sites * (self.scans - FEWEST)
        if spare < 0:
            raise Refused(f"federation {self.label}: {self.scans} scans a site; `size` skew needs {FEWEST} at least")
        ends = np.round(np.cumsum(rng.dirichlet([self.alpha] * self.sites)) * spare).astype(int)
        return [FEWEST + int(more) for more in np.diff(ends, prepend=0)]

    def _prevalence(self, scanner: Scanner, rng: np.random.Generator) -> float | None:
        if "label" not in self.skew:
            return None
        prior = np.array([scanner.prevalence, 1 - scanner.prevalence])
        return float(rng.dirichlet(self.alpha * 2 * prior)[0])

    def _file(self, seed: int, scanner: Scanner, train: int, test: int, prevalence: float | None) -> SiteFile:
        scans = train + self.valid + test
        choices = PhantomChoices(
            scans=scans, seed=seed, difficulty=self.difficulty, prevalence=prevalence, scanner=scanner.name
        )
        split = Split(train=train / scans, valid=self.valid / scans, test=test / scans, seed=seed)
        return SiteFile(kind="phantom", phantom=choices, split=split, batch_size=self.batch_size)

    def _partition(self, path: Path, seed: int, size: int, dims: int) -> dict[str, Dataset]:
        skews = [word for word in self.skew if word != SIMULATED]
        if "scanner" in skews or len(skews) > 1:
            raise Refused(
                f"federation {self.label}: scans on disk are partitioned by one of `iid`, `label` and `size`, "
                f"optionally with `{SIMULATED}`"
            )
        file = read_site_file(path)
        how: dict[str, Any] = {"how": "dirichlet" if skews == ["label"] else "size", "alpha": self.alpha}
        held = file.partition.test_scans if file.partition else None
        partition = Partition(
            **(how if skews else {}), seed=seed, scans=self.scans, test_scans=held, public=self.public
        )
        changes = {
            "partition": partition,
            "batch_size": self.batch_size,
            "split": file.split.model_copy(update={"seed": seed}),
        }
        opened = open_sites(file.model_copy(update=changes), self.names, size, dims)
        first = opened[self.names[0]]
        nothing = {fold: _slice(first.folds["test"], slice(0)) for fold in FOLDS}
        opened[HELD_OUT_SITE] = replace(first, folds={**nothing, "test": first.folds["test"]}, notes=())
        return {site: self._rescan(site, scans, seed) for site, scans in opened.items()}

    def _rescan(self, site: str, scans: Dataset, seed: int) -> Dataset:
        """The scans as the site's own simulated scanner would have taken them."""
        if SIMULATED not in self.skew:
            return scans
        return rescan(scans, draw_scanner(generator(seed, "scanner", site)), generator(seed, "noise", site))


def _slice(fold: Fold, which: slice) -> Fold:
    patients, mm = (None if each is None else each[which] for each in (fold.patients, fold.mm))
    return Fold(fold.inputs[which], fold.labels[which], patients, mm=mm)


def _without_labels(scans: Dataset) -> Dataset:
    train = scans.folds["train"]
    return replace(
        scans, folds={**scans.folds, "train": replace(train, labels=torch.full_like(train.labels, torch.nan))}
    )


def _listing(path: Path) -> list[str]:
    file = read_site_file(path)
    if (root := file.root) is None:
        raise Refused(f"{path.name} is of kind {file.kind}: `data` is for scans on disk; leave it out for the phantom")
    labels = root / file.labels
    content = hashlib.sha256(labels.read_bytes()).hexdigest() if labels.is_file() else ""
    scans = sorted(
        f"{each.relative_to(root).as_posix()} {each.stat().st_size}" for each in root.rglob("*") if each.is_file()
    )
    return [file.model_dump_json(exclude_defaults=True, exclude={"root"}), content, *scans]
