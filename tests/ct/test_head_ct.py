"""The public set Head CT, where it is present: read whole, near duplicates found, partitioned."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from brainct.ct.dataset import open_site, open_sites
from brainct.ct.preprocess import thumbnail
from brainct.ct.read.decode import decode
from brainct.ct.read.listing import list_scans
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.ct.split import near_duplicates
from brainct.training.data import FOLDS
from tests.support.forged import (
    PNG,
    everything,
    labels_of,
)

POC = Path(__file__).parents[2] / "poc" / "sites"
GIVEN = os.environ.get("BRAINCT_HEAD_CT", "")
HEAD_CT = Path(GIVEN) if GIVEN else Path(__file__).parents[3] / "shared" / "data" / "head_ct"


real = pytest.mark.skipif(
    not (HEAD_CT / "labels.csv").exists(),
    reason="Head CT is not here: set BRAINCT_HEAD_CT to the folder of its labels.csv",
)


def head_ct(**choices: object) -> SiteFile:
    return SiteFile(kind="png_csv", root=HEAD_CT, images=PNG["images"], columns=PNG["columns"], device="cpu", **choices)


@real
def test_the_real_head_ct_is_read_whole() -> None:
    began = time.process_time()
    data = open_site(head_ct(allow_missing=True), "a", ["a"])
    assert time.process_time() - began < 20
    labels = labels_of(data)
    assert len(labels) >= 140
    assert labels[:, 5].mean() == 0.5
    assert np.isnan(labels[:, :5]).all()
    assert all(abs(float(fold.labels[:, 5].mean()) - 0.5) < 0.1 for fold in data.folds.values())
    for image in everything(data):
        assert image.shape == (3, 96, 96)
        assert image.min() >= 0
        assert 0.5 < image.max() <= 1


@real
def test_the_known_near_duplicates_of_head_ct_are_joined_and_few_others() -> None:
    entries = list_scans(head_ct(allow_missing=True))[0]
    numbers = [int(entry.path.stem) for entry in entries]
    small = np.stack([thumbnail(decode(entry, 2)[0]) for entry in entries])
    found = {(numbers[one], numbers[other]) for one, other in near_duplicates(small)}
    known = {(11, 61), (12, 30), (188, 189), (198, 199), (105, 187)}
    assert {pair for pair in known if set(pair) <= set(numbers)} <= found
    assert len(found) <= len(numbers) / 7


@real
def test_the_head_ct_site_file_trains_on_sixteen_a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINCT_HEAD_CT", str(HEAD_CT.resolve()))
    sites = [f"site-{number}" for number in range(1, 5)]
    opened = open_sites(read_site_file(POC / "head_ct.yaml"), sites, 48)
    assert [[len(opened[site].folds[fold]) for fold in FOLDS[:2]] for site in sites] == [[16, 0]] * 4
    tested = {len(opened[site].folds["test"]) for site in sites}
    assert len(tested) == 1
    assert tested.pop() >= 140 - 64 - 4
