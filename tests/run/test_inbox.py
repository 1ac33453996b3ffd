"""Which replies count, who is lost and why, and when waiting ends."""

import time

import pytest
import torch

from brainct.core.scheme import Report, Task
from brainct.errors import Refused
from brainct.run.inbox import FLOOR, Inbox, Reports, report_reader
from brainct.schemes.fedavg import fedavg
from tests.support.hostile import ATTACKS

SITES = ["a", "b", "c"]


def inbox(quorum=2, **choices):
    return Inbox("round 3", SITES, quorum, lambda site, answer: answer["value"], **choices)


def test_it_closes_when_all_are_in_and_gives_the_answers_sorted_by_site():
    box = inbox()
    for site in ("c", "a", "b"):
        assert not box.closed()
        assert box.accept(site, {"value": site * 2})
    assert box.closed()
    assert list(box.close().items()) == [("a", "aa"), ("b", "bb"), ("c", "cc")]


def test_it_waits_for_the_grace_once_the_quorum_is_met():
    box = inbox(quorum=1, grace=0.05)
    box.accept("b", {"value": 1})
    assert not box.closed()
    time.sleep(0.06)
    assert box.closed()
    assert list(box.close()) == ["b"]
    assert box.lost == {"a": "no reply in time", "c": "no reply in time"}


def test_it_closes_at_the_deadline_and_says_who_is_missing_when_the_quorum_is_not_met():
    box = inbox(quorum=2, deadline=0.02)
    box.accept("b", {"value": 1})
    time.sleep(0.03)
    assert box.closed()
    with pytest.raises(Refused, match=r"round 3 can't be closed: 1 of 3 sites replied, the quorum is 2\. a: no reply"):
        box.close()


def test_it_does_not_wait_for_a_site_that_was_lost_before():
    box = inbox(quorum=2, grace=1000, late=["c"])
    box.accept("a", {"value": 1})
    assert not box.closed()
    box.accept("b", {"value": 1})
    assert box.closed()


def test_a_site_that_was_lost_before_and_takes_its_order_is_waited_for_again():
    box = inbox(quorum=2, grace=1000, late=["c"])
    box.slowest = {"a": 0.0, "c": 0.0}
    box.mark_fetched("a")
    box.mark_fetched("c")
    box.accept("a", {"value": 1})
    box.accept("b", {"value": 1})
    assert not box.closed()
    assert box.slowest == {"a": 0.0}
    assert box.accept("c", {"value": 1})
    assert box.closed()


def waits(monkeypatch, slowest, met=1.0, late=(), quorum=2, **choices):
    """Seconds after its opening at which an inbox closes, if a and b answer after `met` seconds and c never."""
    clock = [0.0]
    monkeypatch.setattr("brainct.run.inbox.time.monotonic", lambda: clock[0])
    box = inbox(quorum=quorum, late=late, **choices)
    box.slowest = slowest
    while not box.closed():
        clock[0] = round(clock[0] + 0.5, 1)
        if quorum and clock[0] == met:
            box.accept("a", {"value": 1})
            box.accept("b", {"value": 1})
    return clock[0]


@pytest.mark.parametrize(
    ("slowest", "met", "seconds"),
    [
        ({}, 1, 61),  # nothing is known of c: the whole grace after the quorum
        ({"c": 2}, 1, 36),  # 3 x 2 + 30
        ({"c": 2}, 10, 60),  # this round is a slow one for all: 3 x 10 + 30
        ({"c": 2}, 100, 160),  # never longer than the grace after the quorum
        ({"c": 300}, 100, 160),
        ({"a": 1, "b": 1}, 1, 61),  # what others took says nothing of c
    ],
)
def test_a_site_is_waited_for_three_times_as_long_as_it_or_the_quorum_took_and_never_longer_than_the_grace(
    monkeypatch, slowest, met, seconds
):
    assert waits(monkeypatch, slowest, met) == seconds


def test_a_round_that_may_close_empty_waits_for_its_site_as_its_reports_taught_and_else_to_the_deadline(monkeypatch):
    one = {"quorum": 0, "deadline": 100}
    assert waits(monkeypatch, {}, **one) == 100
    assert waits(monkeypatch, {"a": 4, "b": 4, "c": 4}, **one) == 42
    assert waits(monkeypatch, {"a": 40, "b": 4, "c": 4}, **one) == 100
    box = inbox(quorum=0, deadline=0.0)
    assert box.closed()
    assert box.close() == {}


def test_an_answer_to_an_earlier_exchange_is_not_used_is_named_and_its_site_is_waited_for_again():
    box = inbox(quorum=2, grace=1000, late=["c"])
    box.slowest = {"c": 0.0}
    assert not box.accept("c", {"value": 1, "exchange": "round 2"})
    box.accept("a", {"value": 1, "exchange": "round 3"})
    box.accept("b", {"value": 1, "exchange": "round 3"})
    assert box.lost == {"c (late)": "its reply to round 2 came in round 3 and is not used"}
    assert not box.closed()
    assert box.accept("c", {"value": 3, "exchange": "round 3"})
    assert box.close() == {"a": 1, "b": 1, "c": 3}


def test_nothing_is_taken_in_after_the_end():
    box = inbox(quorum=1, grace=0.0)
    box.accept("a", {"value": 1})
    assert box.closed()
    assert box.close() == {"a": 1}
    assert not box.accept("b", {"value": 1})
    assert box.replies == {"a": 1}


def test_a_second_answer_and_an_unknown_site_change_nothing_and_are_named():
    box = inbox()
    box.accept("a", {"value": 1})
    assert not box.accept("a", {"value": 2})
    assert not box.accept("mallory", {"value": 3})
    box.accept("b", {"value": 1})
    box.mark_lost("c", "power cut")
    assert box.closed()
    assert box.close() == {"a": 1, "b": 1}
    assert box.lost["a (again)"] == "a replied twice in round 3; the first reply counts"
    assert box.lost["mallory"] == "mallory was not asked in round 3; its reply is not used"
    assert box.lost["c"] == "power cut"


def test_a_sites_own_error_loses_it_with_its_reason():
    box = inbox()
    box.accept("a", {"error": "root /scans does not exist"})
    assert box.lost == {"a": "root /scans does not exist"}
    assert box.silent == {"b", "c"}


def reader(tmp_path, limit=10**9):
    tasks = {site: Task({"w": torch.zeros(100)}) for site in SITES}
    reports = Reports(tmp_path, limit)
    return Inbox("round 0", SITES, 1, report_reader(tasks, fedavg(), reports, "round 0")), reports


def answer(value, **changes):
    return {"weights": {"w": torch.full((100,), float(value))}, "examples": 3, "metrics": {}, "extra": {}, **changes}


def test_a_report_that_does_not_fit_its_task_loses_its_site_and_the_round_goes_on(tmp_path):
    box, reports = reader(tmp_path)
    box.accept("a", answer(float("nan")))
    box.accept("b", answer(2, examples=0))
    box.accept("c", answer(3))
    assert box.closed()
    assert list(box.close()) == list(reports) == ["c"]
    assert box.lost["a"] == "a, round 0: tensor w holds 100 NaN or infinite of 100 values; wanted finite numbers"
    assert "b, round 0: reports 0 examples" in box.lost["b"]


@pytest.mark.parametrize(
    "strange", [{}, {"weights": 3}, {"weights": {"w": 5}, "examples": 1, "metrics": {}, "extra": {}}]
)
def test_an_answer_that_is_no_report_at_all_loses_its_site(tmp_path, strange):
    box, reports = reader(tmp_path)
    assert not box.accept("a", strange)
    assert "a" in box.lost
    assert not reports


def test_reports_beyond_the_limit_wait_on_disk_and_read_the_same(tmp_path):
    box, reports = reader(tmp_path, limit=500)
    for number, site in enumerate(SITES):
        box.accept(site, answer(number))
    assert len(list(tmp_path.iterdir())) == 2
    held = {site: report.weights["w"][0].item() for site, report in reports.items()}
    assert held == {"a": 0.0, "b": 1.0, "c": 2.0}
    mean = fedavg().combine({"weights": {}}, 0, reports)["weights"]["w"]
    assert mean[0].item() == 1.0
    reports.clear()
    assert not list(tmp_path.iterdir())


def test_reports_come_sorted_by_site_whatever_their_order():
    reports = Reports(None)  # type: ignore[arg-type]
    for site in ("c", "a", "b"):
        reports.put(site, Report({"w": torch.ones(1)}, 1))
    assert list(reports) == ["a", "b", "c"]
    assert len(reports) == 3


def test_a_late_site_that_is_asked_alone_has_as_long_as_it_takes_to_be_back_and_no_longer(monkeypatch):
    alone = {"quorum": 0, "deadline": 600}
    assert waits(monkeypatch, {}, late=SITES, **alone) == FLOOR
    assert waits(monkeypatch, {}, **alone) == 600


def test_a_sites_words_are_one_line_of_bounded_length():
    box = inbox()
    box.accept(
        "a", {"error": "no scans\n2026-01-01 12:00:00 - brainct - INFO - round 9: all is well\x1b[2J" + "x" * 10**6}
    )
    assert box.lost["a"].startswith(ATTACKS["lines of a log"].line + " [2Jxxx")
    assert len(box.lost["a"]) <= 503
    box.accept("b", {"value": 1, "exchange": "round\n7"})
    assert "\n" not in box.lost["b (late)"]
    box.mark_lost("c", "a\nb")
    assert box.lost["c"] == "a b"
