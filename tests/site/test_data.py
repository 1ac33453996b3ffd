"""A data set that is partitioned among sites: opened once for all that share a process, or before they are forked."""

import shutil
from pathlib import Path

import pytest
import torch

from brainct.errors import Refused
from brainct.flare import simulator_process
from brainct.job import folders
from brainct.site import data
from brainct.site.data import SharedOpener, open_data
from tests.conftest import tiny_plan
from tests.support.forged import PNG, png_set, site_file
from tests.support.simulator import small_job

SITES = ["site-1", "site-2", "site-3"]
SHARED = {"partition": {"how": "iid", "test": "shared"}, "device": "cpu", "root": "scans"}


@pytest.fixture
def partitioned(tmp_path: Path) -> Path:
    png_set(tmp_path)
    return site_file(tmp_path, **PNG, **SHARED)


def same(one, other) -> bool:
    assert one.fingerprint == other.fingerprint
    return all(torch.equal(one.fold(fold).inputs, other.fold(fold).inputs) for fold in ("train", "test"))


def test_what_was_opened_for_all_sites_is_what_each_opens_alone(partitioned):
    opener, plan = SharedOpener(), tiny_plan()
    alone = {site: open_data(partitioned, site, SITES, plan) for site in SITES}
    opener.open(partitioned, SITES, plan)
    shutil.rmtree(partitioned.parent / "scans")
    for found in (opener, opener.found):
        assert all(same(found(partitioned, site, SITES, plan), alone[site]) for site in SITES)


@pytest.mark.parametrize("other", ["sites", "size", "file"])
def test_another_question_gets_no_answer_out_of_what_was_opened(other, partitioned, tmp_path):
    opener, plan = SharedOpener(), tiny_plan()
    opener.open(partitioned, SITES, plan)
    asked = {"file": partitioned, "site": "site-1", "sites": SITES, "plan": plan}
    if other == "sites":
        asked["sites"] = SITES[:2]
    elif other == "size":
        asked["plan"] = tiny_plan(network={**plan.network.model_dump(), "size": 40})
    else:
        png_set(tmp_path / "elsewhere", range(24))
        asked["file"] = site_file(tmp_path / "elsewhere", **PNG, **SHARED)
    assert opener.found(**asked).fingerprint == open_data(**asked).fingerprint
    assert opener.found(**asked).fold("train").inputs.shape == open_data(**asked).fold("train").inputs.shape
    assert same(opener(**asked), open_data(**asked))


def test_a_data_set_that_is_not_partitioned_is_left_to_each_site(tmp_path):
    png_set(tmp_path)
    file, opener, plan = site_file(tmp_path, **PNG, device="cpu", root="scans"), SharedOpener(), tiny_plan()
    opener.open(file, SITES, plan)
    assert len(opener(file, "site-1", SITES, plan).fold("train").inputs)
    shutil.rmtree(tmp_path / "scans")
    with pytest.raises(Refused, match="site-2"):
        opener(file, "site-2", SITES, plan)


def test_brainct_simulate_opens_a_partitioned_data_set_before_it_forks_the_sites(partitioned, tmp_path, monkeypatch):
    opener = SharedOpener()
    monkeypatch.setattr(data, "FORKED", opener)
    monkeypatch.setenv("BRAINCT_SITE", str(partitioned))
    job = small_job(tmp_path / "jobs", "fedavg")
    simulator_process._warm_up(job, ["site-2", "site-1", "site-3"])
    shutil.rmtree(partitioned.parent / "scans")
    assert all(len(opener.found(partitioned, site, SITES, folders.read(job)).fold("train").inputs) for site in SITES)


def test_what_cannot_be_opened_is_for_each_site_to_say(partitioned, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "FORKED", SharedOpener())
    monkeypatch.setenv("BRAINCT_SITE", str(partitioned))
    shutil.rmtree(partitioned.parent / "scans")
    simulator_process._warm_up(small_job(tmp_path / "jobs", "fedavg"), SITES)
