"""The ledger: whole lines, whatever happens while they are written; two ledgers make one."""

import json
import multiprocessing

import pytest

from brainct.compare import ledger
from brainct.errors import Refused
from tests.support.rows import row


def test_rows_are_read_as_they_were_appended(tmp_path):
    rows = [row(seed=seed) for seed in (1, 2)]
    for one in rows:
        ledger.append_row(tmp_path / "folder" / "ledger.jsonl", one)
    assert ledger.read_rows(tmp_path / "folder" / "ledger.jsonl") == rows
    assert ledger.read_rows(tmp_path / "none.jsonl") == []


def test_a_line_that_a_crash_cut_off_is_not_read_and_is_removed_when_the_next_run_ends(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger.append_row(path, row(seed=1))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert [one.seed for one in ledger.read_rows(path)] == [1]
    ledger.append_row(path, row(seed=2))
    assert [one.seed for one in ledger.read_rows(path)] == [1, 2]
    assert path.read_bytes().startswith(whole)


@pytest.mark.parametrize("rest", [b"", b"{" * 200_000])
def test_a_first_line_that_was_cut_off_is_removed_too(tmp_path, rest):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(rest)
    ledger.append_row(path, row())
    assert ledger.read_rows(path) == [row()]


def _write(path, first):
    for seed in range(first, first + 20):
        ledger.append_row(path, row(seed=seed))


def test_four_processes_that_append_at_once_leave_whole_lines(tmp_path):
    path = tmp_path / "ledger.jsonl"
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write, args=(path, 100 * at)) for at in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(one.seed for one in ledger.read_rows(path)) == [
        100 * at + seed for at in range(4) for seed in range(20)
    ]


def test_a_line_that_is_not_a_row_is_refused_by_its_number(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger.append_row(path, row())
    with path.open("a") as file:
        file.write("not JSON\n")
    with pytest.raises(Refused, match="line 2 is not JSON"):
        ledger.read_rows(path)
    path.write_text(json.dumps({"key": "a", "speed": 3}) + "\n")
    with pytest.raises(Refused, match=r"line 1: .*'code' is missing.*unknown key 'speed'"):
        ledger.read_rows(path)


def test_two_ledgers_make_one_with_each_run_once_and_done_before_failed(tmp_path):
    failed = {"status": "failed", "error": "no", "sites": {}}
    ledger.append_row(tmp_path / "a", row(seed=1))
    ledger.append_row(tmp_path / "a", row(seed=2, **failed))
    ledger.append_row(tmp_path / "b", row(seed=1, **failed))
    ledger.append_row(tmp_path / "b", row(seed=2))
    ledger.append_row(tmp_path / "b", row(seed=2, code="d" * 64))
    (tmp_path / "both").write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    found = ledger.join_ledgers([tmp_path / "a", tmp_path / "b"])
    assert [(one.seed, one.status, one.code[0]) for one in found] == [
        (1, "done", "c"),
        (2, "done", "c"),
        (2, "done", "d"),
    ]
    assert ledger.unique_runs(ledger.read_rows(tmp_path / "both")) == found


def test_what_was_measured_is_written_with_six_decimals_and_what_was_chosen_as_it_was(tmp_path):
    ledger.append_row(tmp_path / "a", row(auroc=[2 / 3], plan={"fit": {"rate": 1e-9}}))
    found = ledger.read_rows(tmp_path / "a")[0]
    assert found.sites["site-1"].scores["auroc"] == 0.666667
    assert found.plan == {"fit": {"rate": 1e-9}}


def test_a_rows_mean_worst_and_best_are_over_the_sites_that_have_the_score():
    one = row(auroc=[0.5, None, 0.9])
    assert (one.mean(), one.worst(), one.best()) == (pytest.approx(0.7), 0.5, 0.9)
    assert (row(auroc=[None]).mean(), row(auroc=[None]).worst()) == (None, None)
