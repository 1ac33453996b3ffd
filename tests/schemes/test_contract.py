"""What every registered scheme must do; being in the registry enrols a scheme here."""

import functools
import math
from dataclasses import replace

import pytest
import torch

from brainct.core import serialization
from brainct.core.learner import Fitted
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Task
from brainct.core.weights import difference, sha256
from brainct.errors import Refused
from brainct.run.record import RecordWriter
from brainct.run.rounds import Run
from brainct.schemes import SCHEMES, about, build
from brainct.site.agent import SiteAgent
from tests.conftest import first_weights, of_any, tiny_learner, tiny_model, tiny_plan, tiny_scans
from tests.support import by_hand
from tests.support.by_hand import MORE, sites_of
from tests.support.families import TRAINING
from tests.support.requests import reply_to, trains


def in_one_process(name, *marks):
    """A scheme's cases run in one test process, which then plays each run once."""
    return pytest.param(name, marks=[pytest.mark.xdist_group(name), *marks])


every_scheme = pytest.mark.parametrize("name", [in_one_process(name) for name in TRAINING])


def every_scheme_but(**exceptions):
    """All schemes; those named here, each with its reason, must break the law: an exception without need fails."""
    marks = {
        name: [pytest.mark.xfail(strict=True, raises=AssertionError, reason=why)] for name, why in exceptions.items()
    }
    return pytest.mark.parametrize("name", [in_one_process(name, *marks.get(name, ())) for name in TRAINING])


def play(name, rounds=4, **choices):
    """A run by hand, round by round."""
    plan = tiny_plan(name)
    return by_hand.play(
        SCHEMES[name](), plan, rounds, model=tiny_model(plan), sites=sites_of(name), counts={}, **choices
    )


def outcome(name, run):
    """What a run by hand ends with: the model, what goes with it, what sites keep and would use."""
    scheme, plan, rounds, last = SCHEMES[name](), tiny_plan(name), len(run), run[-1]
    task, used = Task(scheme.model(last.memory), scheme.extra(last.memory)), {}
    for site, keep in last.keeps.items():
        used[site] = scheme.personalise(task, scheme.adapt_input(task, tiny_learner(plan, site, rounds), keep), keep)
    return {"model": task.weights, "extra": task.extra, "kept": last.keeps, "used": used}


@functools.cache
def undisturbed(name):
    """The longest run that a law needs; the first rounds of a run do not depend on how many follow."""
    return play(name, 12)


@functools.cache
def played(name, rounds=4):
    """What an undisturbed run ends with, which several laws look at and none changes."""
    return outcome(name, undisturbed(name)[:rounds])


def eyes(name, played, site, client_state):
    """The learner with which a site, or, without client state, a held-out site asks the model that was played."""
    task = Task(played["model"], played["extra"])
    return SCHEMES[name]().adapt_input(task, tiny_learner(tiny_plan(name), site), client_state)


def log(name, agreed=None):
    """The model before and after a round in which training at each site gives this model, or by default what came.

    It is the first round that trains: for a scheme whose round 0 only collects, round 1.
    """
    scheme, plan, sites, trained = SCHEMES[name](), tiny_plan(name), sites_of(name), []

    def learner(plan, site, round, scans):
        return obedient(tiny_learner(plan, site, round, scans=scans), agreed, scans, trained)

    counts = {site: 3 + at for at, site in enumerate(sites)}
    for row in by_hand.rounds(scheme, plan, 2, model=tiny_model(plan), sites=sites, counts=counts, learner=learner):
        after = scheme.model(row.memory)
        if trained:
            break
    return scheme.model(scheme.start(tiny_model(plan), sites, 7)), after


def obedient(learner, agreed, count, trained):
    """A learner whose training gives this model, or by default what came, and notes in `trained` that it was asked."""

    def fit(weights, **_):
        trained.append("fit")
        return Fitted(agreed or weights, count, 2, 0.5, 0.0)

    def gradient(weights, **_):
        trained.append("gradient")
        return Fitted(difference(weights, agreed or weights), count, 1, 0.5, 0.0)

    real = learner.adapted
    learner.fit, learner.gradient = fit, gradient
    learner.adapted = lambda *words, **choices: obedient(real(*words, **choices), agreed, count, trained)
    return learner


ROUNDED = {"secagg": 2.0**-32}
"""How far a number may be from what it should be, for schemes that do not compute in the weights' own precision."""


def assert_same(name, found, wanted):
    """The same bit by bit, or within what the scheme rounds to."""
    if name not in ROUNDED:
        assert sha256(found) == sha256(wanted)
    else:
        assert max(float((found[key] - value).abs().max()) for key, value in wanted.items()) <= ROUNDED[name]


@every_scheme
def test_the_order_in_which_sites_answer_does_not_matter(name):
    assert serialization.sha256(played(name)) == serialization.sha256(outcome(name, play(name, backwards=True)))


@every_scheme
def test_memory_survives_save_and_load_between_rounds(name):
    there_and_back = outcome(name, play(name, between=lambda memory: serialization.unpack(serialization.pack(memory))))
    assert serialization.sha256(played(name)) == serialization.sha256(there_and_back)


@every_scheme_but(
    bf16="what travels is rounded; see test_bf16.py",
    headstart="its head is solved for in round 0, whatever came",
    ridge="its head is solved for, whatever came",
)
def test_sites_that_send_back_what_they_got_change_nothing(name):
    before, after = log(name)
    assert_same(name, after, before)


@every_scheme_but(
    bf16="what travels is rounded; see test_bf16.py",
    fedadagrad="the server's optimiser, not the sites, chooses the length of the step",
    fedadam="the server's optimiser, not the sites, chooses the length of the step",
    fedbabu="the head stays as it began; see test_parts.py",
    fedbn="normalisation layers stay; see test_parts.py",
    fedct="no weights travel; see test_fedct.py",
    feddyn="it goes on past the mean by h / alpha",
    fedper="heads stay; see test_parts.py",
    fedrep="heads stay; see test_parts.py",
    fedsgd="the server's rate, not the sites, chooses the length of the step",
    fedyogi="the server's optimiser, not the sites, chooses the length of the step",
    lgfedavg="bodies stay; see test_parts.py",
    minibatch="the server's rate, not the sites, chooses the length of the step",
    local="the server hears nothing",
    ridge="sites send matrices, not models",
    turns="the server's rate, not the sites, chooses the length of the step",
)
def test_sites_that_agree_are_believed(name):
    agreed = {key: torch.randn_like(value) for key, value in first_weights(tiny_plan(name)).items()}
    assert_same(name, log(name, agreed)[1], agreed)


def first_of(tasks):
    """The first site that is asked, and its task: not every scheme asks site-1 first."""
    return next(iter(sorted(tasks.items())))


@every_scheme
def test_no_function_changes_what_it_was_given(name):
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    model, client_state = tiny_model(plan), {}
    weights, memory = model.weights, scheme.start(model, sites_of(name), 7)
    hashes = serialization.sha256(weights), serialization.sha256(memory)
    site, task = first_of(scheme.assign(memory, 0, sites_of(name)))
    task_hash = serialization.sha256(task.weights)
    report, _ = scheme.reply(task, tiny_learner(plan, site), client_state)
    report_hash = serialization.sha256(report.weights)
    after = scheme.combine(memory, 0, {site: report for site in sites_of(name)})
    after_hash = serialization.sha256(after)
    scheme.model(after)
    scheme.combine(after, 1, {site: report for site in sites_of(name)})
    assert (serialization.sha256(weights), serialization.sha256(memory)) == hashes
    assert (serialization.sha256(task.weights), serialization.sha256(report.weights), serialization.sha256(after)) == (
        task_hash,
        report_hash,
        after_hash,
    )
    assert client_state == {}


@every_scheme
def test_the_same_round_combined_twice_gives_the_same_memory(name):
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    memory = scheme.start(tiny_model(plan), sites_of(name), 7)
    tasks = scheme.assign(memory, 0, sites_of(name))
    reports = {site: scheme.reply(tasks[site], tiny_learner(plan, site), {})[0] for site in sorted(tasks)}
    assert serialization.sha256(scheme.combine(memory, 0, reports)) == serialization.sha256(
        scheme.combine(memory, 0, reports)
    )


@every_scheme_but(ridge="round 0 says all, and the loss is in round 1; see test_ridge.py")
def test_a_lost_site_leaves_a_usable_model_that_differs(name):
    left = outcome(name, play(name, lost={("site-2", 1)}))
    assert all(
        torch.isfinite(value).all() for model in (left["model"], *left["used"].values()) for value in model.values()
    )
    whole = played(name)
    assert any(serialization.sha256(left[part]) != serialization.sha256(whole[part]) for part in ("model", "used"))


@pytest.mark.parametrize("name", sorted(MORE))
def test_a_scheme_that_is_tried_with_more_sites_refuses_to_lose_one_of_fewer(name):
    sites = sites_of(name)[:-1]
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    memory = scheme.start(tiny_model(plan), sites, 7)
    assert scheme.quorum(len(sites)) == len(sites)
    reports = {site: Report(task.weights, 1) for site, task in scheme.assign(memory, 0, sites).items()}
    scheme.combine(memory, 0, reports)
    with pytest.raises(Refused, match=f"{name}: .*{len(sites) - 1}"):
        scheme.combine(memory, 0, dict(list(reports.items())[1:]))
    with pytest.raises(Refused, match=f"{name}: .*{len(sites) - 1}"):
        scheme.start(tiny_model(plan), sites[1:], 7)


LOSSES = {"before": (1,), "during": (1,), "after": (2, 3)}
"""Rounds that end without a site: its request never came, its reply was lost on the way, or it left after a report."""


class Losing:
    """Gives requests to real agents; `gone` has no reply in the rounds that its loss says."""

    def __init__(self, name, folder, loss, gone="site-2"):
        scans = {site: of_any(tiny_scans(sum(site.encode()))) for site in sites_of(name)}
        self.agents = {
            site: SiteAgent(site, folder / "client_state", None, lambda f, site, *_: scans[site]) for site in scans
        }
        self.loss, self.gone, self.too_few = loss, gone, False

    def __call__(self, requests, inbox):
        for site in sorted(requests):
            lost = site == self.gone and trains(requests[site]) and requests[site].round in LOSSES[self.loss]
            if not lost:
                inbox.accept(site, reply_to(self.agents[site], requests[site]))
            elif self.loss == "during":
                reply = reply_to(self.agents[site], requests[site])
                assert "error" not in reply
                assert serialization.sha256(reply) == serialization.sha256(
                    reply_to(self.agents[site], requests[site])
                ), "asked once more"
        self.too_few = len(inbox.replies) < inbox.quorum


def ended(run):
    """The model and no word, or none and the words of the refusal."""
    try:
        return run(), ""
    except Refused as refusal:
        return {}, str(refusal)


@every_scheme
@pytest.mark.parametrize("loss", LOSSES)
def test_a_site_lost_before_during_or_after_its_reply_costs_what_is_stated_and_may_return(name, loss, tmp_path):
    plan = tiny_plan(name, rounds=5, evaluate_every=0)
    transport, record = (
        Losing(name, tmp_path, loss),
        RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False),
    )
    run = Run(plan, sites_of(name), transport, record, log=lambda line: None)
    model, refusal = ended(run)
    assert bool(refusal) == transport.too_few, refusal
    if refusal:
        assert "can't be closed" in refusal
        assert any(word in about(name).lost_site for word in ("can't be closed", "refused", "waits")), about(
            name
        ).lost_site
        return
    rounds = record.content["rounds"]
    asked = [number for number, row in enumerate(rounds) if "site-2" in row["bytes_sent"]]
    assert [number for number in asked if rounds[number]["lost"]] == [x for x in LOSSES[loss] if x in asked]
    assert all("site-2" in rounds[number]["bytes_received"] for number in asked if number > max(LOSSES[loss]))
    memory = serialization.load(tmp_path / "out" / "state" / "memory.safetensors")["memory"]
    for value in (*serialization.split(memory)[0].values(), *model.values()):
        assert torch.isfinite(value).all()
    assert set(record.content["test"]) == set(sites_of(name))


@every_scheme
def test_what_a_site_would_use_has_learned(name):
    plan = tiny_plan(name)
    before, after = first_weights(plan), played(name, 12)
    for site in sites_of(name):
        learner = eyes(name, after, site, after["kept"][site])
        assert learner.gradient(after["used"][site]).loss < learner.gradient(before).loss


@every_scheme_but(local="it shares nothing", fedct="it gives out labels to train on; see test_fedct.py")
def test_what_a_hospital_outside_is_given_has_learned(name):
    plan = tiny_plan(name)
    before, after = first_weights(plan), played(name, 12)
    learners = [eyes(name, after, site, {}) for site in sites_of(name)]
    assert sum(x.gradient(after["model"]).loss for x in learners) < sum(x.gradient(before).loss for x in learners)


def _nan(weights):
    return {key: value * math.nan if value.is_floating_point() else value for key, value in weights.items()}


@functools.cache
def first_report(name):
    """A scheme, its first task, and an honest report on it."""
    scheme, plan = SCHEMES[name](), tiny_plan(name)
    site, task = first_of(scheme.assign(scheme.start(tiny_model(plan), sites_of(name), 7), 0, sites_of(name)))
    return scheme, task, scheme.reply(task, tiny_learner(plan, site), {})[0]


@every_scheme
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda r: replace(r, weights=_nan(r.weights)), "NaN"),
        (lambda r: replace(r, weights={**r.weights, "more": torch.ones(1)}), "not asked for: more"),
        (lambda r: replace(r, weights=dict(list(r.weights.items())[1:])), "missing tensors"),
        (lambda r: replace(r, weights={k: v.half() for k, v in r.weights.items()}), "dtype torch.float16"),
        (lambda r: replace(r, examples=0), "reports 0 examples"),
        (lambda r: replace(r, examples=-4), "reports -4 examples"),
        (lambda r: replace(r, examples=2.5), "reports 2.5 examples"),
        (lambda r: replace(r, metrics={"loss": math.inf}), "metrics/loss is inf"),
        (lambda r: replace(r, extra={**r.extra, "c": [torch.tensor(math.nan)]}), "extra/c/0 holds 1 NaN"),
    ],
)
def test_the_check_of_reports_refuses_a_spoilt_one_and_names_its_site(name, spoil, words):
    scheme, task, report = first_report(name)
    check_report(report, task, scheme, "hospital-b, round 0")
    if not report.weights and spoil(report) == report:
        pytest.skip("a report without tensors has none to spoil")
    with pytest.raises(Refused, match=f"hospital-b, round 0: .*{words}"):
        check_report(spoil(report), task, scheme, "hospital-b, round 0")


@every_scheme
def test_a_scheme_is_rebuilt_from_its_name_and_arguments(name):
    scheme = SCHEMES[name]()
    again = build(scheme.name, scheme.arguments)
    assert (again.name, again.arguments) == (scheme.name, scheme.arguments) == (name, scheme.arguments)
    assert serialization.unpack(serialization.pack(scheme.arguments)) == scheme.arguments


@every_scheme
def test_the_quorum_is_possible_for_any_number_of_sites(name):
    scheme = SCHEMES[name]()
    assert all(1 <= scheme.quorum(asked) <= asked for asked in range(1, 40))


@every_scheme
def test_a_docs_row_and_a_job_stand_for_it(name):
    from brainct.job.folders import JOBS

    assert name in {row["scheme"] for row in JOBS.values()}
    row = dict(vars(about(name)))
    reason = row.pop("needs_all_rounds")
    assert not reason or len(reason) > 3
    assert all(len(text) > 3 for text in [*row.pop("blocks").values(), *row.values()])


def test_an_unknown_scheme_or_argument_is_refused_with_what_is_known():
    with pytest.raises(Refused, match=r"unknown scheme 'fedmax'; known are .*fedavg, .*feddc"):
        build("fedmax", {})
    with pytest.raises(Refused, match="scheme feddc: .*daisy.*; it takes daisy_period, aggregation_period, weight_by"):
        build("feddc", {"daisy": 3})
