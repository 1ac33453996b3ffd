"""The round loop over a transport of the test's own, with real agents behind it."""

import json

import pytest

from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.run.record import RecordWriter
from brainct.run.rounds import Run
from brainct.run.run_record import Round
from brainct.site.agent import SiteAgent
from tests.conftest import tiny_plan
from tests.support.requests import describes, reply_to, trains

SITES = ["a", "b", "c"]


class Post:
    """Gives requests to agents; `unwell(site, request)` may give another reply, or with None none at all."""

    def __init__(self, folder, small_site, unwell=lambda site, request: request):
        self.agents = {site: SiteAgent(site, folder / "client_state", small_site, reused=True) for site in SITES}
        self.unwell, self.seen = unwell, []

    def __call__(self, requests, inbox):
        self.seen.append((inbox.name, sorted(requests), sorted(inbox.late)))
        for site, request in reversed(requests.items()):
            reply = self.unwell(site, request)
            if reply is request:
                inbox.accept(site, reply_to(self.agents[site], request))
            elif reply is not None:
                inbox.accept(site, reply)


def run(tmp_path, post, scheme="fedavg", **choices):
    plan = tiny_plan(scheme, **choices)
    record = RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False)
    Run(plan, SITES, post, record, log=lambda line: None)()
    return record.content


def in_round(number, request):
    return trains(request, number)


def test_the_order_of_arrival_changes_no_bit(tmp_path, small_site):
    backwards = run(tmp_path / "1", Post(tmp_path, small_site))

    class Forwards(Post):
        def __call__(self, requests, inbox):
            super().__call__(dict(reversed(requests.items())), inbox)

    assert run(tmp_path / "2", Forwards(tmp_path, small_site))["model_sha256"] == backwards["model_sha256"]


def test_a_silent_site_is_not_waited_for_in_the_next_exchange_and_is_welcome_back(tmp_path, small_site):
    post = Post(tmp_path, small_site, lambda site, request: None if site == "b" and in_round(0, request) else request)
    record = run(tmp_path, post)
    late = {what: names for what, _, names in post.seen}
    assert late["round 0"] == []
    assert late["round 1"] == ["b"]
    assert late["round 2"] == []
    assert record["rounds"][0]["lost"] == {"b": "no reply in time"}
    assert set(record["rounds"][1]["metrics"]) == set(SITES)


def test_a_site_that_was_not_asked_for_a_while_is_still_not_waited_for(tmp_path, small_site):
    post = Post(tmp_path, small_site, lambda site, request: None if site == "b" and trains(request) else request)
    record = run(tmp_path, post, "cyclic", rounds=5)
    assert {what: names for what, _, names in post.seen}["round 4"] == ["b"]
    assert [sorted(row["metrics"]) for row in record["rounds"]] == [["a"], [], ["c"], ["a"], []]
    assert record["participation"]["b"] == {
        "asked": 2,
        "took_part": 0,
        "lost": {"1": "no reply in time", "4": "no reply in time"},
    }


@pytest.mark.parametrize(("scheme", "arguments"), [("cyclic", {}), ("fedavg", {"fraction": 0.1})])
def test_a_round_that_asks_one_site_of_several_may_close_empty_and_leaves_the_model_as_it_was(
    scheme, arguments, tmp_path, small_site
):
    gone = lambda site, request: None if in_round(1, request) else request  # noqa: E731
    cut = run(tmp_path / "1", Post(tmp_path, small_site, gone), scheme, rounds=2, arguments=arguments)
    one = run(tmp_path / "2", Post(tmp_path, small_site), scheme, rounds=1, arguments=arguments)
    assert cut["model_sha256"] == one["model_sha256"]
    assert [bool(row["metrics"]) for row in cut["rounds"]] == [True, False]


def test_a_run_in_which_no_report_took_part_fails_and_writes_no_model(tmp_path, small_site):
    gone = lambda site, request: None if trains(request) else request  # noqa: E731
    with pytest.raises(Refused, match="no site's report took part in any round; there is no trained model"):
        run(tmp_path, Post(tmp_path, small_site, gone), "cyclic")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_an_only_site_that_is_lost_ends_the_run(tmp_path, small_site):
    plan = tiny_plan("fedavg")
    post = Post(tmp_path, small_site, lambda site, request: None if trains(request) else request)
    record = RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False)
    with pytest.raises(Refused, match="round 0 can't be closed: 0 of 1 sites replied, the quorum is 1"):
        Run(plan, ["a"], post, record, log=lambda line: None)()


def test_how_long_a_site_is_waited_for_follows_its_last_five_reports(tmp_path, small_site):
    plan = tiny_plan("fedavg")
    record = RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False)
    seconds = [90.0, 1.0, 2.0, 1.0, 3.0, 1.0]
    answered = [{"a": value} for value in seconds] + [{"b": 7.0}]
    record.record.rounds = [Round.model_construct(answered=each) for each in answered]
    assert Run(plan, SITES, Post(tmp_path, small_site), record).exchanges.slowest() == {"a": 3.0, "b": 7.0}


def test_a_site_that_answered_nonsense_is_there_and_waited_for(tmp_path, small_site):
    spoilt = lambda site, request: {"x": 1} if site == "b" and in_round(0, request) else request  # noqa: E731
    post = Post(tmp_path, small_site, spoilt)
    record = run(tmp_path, post)
    assert {what: names for what, _, names in post.seen}["round 1"] == []
    assert "b, round 0: the reply lacks" in record["rounds"][0]["lost"]["b"]


def test_all_sites_are_asked_for_the_final_evaluation(tmp_path, small_site):
    post = Post(tmp_path, small_site, lambda site, request: None if site == "b" and in_round(2, request) else request)
    record = run(tmp_path, post)
    assert post.seen[-1] == ("the final evaluation", SITES, ["b"])
    assert set(record["test"]) == set(SITES)


def test_a_run_over_no_site_or_one_name_twice_is_refused(tmp_path, small_site):
    plan = tiny_plan()
    for sites in ([], ["a", "a"]):
        record = RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False)
        with pytest.raises(Refused, match="wanted at least one, each once"):
            Run(plan, sites, Post(tmp_path, small_site), record)


@pytest.mark.parametrize(
    ("package", "words"), [("0.1.0-0123456789abcdef", "0.1.0-0123456789abcdef"), (None, "unknown")]
)
def test_a_site_with_another_package_than_the_servers_ends_the_run_before_it_trains(
    package, words, tmp_path, small_site
):
    def other(site, request):
        if site != "b" or not describes(request):
            return request
        about = reply_to(post.agents[site], request)["about"]
        return {
            "about": {**about, "package": package} if package else {key: about[key] for key in set(about) - {"package"}}
        }

    post = Post(tmp_path, small_site, other)
    with pytest.raises(Refused, match=f"brainct is {fingerprint()}, but b has .*{words}.*; install the same one"):
        run(tmp_path, post)
    assert [what for what, _, _ in post.seen] == ["the roll call"]


def test_a_site_whose_last_check_failed_is_named_and_the_record_keeps_the_verdict(tmp_path, small_site):
    check, told = {"verdict": "FAIL", "time": "2026-01-02T03:04:05+00:00", "package": fingerprint()}, []

    def failed(site, request):
        if site != "b" or not describes(request):
            return request
        return {"about": {**reply_to(post.agents[site], request)["about"], "check": check}}

    post, plan = Post(tmp_path, small_site, failed), tiny_plan()
    record = RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False)
    Run(plan, SITES, post, record, log=told.append)()
    assert "b: its last site check ended with FAIL" in told
    assert {site: about.get("check") for site, about in record.content["sites"].items()} == {
        "a": None,
        "b": check,
        "c": None,
    }


def test_a_checkpoint_holds_the_memory_of_the_last_closed_round(tmp_path, small_site):
    from brainct.core import serialization
    from brainct.core.weights import sha256
    from brainct.run.model_file import load_model

    record = run(tmp_path, Post(tmp_path, small_site))
    state = serialization.load(tmp_path / "out" / "state" / "memory.safetensors")
    assert [row["round"] for row in json.loads(state["record"])["rounds"]] == [0, 1, 2]
    assert sha256(state["memory"]["weights"]) == record["model_sha256"]
    assert sha256(load_model(tmp_path / "out" / "model.safetensors")) == record["model_sha256"]
