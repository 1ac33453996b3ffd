"""DP-SGD at a site: what a step is without noise, what one patient can add, what the noise is, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from brainct.core.learner import PublicLabels
from brainct.core.scheme import followed
from brainct.core.weights import difference, sha256, squared_distance
from brainct.ct.learner import learner_of
from brainct.errors import Refused
from brainct.schemes import SCHEMES, about, build
from brainct.schemes._moments import moments, normalising
from brainct.security import policy as policies
from brainct.security.credentials import offline
from brainct.security.private_training import private_training
from brainct.security.score_rules import ScoreRule
from brainct.training.data import Dataset, Fold
from brainct.training.private import PrivateTraining, Steps, Training, clipped_sums, sample_gradients, sampled
from tests.conftest import first_weights, tiny_model, tiny_plan, tiny_scans
from tests.support.by_hand import sites_of
from tests.support.families import TRAINING

ONE = {"rate": 0.5, "steps": 1}
"""A single step of SGD at a rate that keeps what was added to the weights clear of rounding."""


def private_learner(
    plan=None, terms=None, *, secret=b"secret", scans=None, patients=None, charged=None, round=0, site="site-1"
):
    """A site that must train privately; what it pays goes onto the list `charged`."""
    scans = scans or tiny_scans(1)
    if patients is not None:
        train = replace(scans.folds["train"], patients=torch.tensor(patients))
        scans = replace(scans, folds={**scans.folds, "train": train})
    charged = [] if charged is None else charged
    terms = Training(**{"clip": 1.0, "noise": 1.0, "sampling": 0.5, **(terms or {})})
    private = PrivateTraining(terms, secret, lambda digest, event: charged.append((digest, event)))
    plan = plan or tiny_plan()
    return learner_of(plan, scans, offline(plan, site, round, private=private))


def moved(learner, **asked):
    """What training adds to the weights, as one vector."""
    weights = learner.initial().weights
    gap = difference(learner.fit(weights, **asked).weights, weights)
    return torch.cat([gap[key].flatten() for key in sorted(gap)])


SILENT = {"noise": 1e-9, "clip": 1e3, "sampling": 1.0}


@pytest.mark.parametrize("architecture", ["cnn", "densenet-small", "efficientnet-b0", "vgg-small"])
def test_without_clipping_noise_and_sampling_a_step_is_one_of_plain_training_on_all_scans(architecture):
    options = {"widths": [8, 8]} if architecture == "cnn" else {}
    plan = tiny_plan(fit=ONE, network={"architecture": architecture, "size": 32, "options": options})
    scans = tiny_scans(1, scans=4)
    plainly = learner_of(plan, scans, offline(plan, "site-1", 0))
    own, all_at_once = moved(private_learner(plan, SILENT, scans=scans)), moved(plainly)
    assert float((own - all_at_once).norm() / all_at_once.norm()) < 1e-4
    assert float(all_at_once.norm()) > 0


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_how_many_scans_are_held_at_a_time_changes_nothing_but_memory(chunk):
    scans = tiny_scans(1, batch_size=chunk)
    found = moved(private_learner(tiny_plan(fit=ONE), SILENT, scans=scans, patients=[0, 0, 0, 0, 0, 1, 2, 2]))
    whole = moved(private_learner(tiny_plan(fit=ONE), SILENT, patients=[0, 0, 0, 0, 0, 1, 2, 2]))
    assert float((found - whole).norm() / whole.norm()) < 1e-4


def clipped_sum(fold, patients, clip, chunk=3):
    """The sum of clipped gradients over all patients of the fold, at the first weights."""
    scans = Dataset("", {"train": replace(fold, patients=torch.tensor(patients))}, "", ())
    learner = private_learner(scans=scans)
    moving = dict(learner.network.named_parameters())
    train = scans.folds["train"]
    given = (learner.task.loss, learner.network, moving, learner.network_input)
    gradients = lambda index: sample_gradients(*given, train.inputs[index], train.labels[index])  # noqa: E731
    return sum(clipped_sums(train.units, gradients, clip, chunk))


@pytest.mark.parametrize("clip", [1e-3, 0.05, 1e3])
@pytest.mark.parametrize("patient", [0, 1, 2])
def test_a_patient_adds_at_most_c_however_many_scans_it_has(clip, patient):
    fold, patients = tiny_scans(1).folds["train"], [0, 1, 1, 1, 1, 1, 2, 2]
    rest = [at for at, whose in enumerate(patients) if whose != patient]
    without = Fold(fold.inputs[rest], fold.labels[rest])
    added = clipped_sum(fold, patients, clip) - clipped_sum(without, [patients[at] for at in rest], clip)
    assert float(added.norm()) <= clip * (1 + 1e-6)
    if clip == 1e-3:
        assert float(added.norm()) == pytest.approx(clip, rel=1e-5)


def test_two_scans_of_a_patient_are_clipped_together_and_apart_where_patients_are_unknown():
    twice = tiny_scans(1, scans=1).folds["train"]
    fold = Fold(twice.inputs.repeat(2, 1, 1, 1), twice.labels.repeat(2, 1))
    assert float(clipped_sum(fold, [7, 7], 1e-3).norm()) == pytest.approx(1e-3)
    assert float(clipped_sum(fold, [7, 8], 1e-3).norm()) == pytest.approx(2e-3)
    assert [unit.tolist() for unit in fold.units] == [[0], [1]]
    many = replace(fold, patients=torch.tensor([5, 5]))
    assert [unit.tolist() for unit in many.units] == [[0, 1]]


def test_the_sum_of_a_patients_gradients_is_clipped_and_not_each_of_them():
    gradients = torch.tensor([[3.0, 4.0], [0.0, 12.0], [0.0, 1.0]])
    units, length = [torch.tensor([0, 1]), torch.tensor([2])], (3**2 + 16**2) ** 0.5
    found = sum(clipped_sums(units, lambda scans: gradients[scans], 5.0, 2))
    assert found.tolist() == pytest.approx([3 * 5 / length, 16 * 5 / length + 1])


def test_a_gradient_that_is_not_finite_adds_nothing_and_is_not_told():
    """Otherwise a server could make weights with which only one patient's gradient overflows, and look for NaN."""
    gradients = torch.tensor([[3.0, 4.0], [torch.inf, 0.0], [torch.nan, 1.0], [0.0, 3e38]])
    units = list(torch.arange(4).split(1))
    found = sum(clipped_sums(units, lambda scans: gradients[scans], 1.0, 2))
    assert found.tolist() == pytest.approx([0.6, 0.8 + 1.0])
    together = sum(clipped_sums([torch.tensor([0, 1]), torch.tensor([3])], lambda scans: gradients[scans], 1.0, 2))
    assert together.tolist() == pytest.approx([0.0, 1.0])


def test_weights_at_which_training_overflows_are_answered_with_noise():
    learner = private_learner(tiny_plan(fit=ONE), {"sampling": 1.0})
    weights = {key: torch.full_like(value, 1e38) for key, value in learner.initial().weights.items()}
    found = learner.fit(weights).weights
    assert all(torch.isfinite(value).all() for value in found.values())


def test_the_noise_of_a_step_has_the_variance_that_was_asked_for():
    """Unlabelled scans have no gradient, so what a step adds is noise alone: rate z C / (q patients) in each value."""
    scans = tiny_scans(1)
    train = scans.folds["train"]
    labels = torch.full_like(train.labels, torch.nan)
    labels[0] = 0.5
    scans = replace(scans, folds={"train": replace(train, labels=labels)})
    terms = {"clip": 1e-6, "noise": 3e6, "sampling": 0.25}
    drawn = moved(private_learner(tiny_plan(fit=ONE), terms, scans=scans)).numpy() / (0.5 * 3 / (0.25 * 8))
    squares, values = float((drawn**2).sum()), len(drawn)
    assert values > 500
    assert 1e-4 < stats.chi2.sf(squares, values) < 1 - 1e-4
    assert stats.kstest(drawn, "norm").pvalue > 1e-4


def test_patients_take_part_with_the_probability_that_was_asked_for_and_independently():
    terms = Training(clip=1, noise=1, sampling=0.2)
    drawn = np.array([np.isin(np.arange(50), sampled(bytes([at // 256, at % 256]), 50, terms)) for at in range(1000)])
    assert abs(drawn.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / drawn.size)
    sizes = drawn.sum(1)
    assert abs(sizes.var() / (50 * 0.2 * 0.8) - 1) < 4 * np.sqrt(2 / len(sizes))
    assert sampled(b"s", 50, Training(clip=1, noise=1, sampling=1.0)) == list(range(50))


def test_a_step_in_which_nobody_takes_part_is_noise_alone():
    learner = private_learner(tiny_plan(fit={**ONE, "steps": 3}), {"sampling": 1e-9, "clip": 1e-6})
    assert learner.fit(learner.initial().weights).steps == 3
    found = moved(learner)
    assert torch.isfinite(found).all()
    assert float(found.norm()) > 0


def test_the_same_secret_gives_the_same_bits_and_another_gives_others():
    plan = tiny_plan(fit={"augment": {"scanner": 0.5}, "optimizer": "adamw", "epochs": 2})
    first = sha256(private_learner(plan).fit(first_weights(plan)).weights)
    torch.manual_seed(5)
    assert sha256(private_learner(plan).fit(first_weights(plan)).weights) == first
    assert sha256(private_learner(plan, secret=b"another").fit(first_weights(plan)).weights) != first


def noise_in(learner, weights, **asked):
    """What a silent twin of the learner does not have: its noise, as one vector."""
    quiet = replace(learner.context.private, terms=learner.context.private.terms.model_copy(update={"noise": 1e-12}))
    twin = replace(learner, context=replace(learner.context, private=quiet))
    gap = difference(learner.fit(weights, **asked).weights, twin.fit(weights, **asked).weights)
    return torch.cat([gap[key].flatten() for key in sorted(gap)])


SWAPS = {
    "rate": {"plan": tiny_plan(fit={**ONE, "rate": 0.4})},
    "seed": {"plan": tiny_plan(fit=ONE, seed=9)},
    "round": {"round": 1},
    "scans": {"scans": tiny_scans(2)},
    "patients": {"patients": [0, 0, 1, 2, 3, 4, 5, 6]},
    "clip": {"terms": {"sampling": 1.0, "clip": 0.5}},
    "noise": {"terms": {"sampling": 1.0, "noise": 2.0}},
}


@pytest.mark.parametrize("what", [*SWAPS, "weights", "frozen", "correction", "penalty"])
def test_no_two_trainings_that_differ_get_the_same_noise_and_each_is_paid_for(what):
    """The same noise on two gradients would give their difference away without any."""
    plan, charged = tiny_plan(fit=ONE), []
    weights, asked = first_weights(plan), {}
    known = {"plan": plan, "terms": {"sampling": 1.0}, "charged": charged}
    first = noise_in(private_learner(**known), weights)
    if what == "weights":
        weights = {**weights, "head.bias": weights["head.bias"] + 1e-3}
    if what == "frozen":
        asked = {"frozen": ["head.bias"]}
    if what == "correction":
        asked = {"correction": {"head.bias": torch.ones(6) * 1e-3}}
    if what == "penalty":
        asked = {"penalty": lambda now: 1e-3 * squared_distance(now, first_weights(plan))}
    other = noise_in(private_learner(**{**known, **SWAPS.get(what, {})}), weights, **asked)
    assert len({digest for digest, _ in charged}) == (3 if what == "noise" else 4)  # each with its silent twin
    kept = other != 0
    assert abs(float(torch.corrcoef(torch.stack([first[kept], other[kept]]))[0, 1])) < 0.2


def test_penalties_that_part_two_trainings_after_the_first_step_part_their_noise():
    """Even where the context were the same: a step's key has the weights that the step starts from."""
    learner = private_learner()
    moving = dict(learner.network.named_parameters())
    steps = Steps(learner.context.private, "context", learner.data.folds["train"].units, moving, 8)

    def nothing(scans, rng):
        return torch.zeros(len(scans), sum(value.numel() for value in moving.values()))

    first = steps.gradient(1, nothing)
    assert all(torch.equal(value, first[name]) for name, value in steps.gradient(1, nothing).items())
    assert not torch.equal(steps.gradient(2, nothing)["head.bias"], first["head.bias"])
    with torch.no_grad():
        moving["head.bias"][0] += 1e-6
    assert not torch.equal(steps.gradient(1, nothing)["head.bias"], first["head.bias"])


@pytest.mark.parametrize(
    ("choices", "asked", "steps"),
    [
        ({}, {}, 4),
        ({"epochs": 3}, {}, 12),
        ({"steps": 5}, {}, 5),
        ({"steps": 5}, {"epochs": 2}, 8),
        ({}, {"steps": 1}, 1),
    ],
)
def test_a_training_is_paid_for_before_it_starts_at_the_steps_it_has(choices, asked, steps):
    charged = []
    learner = private_learner(tiny_plan(fit=choices), {"sampling": 0.3, "noise": 2.0}, charged=charged)
    fitted = learner.fit(learner.initial().weights, **asked)
    assert (fitted.steps, fitted.examples, fitted.loss, fitted.metrics) == (steps, 8, None, {})
    assert [event for _, event in charged] == [Training(clip=1, noise=2, sampling=0.3).event(steps)]


def test_a_training_that_the_budget_does_not_pay_for_takes_no_gradient(monkeypatch):
    def refuse(digest, event):
        raise Refused("spent")

    learner = private_learner()
    learner.context = replace(learner.context, private=replace(learner.context.private, spend=refuse))
    monkeypatch.setattr("brainct.training.learner.sample_gradients", None)
    with pytest.raises(Refused, match="spent"):
        learner.fit(learner.initial().weights)


def test_penalty_correction_and_frozen_do_what_they_do_in_plain_training():
    plan = tiny_plan(fit=ONE)
    start = first_weights(plan)
    anchor = {key: value + 1 for key, value in start.items()}
    correction = {key: torch.full_like(value, 0.3) for key, value in start.items()}
    asked = {"penalty": lambda now: 0.5 * squared_distance(now, anchor), "correction": correction}
    frozen = [key for key in start if key.startswith("conv")]
    plainly = learner_of(plan, tiny_scans(1), offline(plan, "site-1", 0)).fit(start, **asked, frozen=frozen)
    privately = private_learner(plan, SILENT).fit(start, **asked, frozen=frozen)
    for key, value in plainly.weights.items():
        assert torch.allclose(privately.weights[key], value, atol=1e-5), key
    assert all(torch.equal(privately.weights[key], start[key]) for key in frozen)


def test_a_policy_without_training_asks_for_none_and_draws_no_secret():
    assert private_training(policies.policy_of({}), None, None) is None
    wanted = policies.policy_of({"training": {"clip": 1, "noise": 2, "sampling": 0.5}, "budget": {"epsilon": 3}})
    assert private_training(wanted, lambda: b"s", print) == PrivateTraining(wanted.training, b"s", print)
    with pytest.raises(Refused, match="training.sampling is 0; "):
        policies.policy_of({"training": {"clip": 1, "noise": 2, "sampling": 0}})


READS = {
    "gradient": lambda learner, weights: learner.gradient(weights),
    "layers": lambda learner, weights: learner.observe(weights, ["head"], lambda *_: None),
    "moments": lambda learner, weights: moments(learner),
    "samples": lambda learner, weights: learner.samples("train"),
    "predict": lambda learner, weights: learner.predict(weights, "train"),
    "evaluate": lambda learner, weights: learner.evaluate(weights, "train"),
    "pseudo": lambda learner, weights: learner.fit(weights, public_labels=PublicLabels(torch.zeros(10, 6))),
}


@pytest.mark.parametrize("what", READS)
def test_whatever_else_reads_training_scans_is_refused(what):
    learner = private_learner()
    normalised = learner.adapted(inputs=normalising([0.0] * 3, [1.0] * 3))
    for one in (learner, normalised, learner.adapted(predictor=lambda fold: torch.zeros(8, 6))):
        with pytest.raises(Refused, match="site-1 reads its training samples through noise alone .* asks for"):
            READS[what](one, learner.initial().weights)
    assert len(learner.predict(learner.initial().weights, "test")) == 8


def replies(name, rounds=3):
    """The fits that each site paid for in each round of a scheme, and the metrics that it sent."""
    scheme, plan, found = SCHEMES[name](), tiny_plan(name), []
    memory = scheme.start(tiny_model(plan), sites_of(name), 7)
    keeps = {site: {} for site in sites_of(name)}
    for number in range(rounds):

        def ask(site, task, number=number):
            charged = []
            learner = private_learner(
                plan, charged=charged, round=number, site=site, scans=tiny_scans(sum(site.encode()))
            )
            report, keeps[site] = scheme.reply(task, learner, keeps[site])
            found.append(([event for _, event in charged], report.metrics))
            return report

        tasks = sorted(scheme.assign(memory, number, sites_of(name)).items())
        reports = {site: ask(site, task) for site, task in tasks}
        memory = scheme.combine(memory, number, followed(scheme, memory, number, reports, ask))
    return found


POLICY = policies.policy_of({"training": {"clip": 1, "noise": 1, "sampling": 0.5}})


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {"rebasin"}))
def test_a_scheme_trains_privately_and_pays_what_the_roll_call_said_or_gives_the_reason_why_not(name):
    said = policies.objection(POLICY, build(name, {}))
    if reason := about(name).blocks.get("private_training"):
        why = "training samples are read through noise alone (DP-SGD)"
        assert said == f"{why}, which `{name}` does not allow: {reason}"
        if name in TRAINING:
            with pytest.raises(Refused, match=r"through noise alone|public"):
                replies(name)
        return
    assert said is None
    planned, paid = policies.a_round(POLICY, tiny_plan(name)), replies(name)
    assert any(events == planned for events, _ in paid)
    assert all(events in ([], planned) for events, _ in paid)
    assert not any("loss" in metrics or "personal_loss" in metrics for _, metrics in paid)


def test_a_scheme_within_another_is_refused_for_its_own_reason():
    inner = {"inner": {"scheme": "fedsgd", "arguments": {}}}
    assert "`fedsgd` does not allow" in policies.objection(POLICY, build("secagg", inner))
    assert "`rebasin` does not allow" in policies.objection(POLICY, build("rebasin", {}))


def test_tuning_before_evaluations_is_planned_for():
    plan = tiny_plan("finetune", rounds=6, evaluate_every=2, arguments={"epochs": 3})
    assert policies.evaluations(POLICY, plan) == [POLICY.training.event(6)] * 4
    learner = private_learner(plan, charged=(charged := []))
    task = type("Task", (), {"weights": first_weights(plan)})
    plan.build().personalise(task, learner, {})
    assert [event for _, event in charged] == [POLICY.training.event(6)]
    assert policies.evaluations(POLICY, tiny_plan("fedavg")) == []


def test_noised_scores_of_single_sites_models_are_planned_for():
    noised = POLICY.model_copy(update={"scores": ScoreRule(form="noised", noise=4.0)})
    plan, sites = tiny_plan(evaluate_every=0, cross_site=True), ("site-1", "site-2")
    assert policies.evaluations(noised, plan, sites) == [noised.scores.event] * 3
