"""Small causal tables for tests: plans, sites with given rows, and runs by hand."""

import numpy as np

from brainct.causal.config import CausalChoices
from brainct.causal.dataset import data_of
from brainct.causal.site_config import CausalFile
from brainct.core.scheme import Task
from brainct.job.config import plan_of

SITES = [f"site-{at}" for at in range(1, 5)]


def causal_plan(scheme="peri", p=None, **choices):
    """A plan on generated data, or on p columns."""
    named = {} if p is None else {"columns": [f"x{at}" for at in range(p)]}
    known = {"workload": "causal", "scheme": scheme, "rounds": 40, "evaluate_every": 0, **named, **choices}
    return plan_of(known, "the test's plan")


def opener_of(tables):
    """Gives each site the rows of a table, in the order of the sites' names."""

    def opener(file, site, sites, plan):
        rows = np.asarray(tables[sorted(sites).index(site)], np.float64)
        choices = CausalChoices(columns=plan.columns)
        return data_of([rows[:, at] for at in range(rows.shape[1])], CausalFile(kind="generated"), choices)

    return opener


def delivered(plan, record):
    """The graph and what goes with it, of a rehearsed run."""
    from brainct.run.model_file import read_model

    found = read_model(record.folder / "model.safetensors")
    return found.weights, found.extra


def shd(found, truth):
    """Pairs of columns between which the marks differ."""
    found, truth = np.asarray(found), np.asarray(truth)
    pairs = [(i, j) for i in range(len(truth)) for j in range(i)]
    return sum((found[i, j], found[j, i]) != (truth[i, j], truth[j, i]) for i, j in pairs)


def task_of(ask, **extra):
    return Task({}, {"ask": ask, **extra})
