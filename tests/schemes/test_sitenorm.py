"""What is true of shrunken site normalisation alone."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from brainct.core import serialization
from brainct.core.scheme import Report, Task, every
from brainct.core.weights import sha256
from brainct.ct.learner import learner_of
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.schemes import build
from brainct.schemes._gram import head_inputs
from brainct.schemes._moments import Moments, moments, normalising
from brainct.schemes.fedavg import fedavg
from brainct.schemes.feddc import feddc
from brainct.schemes.fedprox import fedprox
from brainct.schemes.finetune import finetune
from brainct.schemes.sitenorm import STATISTICS, shrunken, sitenorm
from brainct.schemes.swa import swa
from brainct.security.credentials import offline
from brainct.training.data import Dataset, Fold
from tests.conftest import first_weights, seeded_model, tiny_learner, tiny_plan
from tests.support.agreed import Agreed
from tests.support.requests import request, task_of

SITES = ["site-1", "site-2", "site-3"]
COUNTS = {"site-1": 4, "site-2": 7, "site-3": 10}


def seen_through(scans, change):
    """The same scans after a change of their images."""
    return replace(scans, folds={name: Fold(change(fold.inputs), fold.labels) for name, fold in scans.folds.items()})


def learner_at(site, number, changes):
    """A site's learner in a round; `changes` says through which scanner a site sees its scans."""
    learner = tiny_learner(tiny_plan(), site, number, scans=COUNTS[site])
    learner.data = seen_through(learner.data, changes.get(site, lambda images: images))
    return learner


def run(scheme, rounds, changes=None, first=0, lost=()):
    """Rounds by hand; `first` is the number that learners get in round 0; the memory, each site's keep, all reports."""
    memory, keeps, heard = scheme.start(seeded_model(tiny_plan()), SITES, 3), {site: {} for site in SITES}, []
    for number in range(rounds):
        reports = {}
        for site, task in sorted(scheme.assign(memory, number, SITES).items()):
            if (site, number) not in lost:
                learner = learner_at(site, number + first, changes or {})
                reports[site], keeps[site] = scheme.reply(task, learner, keeps[site])
        heard.append(reports)
        memory = scheme.combine(memory, number, reports)
    return memory, keeps, heard


def answers(scheme, memory, client_state, learner):
    """What a site, or a held-out site, gets for its test fold from the model that leaves the federation."""
    task = Task(scheme.model(memory), scheme.extra(memory))
    seeing = scheme.adapt_input(task, learner, client_state)
    return seeing.predict(scheme.personalise(task, seeing, client_state))


def pixels(sites=SITES, changes=None):
    """(C, all pixels) of the sites' training scans in float64."""
    images = [learner_at(site, 0, changes or {}).data.folds["train"].inputs.double() for site in sites]
    return torch.cat(images).transpose(0, 1).flatten(1)


def test_sums_over_the_sites_are_those_of_the_pooled_scans():
    parts = [moments(learner_at(site, 0, {})) for site in SITES]
    scans, mean = sum(part.scans for part in parts), sum(part.sum for part in parts) / sum(part.scans for part in parts)
    torch.testing.assert_close(mean, pixels().mean(1), rtol=0, atol=1e-14)
    # the law of total variance: pooled = within + between
    between = sum(part.scans * (part.sum / part.scans - mean).square() for part in parts)
    pooled = (sum(part.scatter for part in parts) + between) / scans
    torch.testing.assert_close(pooled, pixels().var(1, correction=0), rtol=0, atol=1e-14)


def test_the_common_statistics_are_the_pooled_mean_and_the_mean_variance_within_sites():
    changes = {"site-2": lambda images: images * 0.4, "site-3": lambda images: images * 0.5 + 0.5}
    memory, _, _ = run(sitenorm(), 1, changes)
    found = sitenorm().extra(memory)[STATISTICS]
    each = [pixels([site], changes) for site in SITES]
    within = sum(COUNTS[site] * values.var(1, correction=0) for site, values in zip(SITES, each, strict=True)) / 21
    assert found["mean"] == pytest.approx(torch.cat(each, 1).mean(1).tolist(), abs=1e-14)
    assert found["variance"] == pytest.approx(within.tolist(), abs=1e-14)
    assert min(torch.cat(each, 1).var(1, correction=0) / within) > 1.2  # so that the two could not be taken for another


def test_shrinking_counts_the_common_statistics_as_kappa_scans():
    own = Moments(3, torch.tensor([0.6]).double(), torch.tensor([0.03]).double())  # mean 0.2, variance 0.01
    mean, variance = (3 * 0.2 + 6 * 0.5) / 9, (3 * 0.01 + 6 * 0.09) / 9
    assert shrunken(own, [0.5], [0.09], 6.0) == (pytest.approx([mean]), pytest.approx([variance]))
    assert shrunken(own, [0.5], [0.09], 0.0) == (pytest.approx([0.2]), pytest.approx([0.01]))
    assert shrunken(own, [0.5], [0.09], None) == ([0.5], [0.09])
    far, near = shrunken(own, [0.5], [0.09], 1e12)
    assert (far, near) == (pytest.approx([0.5]), pytest.approx([0.09]))
    none = Moments(0, torch.zeros(1).double(), torch.zeros(1).double())
    assert shrunken(none, [0.5], [0.09], 0.0) == shrunken(none, [0.5], [0.09], 4.0) == ([0.5], [0.09])


@pytest.mark.parametrize("inner", [fedavg(), feddc(1, 2), fedprox(0.1)], ids=lambda inner: inner.name)
def test_with_infinite_kappa_it_is_the_inner_scheme_on_globally_normalised_inputs_to_the_bit(inner):
    memory, _, _ = run(sitenorm(inner, kappa=None), 4)
    common = sitenorm().extra(memory)[STATISTICS]
    mean, deviation = (torch.tensor(common[key]).reshape(1, 3, 1, 1) for key in ("mean", "variance"))
    same = dict.fromkeys(SITES, lambda images: (images - mean) / deviation.sqrt())
    wanted, _, _ = run(inner, 3, same, first=1)
    assert sha256(sitenorm(inner).model(memory)) == sha256(inner.model(wanted))


@pytest.mark.parametrize("inner", [fedavg(), finetune()], ids=lambda inner: inner.name)
def test_a_gain_and_an_offset_of_one_scanner_change_no_answer_when_kappa_is_0(inner):
    def difference(kappa):
        found = []
        for changes in ({}, {"site-2": lambda images: 0.3 * images + 0.5}):
            scheme = sitenorm(inner, kappa)
            memory, keeps, _ = run(scheme, 4, changes)
            found += [torch.cat([answers(scheme, memory, keeps[x], learner_at(x, 4, changes)) for x in SITES])]
        return (found[0] - found[1]).abs().max().item()

    assert difference(0.0) < 1e-4
    assert difference(None) > 1e-3  # or the law would say nothing


def test_what_the_inner_scheme_says_of_quorum_reports_use_and_extra_holds():
    inner = replace(
        fedavg(),
        quorum=every,
        expects=lambda task, report: {"expected": torch.ones(1)},
        personalise=lambda task, learner, client_state: {"used": task.weights["w"], "kept": client_state["w"]},
        extra=lambda memory: {"more": 1},
    )
    scheme, memory = sitenorm(inner), {"inner": {}, "statistics": {STATISTICS: {"mean": [0.0], "variance": [1.0]}}}
    task, report = Task({"w": torch.ones(1)}, scheme.extra(memory)), Report({}, 1)
    assert task.extra == {"more": 1, **memory["statistics"]}
    assert scheme.quorum(5) == 5
    assert set(scheme.expects(task, report)) == {"expected"}
    assert scheme.expects(Task(task.weights), report) is task.weights
    assert set(scheme.personalise(task, None, {"w": torch.ones(1)})) == {"used", "kept"}


def test_sites_train_and_answer_through_their_own_statistics():
    scheme = sitenorm(kappa=2.0)
    memory, keeps, _ = run(scheme, 3)
    learner = learner_at("site-2", 3, {})
    own, common = moments(learner), scheme.extra(memory)[STATISTICS]
    mean = (own.sum + 2 * torch.tensor(common["mean"]).double()) / 9
    variance = (own.scatter + 2 * torch.tensor(common["variance"]).double()) / 9
    by_hand = (learner.data.folds["test"].inputs - mean.reshape(1, 3, 1, 1)) / variance.reshape(1, 3, 1, 1).sqrt()
    learner.network.load_state_dict(scheme.model(memory))
    wanted = learner.network(by_hand.float()).sigmoid().detach()
    torch.testing.assert_close(answers(scheme, memory, keeps["site-2"], learner), wanted, rtol=0, atol=1e-5)
    seeing = scheme.adapt_input(Task({}, scheme.extra(memory)), learner, {})
    assert not torch.equal(seeing.predict(scheme.model(memory)), learner.predict(scheme.model(memory)))


def test_training_sees_the_normalised_inputs_in_fit_gradient_and_features_alike():
    plan, weights = tiny_plan(), first_weights(tiny_plan())
    mean, variance = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    learner, by_hand = tiny_learner(plan), tiny_learner(plan)
    shift, spread = torch.tensor(mean).reshape(1, 3, 1, 1), torch.tensor(variance).reshape(1, 3, 1, 1).sqrt()
    by_hand.data = seen_through(by_hand.data, lambda images: (images - shift) / spread)
    seeing = learner.adapted(inputs=normalising(mean, variance))
    assert sha256(seeing.fit(weights).weights) == sha256(by_hand.fit(weights).weights)
    assert sha256(seeing.gradient(weights).weights) == sha256(by_hand.gradient(weights).weights)
    assert torch.equal(head_inputs(seeing, weights, "head")[0], head_inputs(by_hand, weights, "head")[0])
    assert torch.equal(seeing.predict(weights), by_hand.predict(weights))
    assert sha256(learner.fit(weights).weights) != sha256(by_hand.fit(weights).weights)


def test_nothing_but_two_sums_a_channel_and_a_count_travels_in_round_0():
    _, keeps, heard = run(sitenorm(), 1)
    for site, report in heard[0].items():
        assert {key: value.shape for key, value in report.weights.items()} == {"sum": (3,), "scatter": (3,)}
        assert (report.examples, dict(report.extra), dict(report.metrics), keeps[site]) == (COUNTS[site], {}, {}, {})
        assert serialization.size(report.weights) < 16 * 3 + 100


def test_no_label_is_needed_for_the_statistics():
    learner = learner_at("site-1", 0, {})
    before = moments(learner)
    fold = learner.data.folds["train"]
    learner.data = Dataset("", {"train": Fold(fold.inputs, torch.full_like(fold.labels, math.nan))}, "")
    after = moments(learner)
    assert (after.scans, before.scans) == (4, 4)
    assert torch.equal(after.sum, before.sum)
    assert torch.equal(after.scatter, before.scatter)


def test_a_site_lost_in_round_0_has_no_share_in_the_statistics_and_takes_part_later():
    scheme = sitenorm()
    memory, _, heard = run(scheme, 3, lost={("site-2", 0)})
    assert scheme.extra(memory)[STATISTICS]["mean"] == pytest.approx(pixels(["site-1", "site-3"]).mean(1).tolist())
    assert set(heard[1]) == set(heard[2]) == set(SITES)


def test_a_hospital_outside_without_any_scan_of_its_own_uses_the_common_statistics():
    scheme = sitenorm(kappa=0.0)
    memory, _, _ = run(scheme, 2)
    outside = learner_at("site-2", 9, {})
    outside.data = Dataset("", {"test": outside.data.folds["test"]}, "")
    common = scheme.extra(memory)[STATISTICS]
    wanted = outside.adapted(inputs=normalising(common["mean"], common["variance"])).predict(scheme.model(memory))
    assert torch.equal(answers(scheme, memory, {}, outside), wanted)


def test_a_channel_that_is_constant_is_centred_and_stays_finite():
    flat = {site: lambda images: torch.cat([images[:, :2], torch.full_like(images[:, 2:], 0.7)], 1) for site in SITES}
    scheme = sitenorm()
    memory, _, _ = run(scheme, 3, flat)
    assert all(value.isfinite().all() for value in scheme.model(memory).values())


def test_a_site_agent_evaluates_the_model_through_the_sites_statistics(tmp_path, small_site):
    plan, agent = tiny_plan("sitenorm"), Agreed("site-1", tmp_path, small_site)
    weights = first_weights(plan)
    task = task_of(weights, {STATISTICS: {"mean": [0.0] * 3, "variance": [1.0] * 3}})
    asked = request(plan, "evaluate", round=plan.rounds, task=task, fold="test")
    found = agent.reply_plain(asked)["scores"]["any"]["brier"]
    learner = learner_of(plan, agent.data.of(plan, ["site-1"], False), offline(plan, "site-1", 1))
    own = moments(learner)
    change = normalising((own.sum / own.scans).tolist(), (own.scatter / own.scans).tolist())
    seeing = learner.adapted(inputs=change)
    assert found == seeing.evaluate(weights)["any"]["brier"]
    assert found != learner.evaluate(weights)["any"]["brier"]


@pytest.mark.usefixtures("small_site")
def test_the_model_file_carries_the_statistics_and_the_run_is_the_same_with_two_workers(tmp_path):
    arguments = {"inner": {"scheme": "feddc", "arguments": {"daisy_period": 1}}, "kappa": 2.0}
    plan = tiny_plan("sitenorm", arguments=arguments, fit={"augment": {"scanner": 0.5}})
    records = [rehearse(plan, SITES, tmp_path / str(n), workers=n, log=lambda line: None).content for n in (1, 2)]
    assert records[0]["model_sha256"] == records[1]["model_sha256"]
    assert set(records[0]["test"]) == set(SITES)
    with safe_open(tmp_path / "1" / "model.safetensors", framework="pt") as file:
        carried = json.loads(file.metadata()["extra"])
    memory = serialization.load(tmp_path / "1" / "state" / "memory.safetensors")["memory"]
    assert carried == build("sitenorm", arguments).extra(memory)
    assert len(carried[STATISTICS]["mean"]) == len(carried[STATISTICS]["variance"]) == 3


@pytest.mark.parametrize("kappa", [-1.0, math.nan, "much"])
def test_a_kappa_out_of_range_is_refused(kappa):
    with pytest.raises(Refused, match="sitenorm: kappa is .*wanted a finite number at least 0"):
        sitenorm(kappa=kappa)


def test_a_run_in_which_nobody_would_train_is_refused():
    with pytest.raises(Refused, match="sitenorm: the run has 1 round"):
        sitenorm().start(seeded_model(tiny_plan(rounds=1)), SITES, 0)


@pytest.mark.parametrize("inner", [sitenorm(), swa(sitenorm(feddc()))], ids=lambda inner: inner.name)
def test_site_normalisation_within_itself_is_refused(inner):
    with pytest.raises(Refused, match="sitenorm: inner is or holds sitenorm"):
        sitenorm(inner)


def test_the_moments_of_a_data_set_are_taken_once():
    learner = learner_at("site-1", 0, {})
    again = replace(learner)
    assert moments(learner).scatter is moments(again).scatter
    other = replace(learner.data, folds={"train": Fold(learner.data.folds["train"].inputs * 2, torch.zeros(4, 6))})
    again.data = other
    torch.testing.assert_close(moments(again).sum, 2 * moments(learner).sum)
