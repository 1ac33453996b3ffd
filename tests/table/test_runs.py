"""Whole runs on tables: the same model on every backend, every scheme that makes sense, and who is refused."""

import json
from dataclasses import replace

import pytest

from brainct.core.report_check import check_report
from brainct.core.scheme import Task, followed
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.job.folders import JOBS
from brainct.run.rehearse import rehearse
from brainct.schemes import SCHEMES
from brainct.security.policy_file import reply_filter_of
from brainct.table.workload import TABLE
from tests.support.requests import request
from tests.table.tables import FIT, SITES, WINE, learner_at, opened, table_plan

RADON = {"part": "head"}


def names(count):
    return [f"site-{at:02}" for at in range(1, count + 1)]


def played(plan, sites=SITES):
    """The model after all rounds by hand, and the mean AUROC of the sites."""
    scheme, data = plan.build(), opened(plan, sites)
    keeps = {site: {} for site in sites}
    model = replace(TABLE.initial(plan, plan.seed, plan.rounds), public=len(data[sites[0]].public().inputs))
    memory = scheme.start(model, sites, plan.seed)
    for number in range(plan.rounds):

        def ask(site, task, number=number):
            report, keeps[site] = scheme.reply(task, learner_at(plan, data, site, number), keeps[site])
            check_report(report, task, scheme, site)
            return report

        tasks = sorted(scheme.assign(memory, number, sites).items())
        reports = {site: ask(site, task) for site, task in tasks}
        memory = scheme.combine(memory, number, followed(scheme, memory, number, reports, ask))
    task, found = Task(scheme.model(memory), scheme.extra(memory)), {}
    for site in sites:
        learner = scheme.adapt_input(task, learner_at(plan, data, site, plan.rounds), keeps[site])
        found[site] = learner.evaluate(scheme.personalise(task, learner, keeps[site]))["all"]
    return scheme.model(memory), found


CHAINS = {"fedma", "rebasin"}
"""Schemes that permute units, which know head CT's chains alone."""


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_every_scheme_runs_on_a_table_or_says_what_it_lacks(name):
    arguments = {"findings": ["malignant"], "warmup": 0, "period": 1} if name == "fedct" else {}
    choices = {"arguments": arguments, "model": {"kind": "mlp", "hidden": [8]}}
    if lacking := SCHEMES[name]().needs - TABLE.offers:
        with pytest.raises(Refused, match=f"scheme {name} needs {', '.join(lacking)}, which workload table does not"):
            table_plan(name, **choices)
        return
    sites, plan = names(5 if "krum" in name else 4), table_plan(name, rounds=3, **choices)
    if name in CHAINS:
        with pytest.raises(Refused, match=f"{name} can't treat network 'mlp'"):
            played(plan, sites)
        return
    _, found = played(plan, sites)
    assert min(one["auroc"] for one in found.values()) > 0.85


@pytest.mark.parametrize("name", ["table_fedavg", "table_fedct"])
def test_a_job_gives_the_same_model_with_two_workers(name, tmp_path):
    plan = plan_of({**JOBS[name], "rounds": 6}, name)
    records = [rehearse(plan, SITES, tmp_path / str(n), workers=n, log=lambda line: None).content for n in (1, 2)]
    assert records[0]["model_sha256"] == records[1]["model_sha256"]
    sums = records[0]["sites"]["site-1"]["sums"]
    assert len(sums["count"]) == len(sums["sum"]) == len(sums["scatter"]) == 30
    assert json.dumps(records[0]["test"]).count("auroc") == len(SITES)


@pytest.mark.parametrize(("sites", "features"), [(4, 1), (20, 17)])
def test_the_radon_machine_works_where_its_guarantee_holds(sites, features):
    """One level of r = d + 2 sites, of d = D + 1 numbers: at most one Byzantine site does no harm."""
    from sklearn.datasets import load_breast_cancer

    columns = [str(name) for name in load_breast_cancer().feature_names[-features:]] if features > 1 else None
    fit = {**FIT, "epochs": 100}
    plan = table_plan("radon", rounds=1, arguments=RADON, features=columns or ["worst perimeter"], fit=fit)
    model, found = played(plan, names(sites))
    assert model["head.weight"].shape == (1, features)
    assert sum(one["auroc"] for one in found.values()) / sites > 0.9
    with pytest.raises(Refused, match=f"radon: {sites + 1} models; .* it takes {sites}"):
        played(plan, names(sites + 1))


def test_four_kinds_of_models_train_together_on_labels_alone():
    kinds = {"trees": ["site-02"], "forests": ["site-03"], "rules": ["site-04"]}
    arguments = {"findings": ["malignant"], "warmup": 0, "period": 1, **kinds}
    plan = table_plan("fedct", rounds=3, arguments=arguments)
    alone = table_plan("fedct", rounds=3, arguments={**arguments, "period": None})
    _, together = played(plan, names(4))
    _, apart = played(alone, names(4))
    assert min(one["accuracy"] for one in together.values()) > 0.8
    assert all(together[site] != apart[site] for site in names(4)[1:])
    assert TABLE.initial(plan, 1, 3).outputs == ("malignant",)


def test_classes_train_and_are_scored():
    _, found = played(table_plan(**WINE, rounds=3, fit={**FIT, "epochs": 10}))
    assert min(one["accuracy"] for one in found.values()) > 0.8


POLICIES = [
    {"training": {"clip": 1, "noise": 1, "sampling": 0.5}},
    {"clip": 1, "noise": 1},
]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_of_noise_lets_no_exact_sums_leave(policy, tmp_path):
    door = reply_filter_of(policy, tmp_path, "site-1")
    for standardise in (True, False):
        plan = table_plan(standardise=standardise)
        description = {"about": TABLE.describe(opened(plan)["site-1"])}
        reply = door.reply_plain(request(plan, "describe", sites=SITES), description)
        assert ("error" in reply) == standardise
        assert not standardise or "sums over each column" in reply["error"]


def test_small_classes_are_withheld_together():
    plan = table_plan()
    about = TABLE.describe(opened(plan)["site-1"])
    assert TABLE.without_small(about, 10**4, plan)["folds"]["train"]["classes"] == [None, None]
    assert TABLE.without_small(about, 1, plan) == about
