"""Every scheme of the registry runs on masks unmodified, or is refused by name before anything is trained."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch

from brainct.catalogue.fitting import RUNS, fitting
from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse
from brainct.schemes import SCHEMES
from brainct.segment.workload import SEGMENT
from brainct.training.data import Dataset, Fold

SITES = site_names(7)
REFUSED = {
    **{"fedct": "labels, public", "fedma": "labels", "headstart": "labels", "ridge": "labels"},
    **dict.fromkeys(("orion", "peri", "peri_environments"), "columns"),
    "rebasin": "plain chain",
}
BY_DAY = ("feddc", "sitenorm", "secagg", "radon")
PAGE = Path(__file__).parents[2] / "docs" / "findings.md"


@cache
def data(site: str) -> Dataset:
    """Two bright squares on noise, and where they are."""
    random = torch.Generator().manual_seed(sum(site.encode()))
    masks = torch.zeros(2, 1, 16, 16)
    masks[0, :, 3:9, 4:10] = masks[1, :, 8:13, 2:8] = 1
    images = 0.3 * torch.rand(2, 1, 16, 16, generator=random) + 0.6 * masks
    fold = Fold(images, masks)
    return Dataset("phantom", {"train": fold, "valid": fold, "test": fold}, "0" * 64, outputs=("any",))


def plan(scheme: str):
    network = {"size": 16, "channels": 1, "options": {"widths": [4, 8]}}
    fit = {"optimizer": "sgd", "rate": 0.05, "augment": None}
    small = {"findings": ["any"], "network": network, "fit": fit, "rounds": 2, "evaluate_every": 0}
    return plan_of({"scheme": scheme, "workload": "segment", **small}, scheme)


@pytest.mark.parametrize(
    "scheme",
    [
        pytest.param(name, marks=[] if name in BY_DAY or name in REFUSED else pytest.mark.slow)
        for name in sorted(SCHEMES)
    ],
)
def test_a_scheme_runs_on_masks_or_is_refused(scheme, tmp_path):
    if scheme in REFUSED:
        with pytest.raises(Refused, match=REFUSED[scheme]):
            run(scheme, tmp_path)
        return
    content = run(scheme, tmp_path)
    assert content["test"]["site-1"]["any"]["dice"] is not None


def run(scheme, folder):
    opened = lambda file, site, sites, plan: data(site)  # noqa: E731
    return rehearse(plan(scheme), SITES, folder / "out", opener=opened, log=lambda line: None).content


def test_the_table_of_schemes_says_who_is_refused_and_why():
    found = fitting("segment")
    assert set(found) == set(SCHEMES)
    assert {name for name, verdict in found.items() if verdict != RUNS} == set(REFUSED)
    assert all(words in found[name] for name, words in REFUSED.items())
    assert SEGMENT.name in found["ridge"]
    listed = PAGE.read_text().split("says which schemes run on masks", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall("`([a-z_]+)`", listed)) == set(REFUSED)
    assert f"{len(SCHEMES) - len(REFUSED)} do" in listed
