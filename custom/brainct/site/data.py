"""A site's data: where its file is, and what was opened from it."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from brainct.core.determinism import one_thread
from brainct.errors import Refused
from brainct.job.config import Plan

ENVIRONMENT = "BRAINCT_SITE"

Opener = Callable[[Path | None, str, Sequence[str], Plan], Any]
"""Opens a site's data: given the site file, the site's name, all sites' names and the job's plan."""


def open_data(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Any:
    """The data of one site as the plan's workload opens them."""
    return plan.kind.open(file, site, sites, plan)


def site_file_of(kit: Path | None) -> Path | None:
    """The file that names a site's data: its kit's local/brainct.yaml, else the one that BRAINCT_SITE names."""
    if kit is not None and (kit / "local" / "brainct.yaml").is_file():
        return kit / "local" / "brainct.yaml"
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


def of_site(file: Path | None, site: str) -> Path | None:
    """The file with the site's name for each `{site}` in it, so that simulated sites can have files of their own."""
    return None if file is None else Path(str(file).replace("{site}", site))


class OpenedData:
    """The data of one site, opened once for a job's choices of its workload."""

    def __init__(self, site: str, file: Path | None, opener: Opener):
        self._site, self._file, self._opener = site, of_site(file, site), opener
        self._last: tuple[str, Any] | None = None

    def of(self, plan: Plan, sites: Sequence[str], public: bool) -> Any:
        """The data for this plan; refused where they do not fit it. public: a scheme needs the public set."""
        key = _key(plan, sites)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._opener(self._file, self._site, sites, plan))
        data = self._last[1]
        plan.kind.check(data, plan, self._site)
        if public:
            self._check_public(plan, data)
        return data

    def _check_public(self, plan: Plan, data: Any) -> None:
        try:
            plan.kind.check_public(data)
        except Refused as error:
            raise Refused(f"{self._site}: {error}") from None


class SharedOpener:
    """Opens a data set that is partitioned among several sites of one process once, not once for each."""

    def __init__(self) -> None:
        self._key: tuple[Path | None, str] | None = None
        self._opened: Mapping[str, Any] | None = None

    def open(self, file: Path | None, sites: Sequence[str], plan: Plan) -> None:
        """Open a partitioned data set for all sites, unless that was the last one; others are left to each site."""
        key = file, _key(plan, sites)
        if key != self._key:
            self._key, self._opened = key, plan.kind.open_all(file, sites, plan)

    def __call__(self, file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Any:
        """See Opener."""
        self.open(file, sites, plan)
        return self.found(file, site, sites, plan)

    def found(self, file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Any:
        """An Opener too, with the data set that `open` opened last; any other is opened for this site alone."""
        if self._opened is None or self._key != (file, _key(plan, sites)):
            return open_data(file, site, sites, plan)
        return self._opened[site]


FORKED = SharedOpener()
"""Of simulated sites whose processes are forked: what was opened before is there for all of them."""


def open_before_fork(sites: Sequence[str], plan: Plan) -> None:
    """Open a data set that is partitioned among these sites, which FORKED then has in each process forked from this.

    What can't be opened is for each site to say. With CUDA, which does not survive a fork, each site opens its own.
    """
    file = site_file_of(None)
    if file == of_site(file, "") and torch.version.cuda is None:
        one_thread()
        with suppress(Refused):
            FORKED.open(file, sorted(sites), plan)


def _key(plan: Plan, sites: Sequence[str]) -> str:
    """What a site's data depend on, apart from its file."""
    return json.dumps([plan.workload, list(sites), plan.model_dump(include=set(plan.kind.choices.model_fields))])
