"""What is true of federated co-training alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from brainct.core import serialization
from brainct.core.learner import PublicLabels
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Task
from brainct.core.weights import sha256
from brainct.ct.folds import FINDINGS
from brainct.ct.learner import learner_of
from brainct.errors import Refused
from brainct.run.model_file import load_model, model_sha256
from brainct.run.rehearse import rehearse
from brainct.run.roll_call import public_samples
from brainct.schemes._forest import features, forest
from brainct.schemes._votes import Ballot, count_votes, delivered_labels, flip, flip_rate, pack
from brainct.schemes.fedct import VOTES, fedct
from brainct.security.credentials import SiteCredentials, digest_of, offline
from brainct.training.data import Fold, Public
from tests.conftest import PUBLIC, first_weights, tiny_learner, tiny_model, tiny_plan, tiny_scans
from tests.support.by_hand import play

SITES = ["site-1", "site-2", "site-3"]
BALLOT = Ballot(["any"])


def vote(*labels, speaks=True):
    """A site's ballot of one finding."""
    return np.array([[speaks], *[[bool(each)] for each in labels]])


def test_the_majority_wins_an_absent_site_is_a_vote_fewer_and_a_silent_one_none():
    votes = [vote(1, 0, 1, 0), vote(1, 0, 0, 1), vote(0, 0, 1, 1), vote(0, 1, 1, 0, speaks=False)]
    labels, known = count_votes(votes, np.zeros((4, 1), bool), None)
    assert labels[:, 0].tolist() == [True, False, True, True]
    assert known.all()
    assert not count_votes(votes[3:], np.zeros((4, 1), bool), None)[1].any()


def test_a_tie_falls_as_the_coin_does_whoever_answers_first():
    votes, coin = [vote(1, 0, 1, 0), vote(0, 1, 0, 1)], np.array([[1], [0], [0], [1]], bool)
    for order in (votes, votes[::-1]):
        assert np.array_equal(count_votes(order, coin, None)[0], coin)


def test_ties_are_unbiased_over_scans_and_differ_between_rounds_and_seeds():
    scheme, scans = fedct(period=1, warmup=0), 4000

    def consensus(round, seed):
        memory = scheme.start(replace(tiny_model(tiny_plan()), public=scans), ["a", "b"], seed)
        ballots = {"a": np.ones((scans + 1, 1), bool), "b": np.zeros((scans + 1, 1), bool)}
        ballots["b"][0] = True
        reports = {site: Report({"labels": pack(bits)}, 1) for site, bits in ballots.items()}
        return delivered_labels(scheme.extra(scheme.combine(memory, round, reports)), FINDINGS)[:, 5]

    low, high = binom.interval(0.9999, scans, 0.5)
    assert low <= consensus(0, 1).sum() <= high
    for other in (consensus(1, 1), consensus(0, 2)):
        assert low <= (consensus(0, 1) != other).sum() <= high


def test_an_unqualified_vote_gives_no_label():
    votes = [vote(1, 1, 0), vote(1, 1, 0), vote(1, 1, 0), vote(1, 0, 1), vote(1, 0, 0)]
    labels, known = count_votes(votes, np.zeros((3, 1), bool), 0.8)
    assert known[:, 0].tolist() == [True, False, True]
    assert labels[[0, 2], 0].tolist() == [True, False]


def played(scheme, rounds, *, plan=None, **choices):
    """A run by hand: memory, keeps, and every round's tasks and reports."""
    plan = plan or tiny_plan()
    rows = play(scheme, plan, rounds, **{"model": tiny_model(plan), "sites": SITES, "counts": {}, "seed": 3, **choices})
    for row in rows:
        for site, report in row.reports.items():
            check_report(report, row.tasks[site], scheme, site)
    return rows[-1].memory, rows[-1].keeps, [(row.tasks, row.reports) for row in rows]


def nbytes(weights):
    return sum(value.numel() * value.element_size() for value in weights.values())


@pytest.mark.parametrize(("findings", "up", "down"), [(["any"], 2, 2), (["any", "subdural", "epidural"], 5, 4)])
def test_only_packed_labels_travel_and_only_when_there_is_a_vote(findings, up, down):
    # |U| = 10: ceil(F * 11 / 8) bytes up, with the row of findings voted on, and ceil(F * 10 / 8) down, one round later
    _, _, seen = played(fedct(period=2, warmup=2, findings=findings), 6)
    assert [{nbytes(report.weights) for report in reports.values()} for _, reports in seen] == [
        {0}, {0}, {0}, {up}, {0}, {up}
    ]  # fmt: skip
    assert [{nbytes(task.weights) for task in tasks.values()} for tasks, _ in seen] == [{0}, {0}, {0}, {0}, {down}, {0}]
    for tasks, reports in seen:
        for each in (*tasks.values(), *reports.values()):
            assert serialization.size(each.extra) < 60


def test_a_site_that_was_lost_gets_the_consensus_with_its_next_task():
    _, _, seen = played(fedct(period=2, warmup=0), 5, lost={("site-2", 2), ("site-2", 1)})
    given = [{site: bool(task.weights) for site, task in tasks.items()} for tasks, _ in seen]
    assert given[2] == {"site-1": True, "site-2": True, "site-3": True}
    assert given[3] == {"site-1": False, "site-2": True, "site-3": False}


def test_a_site_trains_on_its_scans_and_the_consensus():
    plan, scheme = tiny_plan(), fedct(period=1, warmup=0, own=0.75)
    memory, _, seen = played(scheme, 2)
    pseudo = delivered_labels(scheme.extra(played(scheme, 1)[0]), FINDINGS)
    first = tiny_learner(plan, "site-1", 0).fit(first_weights(plan)).weights
    by_hand = tiny_learner(plan, "site-1", 1).fit(first, public_labels=PublicLabels(pseudo, 0.75))
    wanted = BALLOT.filled(
        tiny_learner(plan, "site-1", 1).predict(by_hand.weights, "public"), torch.zeros(1, 6), FINDINGS
    )
    assert torch.equal(seen[1][1]["site-1"].weights["labels"], pack(wanted))
    assert seen[1][1]["site-1"].metrics["loss"] == by_hand.loss
    assert pseudo[:, 5].isfinite().all()
    assert pseudo[:, :5].isnan().all()


def test_a_flipped_bit_is_as_rare_as_epsilon_says():
    for epsilon in (0.5, 2.0):
        uniform = tiny_learner(tiny_plan()).credentials.private_uniform(40_000, "flips")
        turned = flip(np.zeros((40_000, 1), bool), flip_rate(epsilon), uniform).sum()
        low, high = binom.interval(0.9999, 40_000, 1 / (1 + math.exp(epsilon)))
        assert low <= turned <= high
    assert math.isclose((1 - flip_rate(2.0)) / flip_rate(2.0), math.exp(2.0))  # the ratio that is e^epsilon


def large(plan, site, number, secret="s", scans=1000):
    """A learner whose public set is so large that flips can be counted."""
    images = torch.from_numpy(np.random.default_rng(3).random((scans, 3, 32, 32), dtype=np.float32))
    data = replace(tiny_learner(plan, site).data, public=lambda: Public(images, ""))
    context = offline(plan, site, number)
    return learner_of(plan, data, replace(context, credentials=replace(context.credentials, secret=secret)))


def test_a_site_flips_its_labels_at_the_rate_by_its_secret_and_sends_no_loss():
    plan, task = tiny_plan(), Task({}, {"scans": 1000, "vote": True, "forest": False})

    def sent(epsilon, secret="s"):
        report, _ = fedct(1, 0, epsilon=epsilon).reply(task, large(plan, "site-1", 0, secret), {})
        return report, BALLOT.read(report.weights["labels"], 1001)

    (plainly, truth), (report, noisy) = sent(None), sent(1.0)
    low, high = binom.interval(0.9999, 1000, 1 / (1 + math.e))
    assert low <= (truth != noisy).sum() <= high
    assert truth[0] == noisy[0]
    assert (plainly.metrics.keys(), report.metrics) == ({"loss"}, {})
    assert np.array_equal(noisy, sent(1.0)[1])
    assert (noisy != sent(1.0, "another")[1]).sum() > low
    with pytest.raises(Refused, match="has no secret"):
        sent(1.0, None)


def test_a_forest_votes_next_to_networks_and_its_site_is_evaluated_by_it():
    scheme, plan = fedct(period=1, warmup=0, forests=["site-2"]), tiny_plan()
    memory, keeps, seen = played(scheme, 2)
    assert "weights" not in keeps["site-2"]
    assert serialization.unpack(serialization.pack(keeps["site-2"])).keys() == keeps["site-2"].keys()
    learner, task = tiny_learner(plan, "site-2", 2), Task(scheme.model(memory), scheme.extra(memory))
    trees = scheme.adapt_input(task, learner, keeps["site-2"]).predict(task.weights)
    network = learner.predict(task.weights)
    assert not torch.allclose(trees, network, atol=0.05)
    assert torch.equal(
        trees, scheme.adapt_input(task, tiny_learner(plan, "site-2", 0), keeps["site-2"]).predict(task.weights)
    )
    assert scheme.adapt_input(task, learner, keeps["site-1"]) is learner


def test_a_forest_has_no_answers_for_a_fold_without_scans():
    learner = tiny_learner(tiny_plan())
    folds = {**learner.data.folds, "valid": Fold(torch.empty(0, 3, 32, 32), torch.empty(0, 6))}
    learner.data = replace(learner.data, folds=folds)
    assert forest(learner, None, 0.5)("valid").shape == (0, 6)


def test_a_forest_sees_no_order_and_works_on_volumes():
    images = torch.rand(3, 2, 16, 16, 16)
    assert np.array_equal(features(images)[1], features(images[1:2])[0])
    assert features(images).shape[0] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"period": 0}, "fedct: period is 0"),
        ({"warmup": -1}, "fedct: warmup is -1"),
        ({"own": 0.4}, "fedct: own is 0.4; wanted a finite number at least 0.5"),
        ({"agreement": 0.3}, "fedct: agreement is 0.3"),
        ({"epsilon": 0}, "fedct: epsilon is 0"),
        ({"findings": []}, "fedct: findings is ..; wanted a list of the model's outputs"),
        ({"forests": ["a"], "rules": ["a"]}, "fedct: forests, trees and rules name a twice"),
    ],
)
def test_an_impossible_choice_is_refused(arguments, words):
    with pytest.raises(Refused, match=words):
        fedct(**arguments)


def test_a_finding_that_is_no_output_of_the_model_is_refused_before_round_0():
    with pytest.raises(Refused, match="fedct: findings is .'bleed'.; wanted a list of some of epidural"):
        fedct(findings=["bleed"]).start(tiny_model(tiny_plan()), SITES, 0)


def test_a_forest_at_no_site_and_an_empty_public_set_are_refused():
    with pytest.raises(Refused, match="fedct: forests, trees and rules name site-9; the sites are site-1"):
        fedct(forests=["site-9"]).start(tiny_model(tiny_plan()), SITES, 0)
    with pytest.raises(Refused, match="the public set has no scans"):
        fedct().start(replace(tiny_model(tiny_plan()), public=0), SITES, 0)


def run(folder, workers=1, **arguments):
    plan = tiny_plan("fedct", arguments={"period": 1, "warmup": 0, **arguments}, evaluate_every=0)
    return rehearse(plan, SITES, folder, workers=workers, log=lambda line: None).content


def test_the_models_hash_covers_the_consensus_and_is_the_same_in_other_processes(tmp_path, small_site):
    small_site.write_text(small_site.read_text().replace("scans: 16", "scans: 16, public: 24"))
    mixed = {"forests": ["site-2"]}
    one, two = (run(tmp_path / str(workers), workers, **mixed)["model_sha256"] for workers in (1, 2))
    assert one == two
    assert one != sha256(load_model(tmp_path / "1" / "model.safetensors"))
    assert model_sha256({}, {"fedct": {"labels": "00"}}) != model_sha256({}, {"fedct": {"labels": "01"}})


def test_sites_with_other_public_scans_are_refused_by_name():
    about = [{"public": {"scans": 6, "fingerprint": "a" * 64}}, {"public": {"scans": 6, "fingerprint": "b" * 64}}]
    with pytest.raises(Refused, match="different public sets .site-1, site-3: 6 scans aaaa.*; site-2: 6 scans bbbb"):
        public_samples({"site-1": about[0], "site-2": about[1], "site-3": about[0]})
    assert public_samples({"site-1": about[0], "site-2": about[0]}) == 6


def test_a_hospital_outside_learns_from_the_consensus():
    plan, scheme = tiny_plan(), fedct(period=1, warmup=0)
    pseudo = delivered_labels(scheme.extra(played(scheme, 6)[0]), FINDINGS)
    assert pseudo.shape == (PUBLIC, 6)
    outside, weights = tiny_learner(plan, "outside"), first_weights(plan)
    for _ in range(20):
        weights = outside.fit(weights, public_labels=PublicLabels(pseudo)).weights
    agree = (outside.predict(weights, "public")[:, 5] >= 0.5) == pseudo[:, 5].bool()
    assert agree.float().mean() >= 0.8


def test_with_own_1_the_votes_change_nothing_in_training():
    plan = tiny_plan("fedct")
    consensus = {VOTES: torch.full((2,), 255, dtype=torch.uint8)}
    outcomes = []
    for weights in ({}, consensus):
        task = Task(weights, {"scans": PUBLIC, "vote": False, "forest": False})
        outcomes.append(fedct(own=1.0).reply(task, tiny_learner(plan), {})[1]["weights"])
    assert sha256(outcomes[0]) == sha256(outcomes[1])


def test_flips_of_two_epsilons_have_nothing_in_common():
    class Noting(SiteCredentials):
        def private_uniform(self, count, *words):
            asked.append(super().private_uniform(count, *words))
            return asked[-1]

    plan, asked = tiny_plan("fedct"), []
    for epsilon in (0.1, 0.4, 0.4):
        context = replace(offline(plan, "site-1", 4), credentials=Noting(plan.seed, "site-1", 4, digest_of(plan)))
        learner = learner_of(plan, tiny_scans(1), context)
        fedct(1, 0, epsilon=epsilon).reply(Task({}, {"scans": PUBLIC, "vote": True, "forest": False}), learner, {})
    assert not set(asked[0].tolist()) & set(asked[1].tolist())
    assert asked[1].tolist() == asked[2].tolist()


def test_a_large_epsilon_flips_next_to_nothing_and_overflows_nowhere():
    assert flip_rate(1000.0) == 0.0
    assert flip_rate(2.0) == pytest.approx(1 / (1 + np.exp(2.0)))
