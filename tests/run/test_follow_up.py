"""A scheme's second exchange in a round, as the round loop, the agents and a resumed run see it."""

import multiprocessing
import signal
from contextlib import suppress
from dataclasses import replace

import pytest

from brainct.core import serialization
from brainct.core.names import site_names
from brainct.core.scheme import Report, Task, followed
from brainct.run.record import RecordWriter
from brainct.run.rehearse import InProcess, rehearse, resume
from brainct.run.rounds import Run
from brainct.run.run_record import RunRecord
from brainct.run.summary import last_lines
from brainct.schemes.fedavg import fedavg
from brainct.site.agent import SiteAgent
from tests.conftest import of_any, tiny_plan, tiny_scans
from tests.support.kills import die, quiet
from tests.support.requests import plain, reply_to, trains

SITES = site_names(5)


class Post:
    """Gives requests to agents; `change(site, request, reply)` may give another reply, or with None none at all."""

    def __init__(self, folder, change=lambda site, request, reply: reply):
        scans = {site: of_any(tiny_scans(sum(site.encode()))) for site in SITES}
        self.agents = {
            site: SiteAgent(site, folder / "client_state", None, lambda f, site, *_: scans[site]) for site in SITES
        }
        self.change, self.seen = change, []

    def __call__(self, requests, inbox):
        self.seen += [(inbox.name, site, plain(request)) for site, request in requests.items() if trains(request)]
        for site, request in requests.items():
            reply = self.change(site, request, reply_to(self.agents[site], request))
            if reply is not None:
                inbox.accept(site, reply)


def run(folder, post, rounds=4):
    plan, lines = tiny_plan("secagg", rounds=rounds, evaluate_every=0), []
    record = RecordWriter(folder / "out", plan, plan.build(), "test", board=False)
    Run(plan, SITES, post, record, log=lines.append)()
    return record.content, lines


def second(request, number=2):
    return trains(request, number, step=1)


def test_both_exchanges_are_one_round_in_the_record_and_say_their_step(tmp_path):
    sizes = {}

    def weigh(site, request, reply):
        if trains(request, 2):
            sizes[site, request.step] = serialization.size(plain(request)["task"]), serialization.size(reply)
        return reply

    post = Post(tmp_path, weigh)
    record, _ = run(tmp_path, post)
    assert sorted({(what, request["step"]) for what, _, request in post.seen if request["round"] == 2}) == [
        ("round 2", 0),
        ("round 2, follow-up", 1),
    ]
    row = record["rounds"][2]
    for site in SITES:
        assert row["bytes_sent"][site] == sizes[site, 0][0] + sizes[site, 1][0]
        assert row["bytes_received"][site] == sizes[site, 0][1] + sizes[site, 1][1]
    assert row["metrics"] == {site: {} for site in SITES}
    lines = last_lines(RunRecord.model_validate(record), tmp_path)
    assert "5 of 5" not in lines
    assert lines.count("4 of 4") == len(SITES)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (None, "no reply in time"),
        ({"error": "power cut"}, "power cut"),
        ({"extra": {}}, "site-2, round 2, follow-up: its seeds are of other sites than those asked for"),
        ({"examples": 0}, "site-2, round 2, follow-up: reports 0 examples"),
        ({"exchange": "round 2"}, "no reply in time"),
    ],
)
def test_a_site_that_is_lost_in_the_follow_up_is_named_with_the_reason_and_the_sum_has_it(tmp_path, spoilt, reason):
    def change(site, request, reply):
        spoil = second(request) and site == "site-2"
        return (spoilt and {**reply, **spoilt}) if spoil else reply

    record, lines = run(tmp_path, Post(tmp_path, change))
    assert record["rounds"][2]["lost"]["site-2 (follow-up)"].startswith(reason)
    assert any(line.startswith(f"round 2, follow-up: lost site-2 ({reason}") for line in lines)
    assert record["participation"]["site-2"] == {"asked": 4, "took_part": 4, "lost": {}}
    assert sorted(record["rounds"][2]["metrics"]) == SITES


def test_a_follow_up_with_too_few_answers_is_said_and_the_round_changes_nothing(tmp_path):
    gone = ("site-2", "site-3", "site-4")
    post = Post(tmp_path, lambda site, request, reply: None if second(request) and site in gone else reply)
    record, lines = run(tmp_path, post, rounds=5)
    words = "round 2, follow-up can't be closed: 2 of 5 sites replied, the quorum is 3. site-2: no reply in time"
    assert any(line.startswith(words) for line in lines)
    asked = {what: sorted(request["task"]["weights"]) for what, site, request in post.seen if site == "site-1"}
    assert asked["round 2"]
    assert not asked["round 3"]
    assert asked["round 4"] == asked["round 2"]
    state = serialization.load(tmp_path / "out" / "state" / "memory.safetensors")
    assert state["memory"]["summed"] == 2
    assert len(record["rounds"]) == 5


def test_a_site_that_was_silent_in_the_follow_up_is_not_waited_for_in_the_next_round(tmp_path):
    late = {}

    class Looks(Post):
        def __call__(self, requests, inbox):
            late[inbox.name] = sorted(inbox.late)
            super().__call__(requests, inbox)

    gone = lambda site, request, reply: None if second(request, 1) and site == "site-3" else reply  # noqa: E731
    run(tmp_path, Looks(tmp_path, gone))
    assert (late["round 1"], late["round 1, follow-up"], late["round 2"], late["round 3"]) == ([], [], ["site-3"], [])


def test_a_scheme_without_one_has_no_second_exchange(tmp_path):
    plan = tiny_plan(rounds=1, evaluate_every=0)
    post, lines = Post(tmp_path), []
    Run(plan, SITES, post, RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False), log=lines.append)()
    assert {what for what, _, _ in post.seen} == {"round 0"}
    assert lines == []


def test_a_follow_up_of_a_site_that_did_not_reply_is_a_fault_of_the_scheme(tmp_path, monkeypatch):
    plan = tiny_plan(rounds=1, evaluate_every=0)
    strange = replace(fedavg(), follow=lambda memory, round, reports: {"site-9": Task({})})
    monkeypatch.setattr(type(plan), "build", lambda plan: strange)
    run = Run(plan, SITES, Post(tmp_path), RecordWriter(tmp_path / "out", plan, strange, "test", board=False))
    with pytest.raises(AssertionError, match="follows up on sites that did not reply"):
        run()


def test_by_hand_a_lost_second_reply_is_none():
    reports = {site: Report({}, 1) for site in "ab"}
    twice = replace(fedavg(), follow=lambda memory, round, reports: {site: Task({}) for site in reports})
    found = followed(twice, {}, 0, reports, lambda site, task: Report({}, 7) if site == "a" else None)
    assert (found["a"].followed.examples, found["b"].followed) == (7, None)
    assert followed(fedavg(), {}, 0, reports, lambda site, task: None) == reports


@pytest.mark.slow
@pytest.mark.usefixtures("small_site")
@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("answers", [0, 1, 4])
def test_a_run_killed_in_a_follow_up_ends_with_the_model_of_one_that_was_not(tmp_path, monkeypatch, number, answers):
    plan = tiny_plan("secagg", rounds=4, evaluate_every=0)
    wanted = rehearse(plan, site_names(4), tmp_path / "calm", log=quiet).content["model_sha256"]

    def child():
        real, seen = SiteAgent.reply, []

        def reply(agent, request):
            if trains(request, number, step=1):
                if len(seen) == answers:
                    die()
                seen.append(agent.site)
            found = real(agent, request)
            if len(seen) == answers == 4:
                die()
            return found

        monkeypatch.setattr(SiteAgent, "reply", reply)
        rehearse(plan, site_names(4), tmp_path / "out", log=quiet)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert resume(tmp_path / "out", log=quiet).content["model_sha256"] == wanted


@pytest.mark.usefixtures("small_site")
def test_another_loss_after_a_kill_in_the_follow_up_is_refused_by_who_had_answered(tmp_path):
    """Both kinds of shares of one site would be shown; the round changes nothing and the run goes on."""
    plan, real, state = tiny_plan("secagg", rounds=6, evaluate_every=0), InProcess.__call__, {"kill": True}

    def transport(here, requests, inbox):
        step = plain(next(iter(requests.values()))).get("step")
        if state["kill"] and inbox.name == "round 2" and step == 0:
            requests = {site: request for site, request in requests.items() if site != "site-2"}
            inbox.mark_lost("site-2", "power cut")
        real(here, requests, inbox)
        if state["kill"] and inbox.name == "round 2, follow-up":
            raise KeyboardInterrupt

    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InProcess, "__call__", transport)
        with suppress(KeyboardInterrupt):
            rehearse(plan, site_names(4), tmp_path / "out", log=quiet)
        state["kill"] = False
        content = resume(tmp_path / "out", log=lines.append).content
    assert any(line.startswith("round 2, follow-up can't be closed: 1 of 4 sites replied") for line in lines)
    assert content["rounds"][4]["bytes_sent"]["site-2"] > content["rounds"][3]["bytes_sent"]["site-2"]
    assert "model_sha256" in content
