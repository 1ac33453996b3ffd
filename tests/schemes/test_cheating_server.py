"""What a server that cheats learns of one site under secure aggregation: each attack read an update before its cure."""

from dataclasses import replace

import pytest
import torch

from brainct.core import masking, secret_sharing
from brainct.core.scheme import Report, Task
from brainct.errors import Refused
from brainct.schemes import _summing, build
from brainct.schemes._masking import GIVEN, MEMBERS, _given
from brainct.schemes._unmasking import BOXES, NEXT, OPEN, PRIVATE, SEEDS
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedsgd import fedsgd
from brainct.schemes.secagg import secagg
from tests.conftest import tiny_plan
from tests.support.summing import COUNTS, SITES, Federation, moved, played

VICTIM, OTHERS = "site-2", ["site-1", "site-3", "site-4"]
STILL = {"rate": 1e-30}
NOISE = 1e3
"""A value of a masked sum is uniform to 2^31 in size; no update of these sites reaches 1."""


def true_update(federation, task, plan=None):
    """What the victim sends without masks."""
    learner = federation.learner(VICTIM, len(federation.seen), plan)
    inner = fedsgd() if federation.scheme.arguments["inner"]["scheme"] == "fedsgd" else fedavg()
    return inner.reply(Task(task.weights), learner, {})[0].weights


def error(found, wanted):
    """The largest difference of a value."""
    return max(float((value - wanted[key].double()).abs().max()) for key, value in found.items())


def dead(weights):
    """A model of which training moves the head's bias alone: nothing gets through its last norm and its head."""
    blocked = ("norm2.weight", "norm2.bias", "head.weight")
    return {key: value * (key not in blocked) for key, value in weights.items()}


def replies(federation, tasks, plans=None):
    number = len(federation.seen)
    return {site: federation.ask(site, number, tasks[site], (plans or {}).get(site)) for site in sorted(tasks)}


def unmasked(federation, reports, survivors=SITES, lost=()):
    """The sum that a server has who says that these are the survivors, to all alike, and does as told otherwise."""
    number, memory = len(federation.seen), federation.memory
    honest = {site: reports[site] for site in survivors}
    tasks = federation.scheme.follow(memory, number, honest)
    second = {site: federation.ask(site, number, task) for site, task in tasks.items()}
    secrets = _summing._opened(memory, survivors, list(lost), second)
    words = {site: [reports[site].extra[GIVEN], number] for site in survivors}
    keys = {site: memory["keys"][site]["mask"] for site in (*survivors, *lost)}
    return masking.total({site: reports[site].weights for site in survivors}, *secrets, keys, words)


def test_a_server_that_asks_the_sites_alike_has_their_sum():
    """What the attacks below start from: without a lie the sum is there, to the accuracy of the fixed point."""
    federation = played(secagg(), tiny_plan(), 1)
    tasks = federation.tasks()
    total = unmasked(federation, replies(federation, tasks))
    rest = {
        site: fedavg().reply(Task(tasks[site].weights), federation.learner(site, 1), {})[0].weights for site in SITES
    }
    summed = {key: sum(COUNTS[site] * rest[site][key].double() for site in SITES) for key in total}
    assert error(total, summed) < 1e-8


def test_the_same_round_under_another_job_is_refused():
    """Two updates under one mask: their difference was the victim's, to 3e-11."""
    federation = played(secagg(), tiny_plan(), 1)
    task, before = federation.tasks()[VICTIM], federation.keeps[VICTIM]
    federation.ask(VICTIM, 1, task)
    federation.keeps[VICTIM] = before
    with pytest.raises(Refused, match="the job is not the one for which keys were agreed; it sends nothing"):
        federation.ask(VICTIM, 1, task, tiny_plan(fit=STILL))


def test_another_job_for_the_others_is_refused_from_the_first_shares_on():
    federation, still = Federation(secagg(), tiny_plan()), tiny_plan(fit=STILL)
    heard = {site: federation.ask(site, 0, task) for site, task in federation.tasks().items()}
    tasks = federation.scheme.follow(federation.memory, 0, heard)
    with pytest.raises(Refused, match="this one's 0 times; wanted at least 3, each once; it sends nothing"):
        federation.ask("site-1", 0, tasks["site-1"], still)


def lied(federation, name, value, whom):
    """The next round's tasks, with another `extra` or with other weights for some sites."""
    tasks = dict(federation.tasks())
    for site in whom:
        old = tasks[site]
        tasks[site] = replace(old, weights=value(old.weights)) if name == "weights" else moved(old, **{name: value})
    return tasks


def test_a_dead_model_for_the_others_leaves_noise():
    """Their part of the sum was known, so that the victim's model was read to 4e-11."""
    federation = played(secagg(), tiny_plan(), 1)
    tasks = lied(federation, "weights", dead, OTHERS)
    total = unmasked(federation, replies(federation, tasks))
    known = dead(tasks[VICTIM].weights)
    rest = sum(COUNTS[site] for site in OTHERS)
    found = {key: (total[key] - rest * known[key].double()) / COUNTS[VICTIM] for key in total if key != "head.bias"}
    assert error(found, true_update(federation, tasks[VICTIM])) > NOISE


@pytest.mark.parametrize(
    ("inner", "name", "value"),
    [
        ("fedper", "own", {"head.weight": torch.zeros(6, 8), "head.bias": torch.zeros(6)}),
        ("sitenorm", "sitenorm", {"mean": [0.0] * 3, "variance": [1e12] * 3}),
        ("fedavg", "more", 5),
        ("scaffold", "weights", dead),
    ],
)
def test_whatever_else_the_others_are_given_alone_leaves_noise_too(inner, name, value):
    federation = played(secagg(build(inner, {})), tiny_plan(), 2 if inner == "sitenorm" else 1)
    total = unmasked(federation, replies(federation, lied(federation, name, value, OTHERS)))
    assert max(float(found.abs().max()) for found in total.values()) > NOISE


def test_what_was_given_once_and_differed_leaves_noise_in_later_rounds_as_well():
    federation = played(secagg(build("fedper", {})), tiny_plan(), 1)
    other = {"head.weight": torch.zeros(6, 8), "head.bias": torch.zeros(6)}
    tasks = lied(federation, "own", other, ["site-4"])
    replies(federation, tasks)
    assert len({federation.keeps[site]["once"]["own"] for site in SITES}) == 2


def test_masks_are_made_of_the_job_and_of_all_that_was_given_but_not_of_a_sites_own_counts():
    task = Task({"w": torch.ones(2)}, {"more": 1, "arrived": 2, "own": {}})
    first = _given(task, "job", {})
    for other in (replace(task, weights={"w": torch.zeros(2)}), moved(task, more=2)):
        assert _given(other, "job", {}) != first
    assert len({first, _given(task, "another job", {}), _given(task, "job", {"own": "a"})}) == 3
    assert _given(moved(task, arrived=3), "job", {}) == first


def test_a_loss_that_was_reported_in_clear_is_not():
    """Of a model that is constant the mean loss at two biases told the share of scans with a finding, to 3e-5."""
    federation = played(secagg(), tiny_plan(fit=STILL), 1)
    assert all(report.metrics == {} for report in replies(federation, federation.tasks()).values())


def test_an_inner_scheme_that_tells_more_than_counts_is_refused_at_the_site():
    def tells(task, learner, client_state):
        return Report(task.weights, 3, {"loss": 0.5}, {"median": 0.25}), client_state

    federation = played(secagg(replace(fedavg(), reply=tells)), tiny_plan(), 1)
    with pytest.raises(Refused, match="fedavg would send median unmasked, which derives from scans"):
        replies(federation, federation.tasks())


def test_a_loss_that_is_only_claimed_gives_no_second_sum_of_the_same_model():
    """The whole sum, and the sum of the round that was done again, differed by the victim's gradient, to 2e-11."""
    federation = played(secagg(fedsgd()), tiny_plan(), 1)
    tasks = federation.tasks()
    reports = replies(federation, tasks)
    part = unmasked(federation, reports, OTHERS, [VICTIM])
    whole = {key: sum(report.weights[key] for report in reports.values()).double() * 2.0**-masking.BITS for key in part}
    found = {key: (whole[key] - part[key]) / COUNTS[VICTIM] for key in part}
    assert error(found, true_update(federation, tasks[VICTIM])) > NOISE


def test_a_model_is_not_summed_again_over_other_sites():
    """The server claims that the follow-up failed and asks for the same model in the next round, without the victim."""
    federation = played(secagg(fedsgd()), tiny_plan(), 1)
    before = federation.memory["inner"]
    federation.round()
    federation.memory = {**federation.memory, "inner": before, "summed": 0}
    reports = replies(federation, federation.tasks())
    with pytest.raises(Refused, match="a second sum, over other sites, of one model; this site shows no share"):
        unmasked(federation, reports, OTHERS, [VICTIM])
    assert unmasked(federation, reports)


def test_with_fixed_members_no_sum_is_over_other_sites():
    federation = played(secagg(fedsgd(), members="fixed"), tiny_plan(), 2)
    with pytest.raises(Refused, match="a sum over site-1, site-3, site-4; `members` is fixed to site-1, site-2"):
        federation.ask("site-1", 2, moved(federation.tasks()["site-1"], **{MEMBERS: OTHERS}))
    replies(federation, federation.tasks())
    opening = {"survivors": OTHERS, "lost": [VICTIM], BOXES: {}}
    with pytest.raises(Refused, match="3 of 4 sites are in the sum; wanted all, as `members` is fixed"):
        federation.ask("site-1", 2, Task({}, {"secagg_round": 2, NEXT: {}, OPEN: opening}))


def test_with_fixed_members_a_site_counts_its_reports_itself():
    federation = played(secagg(build("feddyn", {}), members="fixed"), tiny_plan(), 3)
    with pytest.raises(Refused, match="the server says that 1 reports arrived; this site knows of 2 sums"):
        federation.ask(VICTIM, 3, moved(federation.tasks()[VICTIM], arrived=1))


SEVEN = [f"site-{number}" for number in range(1, 8)]


def split(federation, reports, told_lost, colluders):
    """A server that tells some sites that the victim was lost and the others that it was not; colluders show it all."""
    number = len(federation.seen)
    shown = {SEEDS: set(), PRIVATE: set()}
    for site in federation.sites:
        for view in (True, False) if site in colluders else (site in told_lost,):
            there = [one for one in federation.sites if not (view and one == VICTIM)]
            task = federation.scheme.follow(federation.memory, number, {one: reports[one] for one in there}).get(site)
            client_state = federation.keeps[site]
            if task is None:
                continue
            extra = federation.ask(site, number, task).extra
            federation.keeps[site] = client_state if site in colluders else federation.keeps[site]
            for kind in shown:
                shown[kind] |= {site} if VICTIM in extra[kind] else set()
    return {kind: len(sites) for kind, sites in shown.items()}


@pytest.mark.parametrize(("colluders", "opened"), [(0, False), (1, False), (2, False), (3, True)])
def test_two_lists_of_survivors_open_nothing_unless_a_third_of_the_sites_help(colluders, opened):
    federation = played(secagg(), tiny_plan(), 1, sites=SEVEN)
    reports = replies(federation, federation.tasks())
    helpers = [site for site in SEVEN if site != VICTIM][:colluders]
    others = [site for site in SEVEN if site not in (VICTIM, *helpers)]
    needed = secret_sharing.threshold(len(SEVEN))
    found = split(federation, reports, others[: needed - colluders], helpers)
    assert found[PRIVATE] == needed
    assert (found[SEEDS] >= needed) == opened


def test_a_list_of_survivors_that_no_honest_server_has_gets_no_share():
    federation = played(secagg(), tiny_plan(), 1)
    reports = replies(federation, federation.tasks())
    task = federation.scheme.follow(federation.memory, 1, reports)["site-1"]
    for survivors, lost, words in [
        (OTHERS, [], "not of the sites that masked"),
        (SITES[1:], ["site-1"], "not of the sites that masked"),
        (SITES[:2], SITES[2:], "2 of 4 sites are in the sum; wanted more than two thirds, and at least 3"),
        (SITES, [VICTIM], "of an unknown sum"),
        ([*SITES, "site-9"], [], "of an unknown sum"),
    ]:
        opening = {**task.extra[OPEN], "survivors": survivors, "lost": lost}
        with pytest.raises(Refused, match=words):
            federation.ask("site-1", 1, moved(task, **{OPEN: opening}))


def test_boxes_that_were_swapped_or_altered_give_no_share():
    federation = played(secagg(), tiny_plan(), 1)
    reports = replies(federation, federation.tasks())
    task = federation.scheme.follow(federation.memory, 1, reports)["site-1"]
    boxes = task.extra[OPEN][BOXES]
    altered = {"site-1": boxes["site-2"], "site-2": "00" + boxes["site-2"][2:], "site-3": "", "site-4": boxes["site-4"]}
    extra = federation.ask("site-1", 1, moved(task, **{OPEN: {**task.extra[OPEN], BOXES: altered}})).extra
    assert sorted(extra[SEEDS]) == ["site-4"]
