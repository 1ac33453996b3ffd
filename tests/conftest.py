"""What tests share: a tiny network, tiny federations, and where the real head CT lies if it is there."""

import functools
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from brainct.core import determinism
from brainct.core.learner import Model
from brainct.ct import phantom
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of
from brainct.job.config import Plan, plan_of
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold, Public
from brainct.training.learner import TorchLearner

ROOT = Path(__file__).parent.parent
TINY = {"architecture": "cnn", "size": 32, "options": {"widths": [8, 8]}}
CHAIN = {"architecture": "vgg-small", "size": 32, "options": {"widths": [8, 8], "hidden": 16}}
UNET = {"size": 32, "options": {"widths": [4, 8]}}
FOURIER = {"architecture": "cnn-fourier", "size": 32, "options": {"widths": [8, 8], "fourier": 1}}
NETWORK_FOR = {
    "fedma": CHAIN,
    "radon_fourier": FOURIER,
    "ct_neighbours": {**TINY, "channels": 9},
    "ct_volumes": {**TINY, "dims": 3},
    "segment_fedavg": UNET,
    "segment_feddc": UNET,
}
"""The tiny network of schemes and jobs that refuse the common one."""
PUBLIC = 10
"""Scans of the tiny public set."""
PHANTOM = "kind: phantom\nphantom: {scans: 16}\nsplit: {train: 0.5, valid: 0.25, test: 0.25}\nbatch_size: 4\n"


settings.register_profile("fast", deadline=None, derandomize=True, max_examples=25)
settings.register_profile("thorough", deadline=None, derandomize=True, max_examples=150)
settings.load_profile(os.environ.get("BRAINCT_EXAMPLES", "fast"))

MEMORY, ROOM = Path("/dev/shm"), 4 << 30
"""Where temporary files of the fast lane go if so many bytes are free: every fsync of a state costs 20 ms on a disk."""


def pytest_configure(config):
    fast = not config.option.markexpr.startswith("slow")
    if fast and MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_xdist_auto_num_workers(config):
    """The fast lane computes on two cores; the slow lane starts federations, which also wait, three at a time."""
    return 3 if config.option.markexpr.startswith("slow") else 2


def pytest_collection_modifyitems(items):
    """What a module sets up once is set up in one test process."""
    for item in items:
        fixtures = [one for each in item._fixtureinfo.name2fixturedefs.values() for one in each]
        if any(one.scope == "module" for one in fixtures) and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


@pytest.fixture(autouse=True)
def the_same_each_time():
    """One thread, one order of additions, as in every run; the same random numbers for tests that draw any."""
    determinism.one_thread()
    seed = int(os.environ.get("BRAINCT_TEST_SEED", "0"))
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)


@pytest.fixture(autouse=True, scope="session")
def drawn_once():
    """A site's phantom scans are drawn once in each test process; each caller gets copies."""
    draw = functools.lru_cache(maxsize=256)(phantom.phantom)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "phantom", lambda *asked: tuple(part.copy() for part in draw(*asked)))
        yield


@pytest.fixture
def small_site(tmp_path, monkeypatch):
    """A site file with 16 small phantom scans, found by every site through BRAINCT_SITE."""
    path = tmp_path / "site.yaml"
    path.write_text(PHANTOM)
    monkeypatch.setenv("BRAINCT_SITE", str(path))
    return path


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A simulator workspace with the project's policy; FLARE's own settings stay in the temporary folder too."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    shutil.copytree(ROOT / "poc" / "simulator" / "local", tmp_path / "workspace" / "local")
    return tmp_path / "workspace"


def tiny_plan(scheme: str = "fedavg", **choices) -> Plan:
    """A plan that runs in a second or two: a two-layer network on 32x32 pixels, no augmentation."""
    fit = {"optimizer": "sgd", "rate": 0.05, "augment": None, **choices.pop("fit", {})}
    network = NETWORK_FOR.get(scheme, TINY)
    return plan_of({"scheme": scheme, "network": network, "rounds": 3, "fit": fit, **choices}, "the test's plan")


def tiny_scans(seed: int, scans: int = 8, batch_size: int = 8) -> Dataset:
    """Random pictures with random labels of all six findings, the same for the same seed."""
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.random((scans, 3, 32, 32), dtype=np.float32))
    labels = torch.from_numpy(rng.integers(0, 2, (scans, 6)).astype(np.float32))
    return Dataset(
        "random",
        {"train": Fold(images, labels), "test": Fold(images, labels)},
        "0" * 64,
        (),
        batch_size,
        public=tiny_public,
    )


def of_any(scans: Dataset) -> Dataset:
    """The same scans with the label of `any` alone: five findings fewer to score."""
    unknown = torch.full((6,), torch.nan)
    unknown[5] = 0
    folds = {name: Fold(fold.inputs, fold.labels + unknown) for name, fold in scans.folds.items()}
    return replace(scans, folds=folds)


def tiny_public() -> Public:
    """Random pictures that all tiny sites hold alike."""
    rng = np.random.default_rng(99)
    return Public(torch.from_numpy(rng.random((PUBLIC, 3, 32, 32), dtype=np.float32)), "1" * 64)


def seeded_model(plan: Plan) -> Model:
    """The model before round 0."""
    return model_of(plan.network, plan.seed, plan.rounds)


def tiny_model(plan: Plan) -> Model:
    """The model before round 0 as a run gives it to a scheme of sites that hold the tiny public set."""
    return replace(seeded_model(plan), public=PUBLIC)


def tiny_learner(plan: Plan, site: str = "site-1", round: int = 0, **scans) -> TorchLearner:
    """A real learner on random pictures that belong to the site's name."""
    return learner_of(plan, tiny_scans(sum(site.encode()), **scans), offline(plan, site, round))


def first_weights(plan: Plan) -> dict[str, torch.Tensor]:
    """The weights before round 0."""
    return dict(seeded_model(plan).weights)
