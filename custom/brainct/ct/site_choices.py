"""What the site files of scans share, with labels or with masks, and their nested parts."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from brainct.ct.folds import WINDOWS
from brainct.training.site_choices import SampleCount, Seed, Share, SiteChoices, Split

__all__ = ["Partition", "PhantomChoices", "PublicSet", "SampleCount", "ScanChoices", "SiteChoices", "Split"]


class Partition(SiteChoices):
    """How one data set is partitioned among the sites of a simulation; a real hospital omits it.

    how: `iid` equal shares; `dirichlet` equal shares, `any` skewed; `size` unequal shares.
    alpha: concentration of the Dirichlet distribution, >= 0.001: small is very unequal, 100 is nearly equal.
    scans: training scans per site (for `size` the mean over sites); None for all.
    test: `shared` gives every site the same test scans, `own` gives each site some of its share.
    test_scans: size of the shared test fold; None is the split's fraction, `rest` all scans of no site.
    public: size of the public set of all sites, whose labels are not used, >= 1; None for no public set.
    """

    how: Literal["iid", "dirichlet", "size"] = "iid"
    alpha: Annotated[float, Field(ge=0.001)] = 0.5
    seed: Seed = 0
    scans: SampleCount | None = None
    test: Literal["shared", "own"] = "shared"
    test_scans: int | str | None = None
    public: SampleCount | None = None

    @field_validator("test_scans", mode="plain")
    @classmethod
    def _count_or_rest(cls, got: object) -> object:
        if got is None or got == "rest" or (isinstance(got, int) and not isinstance(got, bool) and got >= 1):
            return got
        raise ValueError(f"`partition.test_scans`: got {got!r}, wanted a number of scans >= 1, or `rest`")

    @model_validator(mode="after")
    def _consistent(self) -> "Partition":
        if self.how == "iid" and "alpha" in self.model_fields_set:
            raise ValueError(
                "`partition.alpha` is for `how: dirichlet` and `how: size`; `how: iid` has none: remove it"
            )
        if self.test == "own" and self.test_scans is not None:
            raise ValueError("`partition.test_scans` is for `test: shared`; with `test: own` set `split.test` instead")
        if self.test_scans == "rest" and self.scans is None:
            raise ValueError("`partition.test_scans: rest` needs `partition.scans`: without it no scan is left")
        return self


class PhantomChoices(SiteChoices):
    """The synthetic scans of one site: number, seed, difficulty, share of positives, and name of the scanner.

    slices: so many slices of each head, 5 mm apart, for jobs on slices; `scans` then counts heads, not slices.
    prevalence, scanner: None takes those of the site's name.
    public: scans in the public set, which depends on this number, the seed and the difficulty, not on the site's name.
    detail: names of phantom.details.DETAILS, which bring the scans nearer to real ones; not the public ones.
    """

    scans: SampleCount = 80
    slices: Annotated[int, Field(ge=1, le=64)] = 1
    seed: Seed = 0
    difficulty: Annotated[float, Field(gt=0)] = 1.0
    prevalence: Share | None = None
    scanner: str | None = None
    public: SampleCount = 96
    detail: tuple[str, ...] = ()

    @field_validator("detail")
    @classmethod
    def _known_details(cls, got: tuple[str, ...]) -> tuple[str, ...]:
        from brainct.ct.phantom import DETAILS

        if unknown := sorted(set(got) - set(DETAILS)):
            raise ValueError(f"`phantom.detail`: got {', '.join(unknown)}, wanted names of {', '.join(DETAILS)}")
        return got

    @field_validator("scanner")
    @classmethod
    def _known_scanner(cls, got: str | None) -> str | None:
        from brainct.ct.phantom import SCANNERS

        known = [scanner.name for scanner in SCANNERS]
        if got is not None and got not in known:
            raise ValueError(f"`phantom.scanner`: got {got!r}, wanted one of {', '.join(known)}")
        return got


Problem = Literal["secondary", "derived", "contrast", "bone", "body", "few", "missing"]


class SeriesRule(SiteChoices):
    """How the plain axial brain series of a study is found among the others (see ct.read.series_rule).

    slice_mm: the wanted distance of slices; of several plain series the nearest is chosen. least_slices: of a series.
    include, exclude: regular expressions on the description of a series; what `include` finds is chosen even if it is
    contrast, bone kernel or another part of the body. allow: reasons for which a series is not set aside.
    """

    slice_mm: Annotated[float, Field(gt=0)] = 5.0
    least_slices: SampleCount = 3
    include: str | None = None
    exclude: str | None = None
    allow: tuple[Problem, ...] = ()

    @field_validator("include", "exclude")
    @classmethod
    def _an_expression(cls, got: str | None) -> str | None:
        try:
            re.compile(got or "")
        except re.error as error:
            raise ValueError(f"`series`: got {got!r}, wanted a regular expression ({error})") from None
        return got


class PublicSet(SiteChoices):
    """The public scans that every site of the federation has: a folder with a manifest.

    root: the folder, like the site file's `root`. labels: the manifest in it, like a site's own; its findings are not
    used and may be empty.
    """

    root: Path
    labels: str = "labels.csv"


class ScanChoices(SiteChoices):
    """What every site file of scans may choose.

    root: the folder of the scans. windows: (level, width) in HU. fov_mm: side of the shown square or cube in mm.
    allow_missing: leave out images without a label or mask, and these without an image. on_unreadable,
    unreadable_share: whether scans that cannot be read are left out, up to this share. cache: a folder for decoded
    scans. kinds_of_key: keys that only some kinds read; others refuse them, because they would have no effect.
    """

    kinds_of_key: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    kind: str
    root: Path | None = None
    windows: tuple[tuple[float, float], ...] = WINDOWS
    fov_mm: Annotated[float, Field(gt=0)] | None = None
    split: Split = Split()
    batch_size: SampleCount = 8
    device: str = "auto"
    allow_missing: bool = False
    on_unreadable: Literal["refuse", "skip"] = "refuse"
    unreadable_share: Share = 0.05
    cache: Path | None = None
    phantom: PhantomChoices = PhantomChoices()

    @field_validator("device")
    @classmethod
    def _known_device(cls, got: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", got):
            raise ValueError(f"`device`: got {got!r}, wanted auto, cpu, cuda or cuda:N")
        return got

    @field_validator("windows")
    @classmethod
    def _wide(cls, got: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if not got or any(width <= 0 for _, width in got):
            raise ValueError("`windows`: wanted at least one [level, width] in HU, each width more than 0")
        return got

    def misplaced(self) -> list[str]:
        """A sentence for each key that the file's kind does not read."""
        return [
            f"`{key}` is not read by kind {self.kind}, only by {', '.join(kinds)}: remove it"
            for key, kinds in self.kinds_of_key.items()
            if key in self.model_fields_set and self.kind not in kinds
        ]
