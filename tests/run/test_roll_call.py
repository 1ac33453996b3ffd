"""A roll call by quorum: the run begins without the sites that do not answer, and takes them in when they do."""

import pytest

from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.run.record import RecordWriter
from brainct.run.rehearse import rehearse, resume
from brainct.run.rounds import Run
from brainct.run.run_record import read_record
from brainct.run.summary import last_lines
from brainct.site.data import open_data
from tests.conftest import tiny_plan
from tests.run.test_rounds import SITES, Post
from tests.support.requests import describes, reply_to

BROKEN = "the disk with the scans is not mounted"
CALL = {"quorum": 2, "wait": 60.0}


class Opener:
    """Opens the small site's data; c's not before it has been tried so often."""

    def __init__(self, file, broken):
        self.file, self.left = file, broken

    def __call__(self, file, site, sites, plan):
        if site == "c" and self.left > 0:
            self.left -= 1
            raise Refused(BROKEN)
        return open_data(self.file, site, sites, plan)


def begun(tmp_path, small_site, broken, plan=None, **how):
    lines = []
    plan = plan or tiny_plan(roll_call=CALL, evaluate_every=1)
    record = rehearse(plan, SITES, tmp_path / "out", opener=Opener(small_site, broken), log=lines.append, **how)
    return record.record, lines


def lost(plan, folder, rounds):
    """The hash of a run in which c is there at the roll call and lost in these rounds."""
    lose = [("c", number) for number in rounds]
    return rehearse(plan, SITES, folder, lose=lose, log=lambda line: None).content["model_sha256"]


def test_without_the_choice_every_site_must_answer(tmp_path, small_site):
    with pytest.raises(Refused, match=f"the roll call can't be closed: 2 of 3 sites replied.*c: {BROKEN}"):
        begun(tmp_path, small_site, 1, tiny_plan())


def test_fewer_sites_than_the_quorum_end_the_run_with_their_reasons(tmp_path, small_site):
    with pytest.raises(Refused, match=f"2 of 3 sites replied, the quorum is 3. c: {BROKEN}"):
        begun(tmp_path, small_site, 1, tiny_plan(roll_call={"quorum": 3}))


def test_a_quorum_above_the_number_of_sites_is_refused(tmp_path, small_site):
    with pytest.raises(Refused, match=r"roll_call.quorum is 4, but the federation has 3 sites"):
        begun(tmp_path, small_site, 0, tiny_plan(roll_call={"quorum": 4}))


def test_a_run_begins_without_a_site_that_never_answers_and_names_it(tmp_path, small_site):
    record, lines = begun(tmp_path, small_site, 99)
    assert f"the roll call: without c ({BROKEN}); the run begins, and asks again in each round" in lines
    assert record.roll_call.missing == {"c": BROKEN}
    assert record.roll_call.joined == {}
    assert all(row.lost["c"] == BROKEN and "c" not in row.bytes_sent for row in record.rounds)
    assert sorted(record.sites) == sorted(record.test) == ["a", "b"]
    said = last_lines(record, tmp_path / "out")
    assert f"c missed round 0, 1, 2: {BROKEN}" in said
    assert "0 of 0" in said
    assert read_record(tmp_path / "out" / "record.json").roll_call == record.roll_call
    assert record.model_sha256 == lost(tiny_plan(roll_call=CALL, evaluate_every=1), tmp_path / "2", range(3))


def test_it_takes_part_from_the_round_after_the_one_in_which_it_answers(tmp_path, small_site):
    record, lines = begun(tmp_path, small_site, 2)  # at the roll call and in round 0
    assert "c answered the roll call in round 1 and takes part from round 2 on" in lines
    assert record.roll_call.joined == {"c": 1}
    assert [row.reported for row in record.rounds] == [["a", "b"], ["a", "b"], ["a", "b", "c"]]
    assert record.participation["c"].took_part == record.participation["c"].asked == 1
    assert sorted(record.test) == SITES
    assert record.model_sha256 == lost(tiny_plan(roll_call=CALL, evaluate_every=1), tmp_path / "2", range(2))


@pytest.mark.parametrize("scheme", ["feddc", "scaffold", "sitenorm"])
def test_for_a_scheme_a_missing_site_is_one_that_is_lost_until_it_answers(scheme, tmp_path, small_site):
    plan = tiny_plan(scheme, roll_call=CALL, rounds=4)
    record, _ = begun(tmp_path, small_site, 2, plan)
    assert record.model_sha256 == lost(plan, tmp_path / "2", range(2))


@pytest.mark.slow
def test_worker_processes_end_with_the_same_model(tmp_path, small_site):
    """Each worker has an opener of its own; all of c's tries are in one."""
    record, _ = begun(tmp_path, small_site, 2, workers=2)
    assert record.roll_call.joined == {"c": 1}
    assert record.model_sha256 == lost(tiny_plan(roll_call=CALL, evaluate_every=1), tmp_path / "2", range(2))


def test_a_resumed_run_knows_who_is_missing_and_takes_it_in(tmp_path, small_site, monkeypatch):
    def stop(row):
        if row["round"] == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun(tmp_path, small_site, 99, on_round_closed=stop)
    again = resume(tmp_path / "out", opener=Opener(small_site, 1), log=lambda line: None).record
    assert again.roll_call.joined == {"c": 1}
    assert again.model_sha256 == lost(tiny_plan(roll_call=CALL, evaluate_every=1), tmp_path / "2", range(2))


def played(tmp_path, small_site, unwell, scheme="fedavg"):
    post, plan = Post(tmp_path, small_site, unwell), tiny_plan(scheme, roll_call=CALL)
    record = RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False)
    Run(plan, SITES, post, record, log=lambda line: None)()
    return record.record, post


def test_a_silent_site_is_not_waited_for_in_the_rounds(tmp_path, small_site):
    record, post = played(tmp_path, small_site, lambda site, request: None if site == "c" else request)
    assert [late for what, _, late in post.seen if what.startswith("round")] == [["c"]] * 3
    assert record.roll_call.missing == {"c": "no reply in time"}
    assert ("the final evaluation", ["a", "b"], ["c"]) in post.seen


def test_a_site_with_another_package_is_missing_with_that_reason(tmp_path, small_site):
    def other(site, request):
        if site != "c" or not describes(request):
            return request
        return {"about": {**reply_to(post.agents[site], request)["about"], "package": "0.1.0-0123456789abcdef"}}

    post, plan = Post(tmp_path, small_site, other), tiny_plan(roll_call=CALL)
    record = RecordWriter(tmp_path / "out", plan, plan.build(), "test", board=False)
    Run(plan, SITES, post, record, log=lambda line: None)()
    reason = record.record.roll_call.missing["c"]
    assert f"the server's brainct is {fingerprint()}, but c has 0.1.0-0123456789abcdef" in reason
    assert record.record.roll_call.joined == {}


def test_a_scheme_that_needs_every_site_is_refused_before_a_site_trains(tmp_path, small_site):
    with pytest.raises(Refused, match=r"round 0 can't be closed: 0 of 3 sites replied, the quorum is 3. .*not asked"):
        played(tmp_path, small_site, lambda site, request: None if site == "c" else request, "secagg")
