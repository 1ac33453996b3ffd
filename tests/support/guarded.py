"""A site as a server meets it: an agent behind its policy."""

import numpy as np
import torch

from brainct.security.policy_file import reply_filter_of
from brainct.security.reply_filter import FilteredAgent
from brainct.site.agent import SiteAgent
from brainct.training.data import Dataset, Fold
from tests.conftest import tiny_public
from tests.support import requests

SITE = "site-1"
SITES = ["site-1", "site-2", "site-3"]


def hospital(seed, scans=20, fingerprint="0" * 64):
    """Scans that differ by the seed in their pixels alone: ten of each label in each fold, so that counts are equal."""
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.random((scans, 3, 32, 32), dtype=np.float32))
    labels = (torch.arange(scans) % 2).float()[:, None].repeat(1, 6)
    folds = {name: Fold(images, labels) for name in ("train", "valid", "test")}
    return Dataset("random", folds, fingerprint, ("twenty scans",), 8, public=tiny_public)


def door(folder, scans=None, policy=None):
    """A site as a server meets it: its agent behind the filter of its policy."""
    held = scans or hospital(0)
    agent = SiteAgent(SITE, folder / "client_state", None, lambda *_: held)
    return FilteredAgent(agent, reply_filter_of({**(policy or {}), "folder": str(folder / "privacy")}, folder, SITE))


def request(plan, kind="train", **changes):
    """A sound request to a site of three."""
    return requests.request(plan, kind, **{"sites": SITES, **changes})


def moved(weights, by):
    """A task of these weights, all of them larger by so much."""
    return requests.task_of({key: value + by for key, value in weights.items()})


def begun(folder, plan, **choices):
    """Such a site after the roll call of a run."""
    site = door(folder, **choices)
    assert "about" in site.reply_plain(request(plan, "describe"))
    return site
