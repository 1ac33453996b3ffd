"""A second reading with fresh eyes: each attack that got through once, as it was run, and what it gets now."""

import json
import threading

import pytest
import torch
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.sec.audit import AuditService
from nvflare.private.admin_defs import Message
from nvflare.private.defs import SysCommandTopic, new_cell_message
from nvflare.private.fed.client import shell_cmd
from nvflare.private.fed.client.admin import FedAdminAgent

from brainct.core.scheme import Task
from brainct.ct.workload import CT
from brainct.flare.shell import NoShell
from brainct.schemes._gram import GRAMS
from brainct.schemes._masking import MEMBERS
from brainct.schemes._unmasking import ROUND
from brainct.schemes.fedavg import fedavg
from brainct.schemes.secagg import secagg
from brainct.security.policy_file import reply_filter_in, reply_filter_of
from brainct.security.reply_filter import FilteredAgent
from brainct.security.score_rules import nothing_of
from brainct.site.agent import SiteAgent
from tests.conftest import first_weights, tiny_plan
from tests.support.guarded import SITE, SITES, begun, door, hospital, moved, request
from tests.support.requests import task_of
from tests.support.summing import COUNTS, played
from tests.support.summing import SITES as FOUR

PLAIN = {"architecture": "vgg-small", "size": 32}


# Runs that were refused, and two processes at once --------------------------------------------------------------------


def test_a_run_that_was_refused_at_the_roll_call_gets_nothing_afterwards_either(tmp_path):
    """The agent had fixed the terms before the filter refused the run, so five of five runs got scores at one a day."""
    site = door(tmp_path, policy={"limits": {"runs_a_day": 1}})
    told = []
    for number in range(5):
        plan, run = tiny_plan(seed=number), f"run-{number}"
        site.reply_plain(request(plan, "describe", run=run))
        told.append("scores" in site.reply_plain(request(plan, "evaluate", fold="test", round=3, run=run)))
        told.append("weights" in site.reply_plain(request(plan, run=run)))
    assert told == [True] * 2 + [False] * 8


def test_of_two_processes_that_are_asked_for_the_same_round_one_answers(tmp_path):
    """Two jobs side by side with one run's name: each held its own idea of the last round, so both made an update."""
    plan, sites = tiny_plan(), [door(tmp_path), door(tmp_path)]
    assert all("about" in site.reply_plain(request(plan, "describe")) for site in sites)
    first = sites[0].reply_plain(request(plan))
    assert (
        "replies to each request once"
        in sites[1].reply_plain(request(plan, task=moved(first_weights(plan), 1)))["error"]
    )
    again = sites[1].reply_plain(request(plan))
    assert all(torch.equal(first["weights"][key], again["weights"][key]) for key in first["weights"])
    sites[1].reply_plain(request(plan, round=1))
    assert (
        "replies to each request once"
        in sites[0].reply_plain(request(plan, round=1, task=moved(first_weights(plan), 1)))["error"]
    )


def test_an_order_waits_while_another_one_of_the_same_run_is_answered(tmp_path):
    one, other = (SiteAgent(SITE, tmp_path, None, lambda *_: hospital(0)) for _ in range(2))
    one.reply_plain(request(tiny_plan(), "describe"))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(other.reply_plain(request(tiny_plan()))))
    with one.state.alone("a-run"):
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
        assert one.state.kept("a-run")["round"] == -1
    thread.join(timeout=60)
    assert "weights" in answers[0]
    assert one.state.kept("a-run")["round"] == 0


# What a task may hold -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["fedsgd", "fedavg"])
def test_a_listed_network_is_trained_in_its_own_widths_alone(tmp_path, scheme):
    """The plan named a listed network; the task's weights had 2,048 hidden units, and were trained as they came."""
    plan = tiny_plan(scheme, network=PLAIN)
    wide = tiny_plan(scheme, network={**PLAIN, "options": {"widths": [3, 3, 3], "hidden": 2048}})
    site = begun(tmp_path, plan, policy={"limits": {"networks": ["vgg-small"]}})
    for what, number in (("train", 0), ("evaluate", 3)):
        task = task_of(first_weights(wide))
        error = site.reply_plain(request(plan, what, fold="test", round=number, task=task))["error"]
        assert "came in the shape of another network; it trains vgg-small" in error
    assert "weights" in begun(tmp_path / "own", plan, policy={"limits": {"networks": ["vgg-small"]}}).reply_plain(
        request(plan)
    )


def test_a_scheme_that_widens_networks_may_double_a_listed_one_and_no_more(tmp_path):
    plan = tiny_plan("fedma", network=PLAIN)
    told = []
    for hidden in (63, 96, 129):
        wide = tiny_plan("fedma", network={**PLAIN, "options": {"hidden": hidden}})
        site = begun(tmp_path / str(hidden), plan, policy={"limits": {"networks": ["vgg-small"]}})
        task = task_of(first_weights(wide), {"frozen": []})
        told.append("weights" in site.reply_plain(request(plan, task=task)))
    assert told == [False, True, False]


@pytest.mark.parametrize("scheme", ["fedper", "fedrep", "fedbn", "lgfedavg", "fedbabu"])
def test_what_stays_at_a_site_is_not_sent_to_a_server_that_puts_it_into_the_task(tmp_path, scheme):
    """Which part stays followed from the task: with the head in it, the site sent the head that it had trained."""
    plan = tiny_plan(scheme)
    site = begun(tmp_path, plan)
    error = site.reply_plain(request(plan))["error"]
    assert "but by this job that stays at each site; the site sends nothing" in error


def test_a_site_votes_no_more_often_than_the_job_says_and_grows_no_forest_unasked(tmp_path, monkeypatch):
    """Whether to vote, and with which model, was the task's word: six votes of a job that has none."""
    monkeypatch.setenv("BRAINCT_SECRET", "a long random text")
    told = []
    for period, forest in ((None, False), (2, False), (1, True)):
        plan = tiny_plan("fedct", arguments={"warmup": 0, "period": period}, rounds=4)
        site, task = begun(tmp_path / f"{period}", plan), {"scans": 10, "vote": True, "forest": forest}
        orders = [request(plan, round=number, task=task_of({}, task)) for number in range(4)]
        told.append([bool(site.reply_plain(one).get("weights")) for one in orders])
    assert told == [[False] * 4, [False, True, False, True], [False] * 4]


@pytest.mark.parametrize("repair", [False, True])
def test_rebasin_measures_what_its_job_says_and_no_other_layer(tmp_path, repair):
    """A job without REPAIR measured any layer of any network in each round: 192 numbers in six."""
    plan = tiny_plan("rebasin", network=PLAIN, arguments={"repair": repair}, rounds=5)
    site, weights = begun(tmp_path, plan), first_weights(plan)
    asked = [(False, ["head"]), (True, ["conv1"]), (False, ["conv1"])]
    told = []
    for number, (train, measure) in enumerate(asked):
        task = task_of(weights, {"train": train, "measure": measure})
        told.append("weights" in site.reply_plain(request(plan, round=number, task=task)))
    assert told == [False, False, repair]


def test_ridge_tells_the_features_of_one_model_and_of_the_heads_input_alone(tmp_path):
    """Whatever weights came in a round were taken, so that six rounds told of six networks, and of any linear layer."""
    plan = tiny_plan("ridge", network=PLAIN)
    weights = first_weights(plan)
    head = {key: value + 1 for key, value in weights.items() if key.startswith("head.")}
    task, solved = (task_of(each, {GRAMS: "head"}) for each in (weights, {**weights, **head}))
    site = begun(tmp_path, plan)
    other = site.reply_plain(request(plan, task=task_of(weights, {GRAMS: "hidden"})))
    assert "the server asks for the input of another layer than head" in other["error"]
    assert "weights" in site.reply_plain(request(plan, task=task))
    assert "weights" in site.reply_plain(request(plan, round=1, task=solved)), "one that was lost is asked again"
    more = {**moved(weights, 0.1), "extra": {GRAMS: "head"}}
    assert "a site sends those of one model in a run" in site.reply_plain(request(plan, round=2, task=more))["error"]


# Failures as a channel ------------------------------------------------------------------------------------------------


def bright(plan, threshold):
    """Weights under which a network gives no number for a scan that is brighter than the threshold anywhere."""
    weights = {key: torch.zeros_like(value) for key, value in first_weights(plan).items()}
    for layer in ("conv1", "conv2", "conv3"):
        weights[f"{layer}.weight"][0, 0, 1, 1] = 1.0
    weights["conv1.bias"][0] = -threshold
    weights["conv3.weight"][0, 0, 1, 1] = 1e30
    weights["hidden.weight"][:2, :9] = 3e38
    weights["head.weight"][:, 0], weights["head.weight"][:, 1] = 1.0, -1.0
    return weights


def behind(folder, scans, scores):
    """A site whose agent knows the policy, as a provisioned one's does."""
    file = folder / "privacy.json"
    filters = [{"path": "brainct.flare.filters.Privacy", "args": {"scores": scores}}]
    scope = {"name": "hospital", "task_result_filters": filters}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"scopes": [scope], "default_scope": "hospital"}))
    agent = SiteAgent(SITE, folder / "client_state", None, lambda *_: scans, privacy=file)
    return FilteredAgent(agent, reply_filter_in(file, SITE))


@pytest.mark.parametrize("scores", [{"form": "never"}, {"form": "noised", "noise": 4.0}], ids=["never", "noised"])
def test_whether_an_evaluation_fails_tells_nothing_of_a_scan_and_costs_what_others_cost(tmp_path, scores):
    """Twelve evaluations found the brightest pixel of all test scans to 5e-5, under `never`, and nothing counted."""
    plan, scans = tiny_plan(network=PLAIN), hospital(0)
    brightest = float(scans.folds["test"].inputs[:, 0].max())
    sites = [behind(tmp_path / str(number), scans, scores) for number in range(2)]
    told = []
    for site, threshold in zip(sites, (brightest - 1e-3, brightest + 1e-3), strict=True):
        site.reply_plain(request(plan, "describe"))
        task = task_of(bright(plan, threshold))
        told.append(site.reply_plain(request(plan, "evaluate", fold="test", round=3, task=task))["scores"])
    assert [one.keys() for one in told] == [nothing_of(CT.score_keys, list(told[0])).keys()] * 2
    if scores["form"] == "never":
        assert told == [nothing_of(CT.score_keys, list(told[0]))] * 2
    else:
        assert all(site.filter.ledger.spent(1e-5)["scores"] > 0 for site in sites)


def test_that_a_site_fails_however_it_scores_is_never_said_where_no_score_leaves(tmp_path):
    site = begun(tmp_path, tiny_plan(), policy={"scores": {"form": "never"}})
    task = task_of({})
    answer = site.reply_plain(request(tiny_plan(), "evaluate", fold="test", round=3, task=task))
    assert answer["scores"]["any"]["reason"] == "withheld"


# FLARE's own commands -------------------------------------------------------------------------------------------------


class _Cell:
    """Stands for FLARE's connection: holds what the agent would have it call for the server's messages."""

    def register_request_cb(self, channel, topic, cb):
        self.receive = cb


class _Engine:
    def new_context(self):
        return FLContext()


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What FLARE's own agent at a site answers to a shell command of a server that states no user and no right."""
    monkeypatch.setattr(shell_cmd, "SHELL_CMD_VALIDATORS", dict(shell_cmd.SHELL_CMD_VALIDATORS))
    monkeypatch.setattr(AuditService, "the_auditor", None)
    AuditService.initialize(str(tmp_path / "audit.log"))
    cell = _Cell()
    FedAdminAgent(SITE, cell, _Engine()).register_processor(shell_cmd.ShellCommandProcessor())
    yield lambda words: cell.receive(new_cell_message({}, Message(SysCommandTopic.SHELL, words))).payload.body
    AuditService.close()


@pytest.mark.parametrize("command", ["cat", "head", "tail", "grep EXAMPLE"])
def test_a_server_reads_no_file_of_a_site_with_flares_shell_commands(tmp_path, asked, command):
    """FLARE asks nobody for a right where the message does not say that one is needed, and the server writes it."""
    table = tmp_path / "labels.csv"
    table.write_text("patient,any\nEXAMPLE^NAME,1\n")
    assert "EXAMPLE^NAME" in asked(f"{command} {table}")
    NoShell()
    assert "is not a supported shell command" in asked(f"{command} {table}")


# Sums of two runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", ["any", "fixed"])
def test_two_runs_that_differ_in_one_site_tell_its_update(members):
    """Why the policy has `together`: training follows from the job, so the others' parts are the same in both runs."""
    plan, scheme = tiny_plan(), secagg(members=members)
    every, fewer = played(scheme, plan, 2), played(scheme, plan, 2, sites=FOUR[:3])
    with_it, without = (sum(COUNTS[site] for site in sites) for sites in (FOUR, FOUR[:3]))
    gap = {
        key: with_it * every.model()[key].double() - without * value.double() for key, value in fewer.model().items()
    }
    task = Task(every.seen[1][0]["site-4"].weights)
    own = fedavg().reply(task, every.learner("site-4", 1), {})[0].weights
    assert all(float((gap[key] / COUNTS["site-4"] - own[key]).abs().max()) < 1e-5 for key in own)


def test_with_named_sites_no_sum_of_any_run_is_over_others(tmp_path):
    together = {"secure_aggregation": True, "together": SITES}
    fixed, free = (tiny_plan("secagg", arguments={"members": members}) for members in ("fixed", "any"))
    assert "about" in begun(tmp_path, fixed, policy=together).reply_plain(request(fixed, "describe"))
    four = request(fixed, "describe", run="another", sites=[*SITES, "site-4"])
    assert "every sum must be over site-1, site-2, site-3" in door(tmp_path, policy=together).reply_plain(four)["error"]
    assert "`members`" in door(tmp_path / "free", policy=together).reply_plain(request(free, "describe"))["error"]
    task = task_of({}, {MEMBERS: SITES[:2], ROUND: 1})
    less = reply_filter_of({**together, "folder": str(tmp_path)}, tmp_path, SITE).reply_plain(
        request(fixed, round=1, task=task), {"weights": {}, "examples": 1, "metrics": {}, "extra": {}}
    )
    assert "and the server's is over others" in less["error"]
    assert "about" in door(tmp_path / "local", policy=together).reply_plain(request(tiny_plan("local"), "describe"))


# Counts that a policy withholds ---------------------------------------------------------------------------------------


def rare(known=True):
    """Twenty training scans, of which four have a finding, or of which two have a label of it."""
    scans = hospital(0)
    labels = scans.folds["train"].labels
    labels[:, 0] = (torch.arange(20) < 4).float()
    if not known:
        labels[2:, 0] = torch.nan
    return scans


def test_a_count_that_is_withheld_does_not_follow_from_those_that_are_told(tmp_path):
    """Four with a finding were withheld, but 16 without it told, of 20 scans."""
    about = door(tmp_path, scans=rare(), policy={"least_class": 5}).reply_plain(request(tiny_plan(), "describe"))[
        "about"
    ]
    train = about["folds"]["train"]
    assert "epidural" not in {**train["positives"], **train["negatives"]}
    assert train["positives"]["any"] == train["negatives"]["any"] == 10


def test_a_small_count_of_labelled_scans_leaves_as_none(tmp_path):
    plan = tiny_plan("fedma")
    task = task_of(first_weights(plan), {"frozen": []})
    told = []
    for least in (1, 5):
        site = begun(tmp_path / str(least), plan, scans=rare(known=False), policy={"least_class": least})
        told.append(site.reply_plain(request(plan, task=task))["extra"]["labelled"])
    assert told == [[2] + [20] * 5, [0] + [20] * 5]


@pytest.mark.parametrize("scheme", ["minibatch", "fedavg"])
def test_no_job_trains_on_single_scans_where_the_policy_has_a_least_number(tmp_path, scheme):
    """From the gradient by the last layer's bias the six labels of a scan were read: 12 of 12, and whose they were."""
    plan = tiny_plan(scheme, fit={"batch_size": 1, "steps": 1})
    error = door(tmp_path, policy={"limits": {"scans": 5}}).reply_plain(request(plan, "describe"))["error"]
    assert "the job trains on too few scans at a time: 1, wanted at least 5" in error
    assert "weights" not in door(tmp_path, policy={"limits": {"scans": 5}}).reply_plain(request(plan))
