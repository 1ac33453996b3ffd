"""Federations to compare schemes on: how many sites and scans, how they differ, and a hospital that is outside."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from brainct.compare.simulated_scanners import a_scanner, through
from brainct.core.determinism import generator
from brainct.core.names import site_names
from brainct.ct.dataset import open_site, open_sites
from brainct.ct.phantom import SCANNERS, Scanner
from brainct.ct.site_config import Deal, PhantomChoices, SiteFile, Split, read_site_file
from brainct.errors import Refused
from brainct.training.data import FOLDS, Dataset, Fold

OUTSIDE = "outside"
"""The hospital that does not take part; the delivered model is tried on its scans."""

POOLED = "pooled"
"""The one site of a run that has everybody's scans."""

SIMULATED = "simulated_scanner"
"""The skew of scans on disk that come from one archive, seen through a scanner of its own at each site."""

Skew = Literal["scanner", "simulated_scanner", "label", "size"]

FEWEST = 4
"""Training scans that a phantom site has at least, however unequal the sizes."""


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return [word for word in value.replace("+", ",").split(",") if word != "iid"]
    return value


class Federation(BaseModel):
    """One federation.

    sites: site-1 ... site-N. scans: training scans a site; with `size` skew their mean.
    skew: `iid`, or any of `scanner`, `label`, `size`, joined by +. On the phantom: without `scanner` all sites have one
    scanner, which the seed picks; with it the sites take turns through all scanners but one, which the seed picks for
    the hospital outside. `label`: a site's share of bleeding is drawn from a Dirichlet distribution around its
    scanner's. `size`: the training scans are shared out by a Dirichlet distribution, with FEWEST at least.
    alpha: the concentration of both; small is very unequal.
    valid, test: the phantom's scans in these folds of every site. outside: those in the test fold of the hospital
    outside; 0 for none such. difficulty: the phantom's. batch_size: at each site.
    data: a site file of scans on disk, which are dealt out (see ct.sitefile.Deal) in place of the phantom. There the
    hospital outside has the shared test fold, and the folds' sizes are the site file's business. With
    `simulated_scanner` in its skew each site, and the hospital outside, sees its scans, those of the test fold too,
    through a simulated scanner of its own (study.scanners). public: how many of
    them are set aside, unlabelled, for schemes that need a public set; the phantom has one of its own.
    Every seed has other scans, or another deal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    sites: int = Field(8, ge=1)
    scans: int = Field(16, ge=1)
    skew: Annotated[list[Skew], BeforeValidator(_words)] = ["scanner"]
    alpha: float = Field(0.5, ge=0.001)
    valid: int = Field(8, ge=0)
    test: int = Field(40, ge=1)
    outside: int = Field(64, ge=0)
    difficulty: float = Field(1.0, gt=0)
    batch_size: int = Field(8, ge=1)
    data: Path | None = None
    public: int | None = Field(None, ge=1)

    @property
    def called(self) -> str:
        """Its name; without one, what it is."""
        data = f"{self.data.stem} " if self.data else ""
        return self.name or f"{data}{self.sites}x{self.scans} {'+'.join(self.skew) or 'iid'}"

    @property
    def names(self) -> list[str]:
        """Of the sites."""
        return site_names(self.sites)

    @property
    def has_validation(self) -> bool:
        """Whether its sites have scans to tune on."""
        return bool(self.valid) if self.data is None else read_site_file(self.data).split.valid > 0

    @cached_property
    def digest(self) -> str:
        """What the result depends on, without the name: the choices, and of scans on disk the site file and a listing.

        Of each file its path below the root and its size, and the label table's content: enough to see that data
        changed, on any machine, without reading every scan. The scans' own fingerprints stand in each row.
        """
        choices = self.model_dump_json(exclude_defaults=True, exclude={"name", "data"})
        return hashlib.sha256("\n".join([choices, *(_listing(self.data) if self.data else ())]).encode()).hexdigest()

    def open(self, seed: int, size: int, dims: int) -> dict[str, Dataset]:
        """The scans of every site, and of OUTSIDE if there is such a hospital, whose training labels are unknown."""
        if self.data is not None:
            return self._dealt(self.data, seed, size, dims)
        files = self.files(seed)
        opened = {site: open_site(file, site, [], size, dims) for site, file in files.items()}
        if OUTSIDE in opened:
            opened[OUTSIDE] = _unlabelled(opened[OUTSIDE])
        return opened

    def files(self, seed: int) -> dict[str, SiteFile]:
        """The phantom's site file of each site, and of OUTSIDE: what `brainct.yaml` would say there."""
        if SIMULATED in self.skew:
            raise Refused(f"federation {self.called}: the phantom has scanners of its own; skew it by `scanner`")
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
            found[OUTSIDE] = self._file(seed, SCANNERS[turn], self.scans, self.outside, None)
        return found

    def _sizes(self, rng: np.random.Generator) -> list[int]:
        if "size" not in self.skew:
            return [self.scans] * self.sites
        spare = self.sites * (self.scans - FEWEST)
        if spare < 0:
            raise Refused(f"federation {self.called}: {self.scans} scans a site; `size` skew needs {FEWEST} at least")
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

    def _dealt(self, path: Path, seed: int, size: int, dims: int) -> dict[str, Dataset]:
        by = [word for word in self.skew if word != SIMULATED]
        if "scanner" in by or len(by) > 1:
            raise Refused(
                f"federation {self.called}: scans on disk are dealt by `iid`, `label` or `size`, one of them, and seen "
                f"as they are or with `{SIMULATED}`"
            )
        file = read_site_file(path)
        how: dict[str, Any] = {"how": "dirichlet" if by == ["label"] else "size", "alpha": self.alpha}
        held = file.deal.test_scans if file.deal else None
        deal = Deal(**(how if by else {}), seed=seed, scans=self.scans, test_scans=held, public=self.public)
        changes = {"deal": deal, "batch_size": self.batch_size, "split": file.split.model_copy(update={"seed": seed})}
        opened = open_sites(file.model_copy(update=changes), self.names, size, dims)
        first = opened[self.names[0]]
        nothing = {fold: _part(first.folds["test"], slice(0)) for fold in FOLDS}
        opened[OUTSIDE] = replace(first, folds={**nothing, "test": first.folds["test"]}, notes=())
        return {site: self._through(site, scans, seed) for site, scans in opened.items()}

    def _through(self, site: str, scans: Dataset, seed: int) -> Dataset:
        """The site's scans as its own scanner would have taken them."""
        if SIMULATED not in self.skew:
            return scans
        return through(scans, a_scanner(generator(seed, "scanner", site)), generator(seed, "noise", site))


def pooled(opened: Mapping[str, Dataset], names: Sequence[str]) -> Dataset:
    """One site that has all sites' scans."""
    one = opened[names[0]]
    folds = {fold: _together([opened[site].folds[fold] for site in names]) for fold in FOLDS}
    fingerprint = hashlib.sha256("".join(opened[site].fingerprint for site in names).encode()).hexdigest()
    return Dataset(one.kind, folds, fingerprint, (), one.batch_size, one.device)


def shared_test(opened: Mapping[str, Dataset], names: Sequence[str]) -> bool:
    """Whether all sites test on the same scans."""
    tests = [opened[site].folds["test"].inputs for site in names]
    return len(tests) > 1 and all(torch.equal(tests[0], other) for other in tests[1:])


def _together(folds: Sequence[Fold]) -> Fold:
    images, labels = (torch.cat([getattr(fold, name) for fold in folds]) for name in ("images", "labels"))
    known = [fold.patients for fold in folds if fold.patients is not None]
    apart = [patients + at * len(images) for at, patients in enumerate(known)]
    return Fold(images, labels, torch.cat(apart) if len(known) == len(folds) else None)


def _part(fold: Fold, which: slice) -> Fold:
    return Fold(fold.inputs[which], fold.labels[which], None if fold.patients is None else fold.patients[which])


def _unlabelled(scans: Dataset) -> Dataset:
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
