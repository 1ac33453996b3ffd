"""What is true of secure aggregation alone: the inner scheme's model, of which the server sees sums only."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Task
from brainct.core.weights import sha256
from brainct.errors import Refused
from brainct.schemes import SCHEMES, about, build
from brainct.schemes._masking import GIVEN, MEMBERS
from brainct.schemes._secagg_keys import KEYS
from brainct.schemes._unmasking import NEXT, OPEN, ROUND
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedexp import fedexp
from brainct.schemes.finetune import finetune
from brainct.schemes.local import local
from brainct.schemes.ridge import ridge
from brainct.schemes.secagg import secagg
from brainct.schemes.sitenorm import sitenorm
from brainct.schemes.swa import swa
from brainct.security.policy import objection, policy_of
from tests.conftest import tiny_model, tiny_plan
from tests.support.families import TRAINING
from tests.support.hostile import ATTACKS
from tests.support.summing import SITES, Federation, moved, played

INNER = sorted(
    name for name in TRAINING if SCHEMES[name]().aggregation_weight is not None and not SCHEMES[name]().hides_updates
)


@pytest.mark.parametrize("name", INNER)
def test_every_scheme_that_needs_sums_alone_has_the_model_that_it_has_without_masks(name):
    plan, inner = tiny_plan(name), build(name, {})
    plainly, securely = played(inner, plan, 3, shift=1), played(secagg(inner), tiny_plan(name, rounds=4), 4)
    outcome, other = plainly.model(), securely.model()
    assert any(not torch.equal(outcome[key], value) for key, value in tiny_model(plan).weights.items())
    for key, value in outcome.items():
        torch.testing.assert_close(other[key], value, atol=2e-5, rtol=1e-4)
    for site, client_state in plainly.keeps.items():
        assert set(securely.keeps[site]["inner"]) == set(client_state)


def test_the_server_sees_noise_and_two_rounds_of_a_site_that_stands_still_have_nothing_in_common():
    seen = played(secagg(), tiny_plan(fit={"rate": 1e-12}), 3).seen
    sent = [
        np.concatenate([x.numpy().ravel() for x in seen[number][1]["site-2"].weights.values()]) for number in (1, 2)
    ]
    assert not (sent[0] == sent[1]).any()
    for words in (*sent, sent[1] - sent[0]):
        assert stats.chisquare(np.bincount(words.view(np.uint8), minlength=256)).pvalue > 1e-3


def test_what_travels_is_keys_then_eight_bytes_a_number_and_no_training_loss():
    plan = tiny_plan()
    seen = played(secagg(), plan, 2).seen
    for task, report in zip(seen[0][0].values(), seen[0][1].values(), strict=True):
        assert (task, report.weights) == (Task({}, {ROUND: 0}), {})
        assert set(report.extra[KEYS]) == {"cipher", "mask", "seed", "proof"}
    numbers = sum(value.numel() for value in tiny_model(plan).weights.values())
    for report in seen[1][1].values():
        assert sum(value.numel() * value.element_size() for value in report.weights.values()) == 8 * numbers
        assert set(report.extra) == {KEYS, GIVEN}
        assert set(report.followed.extra) == {"seeds", "private", "boxes"}
        assert not report.metrics
        assert not report.followed.metrics


@pytest.mark.parametrize("inner", [fedavg(), fedavg(weight_by="equal"), ridge(), sitenorm(), build("fedper", {})])
def test_a_lost_site_is_left_out_of_the_rounds_sum_and_comes_back_after_its_key(inner):
    plan, lost = tiny_plan(rounds=6), {("site-2", 2)}
    with_masks, without = played(secagg(inner), plan, 5, lost), Federation(inner, plan, shift=1)
    asked = [sorted(tasks["site-2"].extra.get(MEMBERS, [])) for tasks, _ in with_masks.seen]
    others = [site for site in SITES if site != "site-2"]
    assert [sorted(tasks["site-1"].extra.get(MEMBERS, [])) for tasks, _ in with_masks.seen] == [
        [],
        SITES,
        SITES,
        others,
        SITES,
    ]
    assert asked == [[], SITES, SITES, [], SITES]
    for gone in ([], ["site-2"], ["site-2"], []):
        without.round(gone)
    assert with_masks.memory["summed"] == 4
    for key, value in without.model().items():
        torch.testing.assert_close(with_masks.model()[key], value, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("lost", "later", "counts"), [(2, 0, False), (1, 0, True), (0, 1, True), (0, 2, False)])
def test_a_round_with_too_few_answers_in_either_exchange_changes_nothing_and_the_next_but_one_goes_on(
    lost, later, counts
):
    federation = played(secagg(), tiny_plan(rounds=9), 2)
    before = sha256(federation.model())
    federation.round(SITES[:lost], SITES[:later])
    assert (sha256(federation.model()) != before) == counts
    summed = federation.memory["summed"]
    federation.round().round()
    assert federation.memory["summed"] >= summed + 1
    assert sorted(federation.memory["keys"]) == SITES


def test_two_lost_of_seven_and_who_was_lost_in_the_follow_up_is_in_the_sum():
    sites, plan = [f"site-{number}" for number in range(1, 8)], tiny_plan()
    federation = played(secagg(), plan, 1, sites=sites).round(["site-3"], ["site-5"])
    wanted = Federation(fedavg(), plan, sites, shift=1).round(["site-3"]).model()
    for key, value in wanted.items():
        torch.testing.assert_close(federation.model()[key], value, atol=1e-6, rtol=1e-6)
    assert sorted(federation.memory["keys"]) == ["site-1", "site-2", "site-4", "site-6", "site-7"]


def test_fewer_than_three_are_never_summed():
    for least in (2, 0, 2.5):
        with pytest.raises(Refused, match="secagg: least is .*; wanted a whole number of at least 3"):
            secagg(least=least)
    with pytest.raises(Refused, match="the run has 3 sites and 3 rounds; wanted at least 4 sites"):
        secagg(least=4).start(tiny_model(tiny_plan()), SITES[:3], 0)
    with pytest.raises(Refused, match="fedavg asks 2 of 4 sites; wanted at least 3 in a sum"):
        played(secagg(fedavg(fraction=0.5)), tiny_plan(), 2)
    assert [secagg().quorum(asked) for asked in (1, 3, 4, 5, 9)] == [1, 3, 3, 3, 5]
    two_left = played(secagg(), tiny_plan(rounds=9), 2, {("site-3", 1), ("site-4", 1)})
    assert all(MEMBERS not in task.extra for task in two_left.tasks().values())


def test_a_site_gives_no_share_to_a_list_of_keys_that_is_not_what_was_agreed():
    federation = Federation(secagg(), tiny_plan())
    heard = {site: federation.ask(site, 0, task).extra[KEYS] for site, task in federation.tasks().items()}
    own, other, third = (heard[site] for site in SITES[:3])
    for bad in (
        {**heard, "site-1": other},
        {**heard, "site-2": own},
        {**heard, "site-2": {**other, "cipher": own["cipher"]}},
        {site: key for site, key in heard.items() if site != "site-1"},
        {"site-1": own, "site-2": other},
        {"site-1": own, "site-2": other, "site-3": other, "site-4": other},
        {**heard, "site-5": other},
        {"site-1": own, "site-2": other, "site-3": {**third, "mask": 5}},
    ):
        with pytest.raises(Refused, match="the server's list of keys has .*; it sends nothing"):
            federation.ask("site-1", 0, Task({}, {ROUND: 0, NEXT: bad, OPEN: {}}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({MEMBERS: SITES[:2]}, "a sum of 2 sites; wanted at least 3"),
        ({MEMBERS: [*SITES[:2], "site-2"]}, "a sum of 2 sites; wanted at least 3"),
        ({MEMBERS: SITES[1:]}, "a sum in round 1 for which no shares were exchanged"),
        ({MEMBERS: [*SITES, "site-5"]}, "a sum in round 1 for which no shares were exchanged"),
        ({ROUND: 2}, "a sum in round 2 for which no shares were exchanged"),
    ],
)
def test_a_site_masks_nothing_for_a_sum_that_was_not_agreed(change, words):
    federation = played(secagg(), tiny_plan(), 1)
    with pytest.raises(Refused, match=words):
        federation.ask("site-1", 1, moved(federation.tasks()["site-1"], **change))


def test_a_site_whose_training_diverged_says_so_before_it_is_masked():
    with pytest.raises(Refused, match="its own update: tensor .* holds"):
        played(secagg(), tiny_plan(fit={"rate": 1e30}), 2)


def test_a_sum_that_no_honest_sites_could_have_ends_the_run():
    def wrongly(site, report):
        return replace(
            report, weights={key: value + 2**55 * (site == "site-3") for key, value in report.weights.items()}
        )

    with pytest.raises(
        Refused, match="the sum over 4 sites, one of which masked wrongly: tensor .* wanted nothing above"
    ):
        played(secagg(), tiny_plan(), 1).round(change=wrongly)


def test_a_wrong_share_ends_the_run_and_names_whom_it_can_have_come_from():
    def wrongly(site, report):
        seeds = report.extra.get("seeds")
        return moved(report, seeds={**seeds, "site-1": "0" * 66}) if seeds and site == "site-2" else report

    with pytest.raises(Refused, match="the shares that .* showed of the secret of site-1 do not fit"):
        played(secagg(), tiny_plan(), 1).round(change=wrongly)


def said(**changes):
    return {KEYS: {"cipher": "a" * 64, "mask": "b" * 64, "seed": "c" * 64, "proof": "", **changes}}


@pytest.mark.parametrize(
    "extra",
    [
        {},
        said(mask="a" * 63),
        said(cipher="G" * 64),
        said(seed=5),
        said(proof=5),
        said(proof="x" * 8193),
        said(more=""),
        {KEYS: 5},
        {KEYS: "a" * 64},
    ],
)
def test_a_report_without_the_keys_that_were_asked_for_is_refused(extra):
    with pytest.raises(Refused, match="site-1: sent its update for its key, .*, or a key that is not 64 hex digits"):
        check_report(Report({}, 1, extra=extra), Task({}, {ROUND: 0}), secagg(), "site-1")


def test_a_key_in_place_of_an_update_is_refused():
    seen = played(secagg(), tiny_plan(), 2).seen
    report = replace(seen[1][1]["site-1"], extra=seen[0][1]["site-1"].extra)
    with pytest.raises(Refused, match="site-1: sent its update for its key, its key for its update"):
        check_report(report, seen[1][0]["site-1"], secagg(), "site-1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": {"site-9": "0" * 66}}, "its seeds are of other sites than those asked for"),
        ({"seeds": {"site-1": "0" * 65}}, "its seeds are not all 33 bytes in hex digits"),
        ({"private": {"site-1": "0" * 66}}, "its private are of other sites"),
        ({"boxes": {}}, "sent more or less than its shares"),
        ({"boxes": 5}, "its boxes are of other sites"),
        ({"more": 5}, "sent more or less than its shares"),
    ],
)
def test_a_follow_up_that_is_not_what_was_asked_for_is_refused_and_loses_its_site_alone(change, words):
    federation = played(secagg(), tiny_plan(), 2)
    tasks, reports = federation.seen[1]
    task = federation.scheme.follow(played(secagg(), tiny_plan(), 1).memory, 1, reports)["site-1"]
    check_report(reports["site-1"].followed, task, secagg(), "site-1")
    with pytest.raises(Refused, match=words):
        check_report(moved(reports["site-1"].followed, **change), task, secagg(), "site-1")


def test_a_run_in_which_nothing_was_ever_summed_has_no_model():
    federation = played(secagg(), tiny_plan(rounds=3), 1).round(SITES[:2]).round(SITES[:2])
    with pytest.raises(Refused, match="in no round did enough sites answer for a sum; there is no trained model"):
        federation.model()
    with pytest.raises(Refused, match="4 sites and 1 rounds; wanted at least 3 sites, and a round for their keys"):
        secagg().start(tiny_model(tiny_plan(rounds=1)), SITES, 0)


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (fedexp(), "fedexp needs more than a sum"),
        (sitenorm(fedexp()), "sitenorm needs more than a sum"),
        (local(), "local hides every"),
        (secagg(), "secagg hides every"),
        ("fedavg", "inner is 'fedavg'"),
    ],
)
def test_what_can_not_be_summed_is_refused(inner, words):
    with pytest.raises(Refused, match=f"secagg: {words}"):
        secagg(inner)


@pytest.mark.parametrize(
    ("scheme", "allowed"),
    [
        (secagg(), True),
        (secagg(sitenorm()), True),
        (swa(secagg(finetune())), True),
        (local(), True),
        (sitenorm(secagg()), False),
        (fedavg(), False),
    ],
)
def test_a_site_that_demands_secure_aggregation_takes_part_where_every_sum_is_masked(scheme, allowed):
    said = objection(policy_of({"secure_aggregation": True}), scheme)
    assert said is None if allowed else 'take the scheme "secagg"' in said


def test_a_scheme_has_an_aggregation_weight_if_its_row_does_not_block_secure_aggregation():
    for name, make in SCHEMES.items():
        assert (make().aggregation_weight is None) == ("secure_aggregation" in about(name).blocks)


def test_without_an_agent_too_no_round_is_masked_or_opened_twice():
    federation = played(secagg(), tiny_plan(), 1)
    before, task = federation.memory, federation.tasks()["site-1"]
    federation.round()
    for round in (0, 1):
        words = ATTACKS["two updates under one mask"].line.replace("for round 1", f"for round {round}")
        with pytest.raises(Refused, match=words):
            federation.ask("site-1", 1, moved(task, **{ROUND: round}))
    again = federation.scheme.follow(before, 1, federation.seen[1][1])["site-1"]
    with pytest.raises(Refused, match="for shares of round 1 after those of round 1 were sent; this site sends none"):
        federation.ask("site-1", 1, again)


@pytest.mark.parametrize("lost", ["site-1", "site-4"])
def test_a_site_that_missed_the_one_exchange_of_ridge_is_left_out_and_never_sums_alone(lost):
    federation = played(secagg(ridge()), tiny_plan(), 5, {(lost, 1)})
    for tasks, _ in federation.seen[2:]:
        assert all(len(task.extra[MEMBERS]) >= 3 for task in tasks.values() if MEMBERS in task.extra)
    alone = played(ridge(), tiny_plan(), 1, shift=1, sites=[site for site in SITES if site != lost])
    for key, value in alone.model().items():
        torch.testing.assert_close(federation.model()[key], value, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("inner", ["scaffold", "feddyn"])
def test_around_two_wrappers_and_a_scheme_that_keeps_something_a_run_goes_through(inner):
    assert played(secagg(sitenorm(build(inner, {}))), tiny_plan(), 4).memory["summed"] == 3


def test_within_wrappers_the_follow_up_goes_through():
    for scheme in (swa(secagg()), sitenorm(secagg())):
        assert played(scheme, tiny_plan(rounds=4), 4).memory["inner"]["summed"] == 3 - (scheme.name == "sitenorm")


def test_with_fixed_members_a_loss_changes_nothing_and_costs_the_next_round_too():
    scheme, plan = secagg(members="fixed"), tiny_plan(rounds=9)
    assert scheme.fixed_members
    assert not secagg().fixed_members
    federation = played(scheme, plan, 2)
    before = sha256(federation.model())
    federation.round(["site-2"])
    assert all(not report.followed for report in federation.seen[2][1].values())
    assert sha256(federation.model()) == before
    assert federation.round().memory["summed"] == 1
    assert federation.round().memory["summed"] == 2
    with pytest.raises(Refused, match="fedavg asks 3 of 4 sites; wanted all, as `members` is fixed"):
        played(secagg(fedavg(fraction=0.75), members="fixed"), plan, 2)


def test_without_a_loss_fixed_members_make_no_difference():
    for inner in (fedavg(), build("feddyn", {}), build("fedper", {})):
        models = [sha256(played(secagg(inner, members=one), tiny_plan(), 3).model()) for one in ("any", "fixed")]
        assert models[0] == models[1]
