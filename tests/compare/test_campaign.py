"""brainct compare: the same ledger each time, nothing done twice, nothing that had finished lost."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import pytest
import yaml

from brainct.cli import main
from brainct.compare import ledger
from brainct.compare.campaign import Campaign, compare
from brainct.compare.federation import HELD_OUT_SITE
from brainct.compare.import_runs import add
from brainct.compare.ledger import LEDGER
from brainct.compare.one_run import run_one
from brainct.compare.planned_runs import planned_runs
from tests.conftest import tiny_plan
from tests.support.rows import SMALL, TINY_COMPARISON, tiny_comparison


def quiet(line):
    pass


def untimed(folder):
    """The ledger without what may differ, in the order of the runs' keys."""
    rows = [row.model_dump(exclude={"times"}) for row in ledger.read_rows(folder / LEDGER)]
    return sorted(rows, key=lambda row: row["key"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A comparison with two at a time, of which one scheme can't run."""
    folder = tmp_path_factory.mktemp("finished")
    comparison = tiny_comparison(schemes=["fedma", "sitenorm"], rounds=2)
    lines = []
    failures = compare(comparison, folder, workers=2, log=lines.append)
    return comparison, folder, failures, lines


def test_every_run_is_a_row_and_one_that_fails_stops_no_other(finished):
    comparison, folder, failures, lines = finished
    rows = {row.name: row for row in ledger.read_rows(folder / LEDGER)}
    assert set(rows) == {"fedavg", "pooled", "alone", "finetune", "fedma", "sitenorm"}
    assert failures == 1
    assert rows["fedma"].status == "failed"
    assert "fedma can't treat network 'cnn'" in rows["fedma"].error
    assert all(row.status == "done" for name, row in rows.items() if name != "fedma")
    assert any("fedma seed 1 budget 1: failed: fedma can't treat" in line for line in lines)


def test_one_at_a_time_gives_the_same_ledger_except_times(finished, tmp_path):
    comparison, folder, _, _ = finished
    compare(comparison, tmp_path, workers=1, log=quiet)
    assert untimed(tmp_path) == untimed(folder)


def test_a_resumed_comparison_repeats_failed_runs_and_no_finished_one(finished, tmp_path):
    comparison, folder, _, _ = finished
    (tmp_path / LEDGER).write_bytes((folder / LEDGER).read_bytes())
    lines = []
    assert compare(comparison, tmp_path, log=lines.append) == 1
    rows = ledger.read_rows(tmp_path / LEDGER)
    assert [row.name for row in rows[6:]] == ["fedma"]
    assert lines[0] == "6 runs, 5 of them done already"


def test_rows_of_other_code_are_counted_in_the_log_and_never_mixed(finished, tmp_path):
    comparison, folder, _, _ = finished
    text = (folder / LEDGER).read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    (tmp_path / LEDGER).write_text("".join(json.dumps(row | {"code": "0123" * 16}) + "\n" for row in rows))
    lines = []
    compare(comparison, tmp_path, accept=["0123"], log=lines.append)
    assert len(ledger.read_rows(tmp_path / LEDGER)) == 7
    assert not any("other code" in line for line in lines)
    assert compare(comparison, tmp_path, workers=2, log=lines.append) == 1
    assert any(line.startswith("5 of them were computed by other code, 012301230123") for line in lines)
    assert len(ledger.read_rows(tmp_path / LEDGER)) == 13


def done(name, **changes):
    """A run in this process: its row, its spec and its scans."""
    spec = next(
        spec for spec in planned_runs(tiny_comparison(**changes), lambda spec: None) if spec.entry.label == name
    )
    opened = spec.federation.open(spec.seed, spec.plan)
    row = run_one(spec, opened)
    assert row.status == "done", row.error
    return row, spec, opened


def test_a_row_equals_a_rehearsal_of_the_same_plan(tmp_path):
    from brainct.run.rehearse import rehearse

    row, spec, opened = done("finetune", rounds=2)
    record = rehearse(spec.plan, spec.federation.names, tmp_path / "out", opener=lambda _, site, *rest: opened[site])
    test = record.content["test"]
    assert row.model_sha256 == record.content["model_sha256"]
    for site, one in row.sites.items():
        assert one.scores == {name: value for name, value in test[site]["any"].items() if name != "calibration"}
        assert one.fingerprint == record.content["sites"][site]["fingerprint"]
    sent = sum(
        sum(each["bytes_sent"].values()) + sum(each["bytes_received"].values()) for each in record.content["rounds"]
    )
    assert row.kib_per_site == pytest.approx(sent / 1024 / 2, abs=0.001)
    assert [point.round for point in row.validation] == [1]


def test_pooled_training_takes_as_many_steps_as_all_sites_together_and_is_evaluated_at_each():
    """Two sites with four scans in batches of four: one step an epoch each; pooled, two."""
    alone, together = done("alone", rounds=3)[0], done("pooled", rounds=3)[0]
    assert alone.steps == together.steps == 6
    assert set(together.sites) == {"site-1", "site-2"}
    assert together.kib_per_site is None
    assert together.model_sha256 != alone.model_sha256


def test_over_all_sites_every_test_scan_counts_once():
    row, _, opened = done("fedavg")
    counts = row.pooled["any"]["positives"], row.pooled["any"]["negatives"]
    assert sum(counts) == 12
    assert counts[0] == sum(int(opened[site].folds["test"].labels[:, 5].sum()) for site in ("site-1", "site-2"))
    assert counts[0] == sum(site.scores["positives"] for site in row.sites.values())


def test_the_held_out_site_tunes_nothing_and_averages_the_models_of_sites_alone():
    fedavg, finetune, alone = (done(name, rounds=2)[0] for name in ("fedavg", "finetune", "alone"))
    assert finetune.unseen == fedavg.unseen
    assert finetune.sites["site-1"].scores["brier"] != fedavg.sites["site-1"].scores["brier"]
    assert set(alone.unseen["any"]) == {"auroc", "balanced_accuracy", "sensitivity_at_90_specificity", "brier", "ece"}
    assert alone.unseen["any"]["brier"] != fedavg.unseen["any"]["brier"]


def test_the_held_out_site_normalises_by_its_own_unlabelled_scans():
    from dataclasses import replace

    from brainct.training.data import Fold

    row, spec, opened = done("sitenorm", schemes=["sitenorm"], rounds=2)
    train = opened[HELD_OUT_SITE].folds["train"]
    brighter = {**opened[HELD_OUT_SITE].folds, "train": Fold(train.inputs + 0.5, train.labels)}
    other = run_one(spec, {**opened, HELD_OUT_SITE: replace(opened[HELD_OUT_SITE], folds=brighter)})
    assert other.model_sha256 == row.model_sha256
    assert other.unseen["any"]["brier"] != row.unseen["any"]["brier"]


def test_a_level_is_reached_at_the_first_point_of_the_curve_that_is_there():
    row, _, _ = done("fedavg", rounds=4, levels=[0.0, 1.01])
    assert row.reached == {"0.0": row.validation[0].round, "1.01": None}
    first = row.validation[0].score
    assert done("fedavg", rounds=4, levels=[first])[0].reached == {str(first): row.validation[0].round}


def test_scans_that_can_not_be_opened_fail_their_runs_and_no_others(tmp_path):
    (tmp_path / "site.yaml").write_text(
        "kind: class_folders\nroot: none\nclasses: {a: [any], b: []}\nsplit: {train: 0.5, valid: 0.5, test: 0}\n"
    )
    broken = SMALL | {"data": tmp_path / "site.yaml", "skew": "iid", "name": "broken"}
    assert compare(tiny_comparison(federations=[broken, SMALL]), tmp_path, log=quiet) == 4
    rows = ledger.read_rows(tmp_path / LEDGER)
    assert {row.status for row in rows if row.federation == "broken"} == {"failed"}
    assert {row.status for row in rows if row.federation != "broken"} == {"done"}


def command(tmp_path, *words):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(TINY_COMPARISON | {"rounds": 8, "seeds": 3}))
    return [sys.executable, "-m", "brainct.cli", "compare", "--plan", tmp_path / "plan.yaml", *words]


def wait_for_rows(path, count, process):
    while len(ledger.read_rows(path)) < count:
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_killed_at_any_moment_nothing_finished_is_lost_or_done_again(tmp_path, how):
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    words = command(tmp_path, "--out", tmp_path / "out", "--workers", "2")
    # a test run in the background is given SIGINT ignored, and would pass that on
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heeding)
    wait_for_rows(tmp_path / "out" / LEDGER, 1, process)
    process.send_signal(how)
    said = process.communicate()[1]
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command resumes from there" in said
    deadline = time.monotonic() + 60
    while list((tmp_path / "temporary").glob("brainct-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list((tmp_path / "temporary").glob("brainct-*")) == []
    before = (tmp_path / "out" / LEDGER).read_bytes()
    again = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / LEDGER).read_bytes().startswith(before)
    rows = ledger.read_rows(tmp_path / "out" / LEDGER)
    assert len(rows) == len({row.key for row in rows}) == 12
    compare(tiny_comparison(rounds=8, seeds=3), tmp_path / "undisturbed", workers=2, log=quiet)
    assert untimed(tmp_path / "out") == untimed(tmp_path / "undisturbed")


def test_an_interrupt_that_python_drops_during_a_fork_still_stops_the_comparison(tmp_path, monkeypatch):
    """Hooks that run at a fork print the exception as ignored and go on."""
    real, before = Campaign._start, signal.getsignal(signal.SIGINT)

    def start(session, spec):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        real(session, spec)

    monkeypatch.setattr(Campaign, "_start", start)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            compare(tiny_comparison(), tmp_path, log=quiet)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(ledger.read_rows(tmp_path / LEDGER)) <= 1


def test_the_command_says_by_its_exit_code_that_a_run_failed_and_writes_the_table(capsys, tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(TINY_COMPARISON | {"schemes": ["fedma"]}))
    with pytest.raises(SystemExit) as ended:
        main.main(["compare", "--plan", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert printed.out.strip() == (tmp_path / "out" / "table.md").read_text().strip()
    assert "1 runs failed" in printed.err
    with pytest.raises(SystemExit) as ended:
        main.main(["compare", "--out", str(tmp_path / "out"), "--table"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == printed.out
    with pytest.raises(SystemExit) as ended:
        main.main(["compare", "--schemes", "fedavgg", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2


def test_a_list_of_comparison_files_runs_each_into_the_ledger_of_its_folder(capsys, tmp_path):
    for seed in (1, 2):
        (tmp_path / f"{seed}.yaml").write_text(yaml.safe_dump(TINY_COMPARISON | {"seeds": [seed]}))
    (tmp_path / "plan.yaml").write_text("plans: {one: [1.yaml, 2.yaml], other: [2.yaml]}")
    with pytest.raises(SystemExit) as ended:
        main.main(["compare", "--plan", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 0
    one, other = untimed(tmp_path / "out" / "one"), untimed(tmp_path / "out" / "other")
    assert {row["seed"] for row in one} == {1, 2}
    assert [row for row in one if row["seed"] == 2] == other
    tables = [(tmp_path / "out" / folder / "table.md").read_text().strip() for folder in ("one", "other")]
    printed = capsys.readouterr().out
    assert all(table in printed for table in tables)


def test_records_of_any_backend_are_added_once(tmp_path, small_site):
    from brainct.core.names import site_names
    from brainct.run.rehearse import rehearse

    rehearse(tiny_plan(rounds=2, evaluate_every=1), site_names(2), tmp_path / "run", log=quiet)
    path = tmp_path / LEDGER
    assert add([tmp_path / "run"], path, federation="POC") == (1, 0)
    assert add([tmp_path / "run" / "record.json"], path, federation="POC") == (0, 1)
    row = ledger.read_rows(path)[0]
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert row.sites["site-1"].scores["brier"] == pytest.approx(record["test"]["site-1"]["any"]["brier"], abs=1e-6)
    assert (row.federation, row.name, row.way, row.rounds) == ("POC", "fedavg", "rehearse", 2)
    assert [point.round for point in row.validation] == [1]
    assert row.pooled is None
    assert row.times.cpu is None
    del record["test"]
    (tmp_path / "run" / "record.json").write_text(json.dumps(record))
    assert add([tmp_path / "run"], tmp_path / "other", federation="POC") == (1, 0)
    assert ledger.read_rows(tmp_path / "other")[0].error == "the run did not finish: 2 of 2 rounds closed"


def test_a_file_that_is_not_a_record_is_refused(tmp_path, capsys):
    (tmp_path / "record.json").write_text("{}")
    for words in ([str(tmp_path)], [str(tmp_path / "none")]):
        with pytest.raises(SystemExit) as ended:
            main.main(["ledger", "add", *words, "--ledger", str(tmp_path / LEDGER)])
        assert ended.value.code == 2
        assert "wanted the record.json" in (said := capsys.readouterr().err) or "no record at" in said


def test_ledgers_are_joined_by_the_command(tmp_path, finished, capsys):
    _, folder, _, _ = finished
    one = str(folder / LEDGER)
    with pytest.raises(SystemExit) as ended:
        main.main(["ledger", "join", one, one, "--out", str(tmp_path / "both.jsonl")])
    assert ended.value.code == 0
    assert ledger.read_rows(tmp_path / "both.jsonl") == ledger.read_rows(folder / LEDGER)
    with pytest.raises(SystemExit) as ended:
        main.main(["ledger", "join", one, "--out", str(tmp_path / "both.jsonl")])
    assert ended.value.code == 2
    assert "exists already" in capsys.readouterr().err
