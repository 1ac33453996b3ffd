"""What every registered scheme must do; being in the registry enrols a scheme here."""

import math
from dataclasses import replace

import pytest
import torch

from brainct import plain
from brainct.errors import Refused
from brainct.learner import model_of
from brainct.scheme import Report, check_report
from brainct.schemes import SCHEMES, about, build
from brainct.weights import sha256
from tests.conftest import first_weights, tiny_learner, tiny_plan

SITES = ["site-1", "site-2", "site-3"]
every_scheme = pytest.mark.parametrize("name", sorted(SCHEMES))


def play(name, rounds=4, *, lost=(), between=lambda memory: memory, backwards=False, counts=None):
    """A run by hand: real learners, no loop of ours; returns the model."""
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    memory = scheme.start(model_of(plan), SITES, 7)
    keeps = {site: {} for site in SITES}
    for number in range(rounds):
        reports = {}
        tasks = scheme.assign(memory, number, SITES)
        for site in sorted(tasks, reverse=backwards):
            if (site, number) in lost:
                continue
            learner = tiny_learner(plan, site, number, scans=(counts or {}).get(site, 8))
            reports[site], keeps[site] = scheme.reply(tasks[site], learner, keeps[site])
        memory = between(scheme.combine(memory, number, dict(sorted(reports.items()))))
    return scheme.model(memory)


@every_scheme
def test_the_order_in_which_sites_answer_does_not_matter(name):
    assert sha256(play(name)) == sha256(play(name, backwards=True))


@every_scheme
def test_memory_survives_save_and_load_between_rounds(name):
    there_and_back = play(name, between=lambda memory: plain.unpack(plain.pack(memory)))
    assert sha256(play(name)) == sha256(there_and_back)


@every_scheme
def test_sites_that_agree_are_believed(name):
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    agreed = {key: torch.randn_like(value) for key, value in first_weights(plan).items()}
    memory = scheme.start(model_of(plan), SITES, 7)
    tasks = scheme.assign(memory, 0, SITES)
    memory = scheme.combine(memory, 0, {site: Report(agreed, examples=n) for n, site in enumerate(tasks, 3)})
    assert sha256(scheme.model(memory)) == sha256(agreed)


@every_scheme
def test_no_function_changes_what_it_was_given(name):
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    model, keep = model_of(plan), {}
    weights, memory = model.weights, scheme.start(model, SITES, 7)
    hashes = plain.sha256(weights), plain.sha256(memory)
    task = scheme.assign(memory, 0, SITES)["site-1"]
    task_hash = plain.sha256(task.weights)
    report, _ = scheme.reply(task, tiny_learner(plan), keep)
    report_hash = plain.sha256(report.weights)
    after = scheme.combine(memory, 0, {site: report for site in SITES})
    after_hash = plain.sha256(after)
    scheme.model(after)
    scheme.combine(after, 1, {site: report for site in SITES})
    assert (plain.sha256(weights), plain.sha256(memory)) == hashes
    assert (plain.sha256(task.weights), plain.sha256(report.weights), plain.sha256(after)) == (
        task_hash,
        report_hash,
        after_hash,
    )
    assert keep == {}


@every_scheme
def test_the_same_round_combined_twice_gives_the_same_memory(name):
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    memory = scheme.start(model_of(plan), SITES, 7)
    tasks = scheme.assign(memory, 0, SITES)
    reports = {site: scheme.reply(tasks[site], tiny_learner(plan, site), {})[0] for site in SITES}
    assert plain.sha256(scheme.combine(memory, 0, reports)) == plain.sha256(scheme.combine(memory, 0, reports))


@every_scheme
def test_a_lost_site_leaves_a_usable_model_that_differs(name):
    model = play(name, lost={("site-2", 1)})
    assert all(torch.isfinite(value).all() for value in model.values())
    assert sha256(model) != sha256(play(name))


@every_scheme
def test_it_learns(name):
    plan = tiny_plan(name)
    before, after = first_weights(plan), play(name, rounds=12)
    for site in SITES:
        learner = tiny_learner(plan, site)
        assert learner.gradient(after).loss < learner.gradient(before).loss


@every_scheme
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda r: replace(r, weights={**r.weights, "head.bias": r.weights["head.bias"] * math.nan}), "head.bias"),
        (lambda r: replace(r, weights={**r.weights, "more": torch.ones(1)}), "not asked for: more"),
        (lambda r: replace(r, weights=dict(list(r.weights.items())[1:])), "missing tensors"),
        (lambda r: replace(r, weights={k: v.double() for k, v in r.weights.items()}), "dtype torch.float64"),
        (lambda r: replace(r, examples=0), "reports 0 examples"),
        (lambda r: replace(r, examples=-4), "reports -4 examples"),
        (lambda r: replace(r, examples=2.5), "reports 2.5 examples"),
        (lambda r: replace(r, metrics={"loss": math.inf}), "metrics/loss is inf"),
        (lambda r: replace(r, extra={"c": [torch.tensor(math.nan)]}), "extra/c/0 holds 1 NaN"),
    ],
)
def test_the_guard_at_the_door_refuses_a_spoilt_report_and_names_its_site(name, spoil, words):
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    task = scheme.assign(scheme.start(model_of(plan), SITES, 7), 0, SITES)["site-1"]
    report = scheme.reply(task, tiny_learner(plan), {})[0]
    check_report(report, task, scheme, "hospital-b, round 0")
    with pytest.raises(Refused, match=f"hospital-b, round 0: .*{words}"):
        check_report(spoil(report), task, scheme, "hospital-b, round 0")


@every_scheme
def test_a_scheme_is_rebuilt_from_its_name_and_arguments(name):
    scheme = SCHEMES[name]()
    again = build(scheme.name, scheme.arguments)
    assert (again.name, again.arguments) == (scheme.name, scheme.arguments) == (name, scheme.arguments)
    assert plain.unpack(plain.pack(scheme.arguments)) == scheme.arguments


@every_scheme
def test_the_quorum_is_possible_for_any_number_of_sites(name):
    scheme = SCHEMES[name]()
    assert all(1 <= scheme.quorum(asked) <= asked for asked in range(1, 40))


@every_scheme
def test_a_docs_row_and_a_job_stand_for_it(name):
    from brainct.jobs import JOBS

    assert name in {row["scheme"] for row in JOBS.values()}
    assert all(len(text) > 3 for text in vars(about(name)).values())


def test_an_unknown_scheme_or_argument_is_refused_with_what_is_known():
    with pytest.raises(Refused, match=r"unknown scheme 'fedmax'; known are fedavg, feddc"):
        build("fedmax", {})
    with pytest.raises(Refused, match="scheme feddc: .*daisy.*; it takes daisy_period, aggregation_period, weight_by"):
        build("feddc", {"daisy": 3})
