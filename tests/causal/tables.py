"""Small causal tables for tests: plans, sites with given rows, and runs by hand."""

import numpy as np

from brainct.causal.config import CausalChoices
from brainct.causal.dataset import data_of
from brainct.causal.site_config import CausalFile
from brainct.core import serialization
from brainct.core.scheme import Task
from brainct.job.config import plan_of
from brainct.security.credentials import offline

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


def played(plan, rows, lie=lambda site, report: report, lost=(), watch=lambda memory: None):
    """The graph of a run by hand, and what goes with it.

    lie: what a site sends in place of its report. lost: (site, round) pairs without a report. watch: sees the memory
    before each round in which a site is asked.
    """
    scheme, names = plan.build(), SITES[: len(rows)]
    opened = {site: opener_of(rows)(None, site, names, plan) for site in names}
    memory, keeps = scheme.start(plan.kind.initial(plan, 1, plan.rounds), names, 1), {site: {} for site in names}
    for number in range(plan.rounds):
        reports, tasks = {}, scheme.assign(memory, number, names)
        if tasks:
            watch(memory)
        for site, task in sorted(tasks.items()):
            learner = plan.kind.learner(plan, opened[site], context_of(plan, site, number), None)
            report, keeps[site] = scheme.reply(task, learner, keeps[site])
            if (site, number) not in lost:
                reports[site] = lie(site, report)
        before = serialization.sha256(memory)
        after = scheme.combine(memory, number, reports)
        assert serialization.sha256(memory) == before
        memory = serialization.unpack(serialization.pack(after))
        if not tasks:
            break
    return scheme.model(memory), scheme.extra(memory)


def context_of(plan, site, number):
    return offline(plan, site, number)
