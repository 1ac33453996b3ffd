"""record.json: what a run writes is what the model of a record allows; older, newer and foreign records."""

import copy
import inspect
import json

import pytest

from brainct import __version__
from brainct.core import serialization
from brainct.ct.folds import FINDINGS
from brainct.errors import Refused
from brainct.run import checkpoint, run_record
from brainct.run.rehearse import rehearse, resume
from brainct.run.run_record import FILE, FIRST, RunRecord, read_record
from tests.conftest import PHANTOM, tiny_plan

SITES = ["site-1", "site-2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A rehearsal of two rounds in which site-2 missed the second one."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "site.yaml").write_text(PHANTOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINCT_SITE", str(folder / "site.yaml"))
        plan = tiny_plan(evaluate_every=1, rounds=2, quorum=1)
        rehearse(plan, SITES, folder / "run", lose=[("site-2", 1)], log=lambda line: None)
    return folder / "run"


@pytest.fixture
def content(run):
    """Its record as JSON."""
    return json.loads((run / FILE).read_text())


def written(folder, content):
    (folder / FILE).write_text(json.dumps(content))
    return folder / FILE


def first_version(content):
    """The same record as version 0.1.0 wrote it."""
    old = copy.deepcopy(content)
    del old["version"], old["plan"]["workload"]
    for row in old["rounds"]:
        del row["reported"]
    return old


def test_the_record_of_a_rehearsal_is_read_whole_and_written_the_same(run, content):
    record = read_record(run / FILE)
    assert RunRecord.model_config["extra"] == "forbid"
    assert record.as_json() == content
    assert (record.version, record.finished) == (__version__, True)


def test_who_took_part_is_said_and_not_inferred_from_metrics(run, content):
    assert [row["reported"] for row in content["rounds"]] == [SITES, ["site-1"]]
    assert {site: part["took_part"] for site, part in content["participation"].items()} == {"site-1": 2, "site-2": 1}


def test_a_record_of_the_first_version_is_read_and_what_it_does_not_say_is_filled_in(tmp_path, content):
    record = read_record(written(tmp_path, {**first_version(content), "mood": "good"}))
    assert record.version == FIRST
    assert [list(row.reported) for row in record.rounds] == [SITES, ["site-1"]]
    assert record.workload.name == "ct"
    assert [record.samples(site, "train") for site in SITES] == [8, 8]


def test_a_record_of_a_run_that_closed_no_round_yet_is_not_finished(tmp_path, content):
    begun = {key: content[key] for key in ("version", "scheme", "seed", "plan", "sites")}
    assert not read_record(written(tmp_path, {**begun, "rounds": []})).finished


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: it.update(mood="good"), "unknown key 'mood'"),
        (lambda it: it["rounds"][0].update(mood="good"), "unknown key 'rounds.0.mood'"),
        (lambda it: it["rounds"][0].pop("reported"), "key 'rounds.0.reported' is missing"),
        (lambda it: it["rounds"].reverse(), "rounds 0, 1, 2, ... in this order"),
        (lambda it: it["plan"].update(rounds=0), "`rounds` is at least 1"),
        (lambda it: it["plan"].update(scheme=1), "`scheme` is a name"),
        (lambda it: it.update(seconds=-1), "seconds is -1"),
        (lambda it: it["rounds"][0]["bytes_sent"].update(a="much"), "rounds.0.bytes_sent.a is 'much'"),
        (lambda it: it["rounds"][0]["metrics"].update(a={"loss": "x"}), "rounds.0.metrics.a.loss is 'x'"),
        (lambda it: it["sites"]["site-1"].pop("fingerprint"), "key 'sites.site-1.fingerprint' is missing"),
        (lambda it: it.clear(), "key 'scheme' is missing"),
    ],
)
def test_a_record_that_no_run_writes_is_refused_by_its_path_with_the_key(tmp_path, content, change, words):
    change(content)
    path = written(tmp_path, content)
    with pytest.raises(Refused) as refused:
        read_record(path)
    assert words in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert "wanted the record.json of a run" in str(refused.value)


def test_a_record_of_a_newer_version_with_other_keys_names_both_versions(tmp_path, content):
    with pytest.raises(Refused, match=rf"written by brainct '9\.0\.0', read by {__version__}: unknown key 'mood'"):
        read_record(written(tmp_path, {**content, "version": "9.0.0", "mood": "good"}))


@pytest.mark.parametrize("text", ["[]", "null", "{", '{"seed": NaN}'])
def test_what_is_no_json_object_is_refused_by_its_path(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(Refused, match=FILE):
        read_record(tmp_path / FILE)
    with pytest.raises(Refused, match="no record at"):
        read_record(tmp_path / "none")


@pytest.mark.parametrize("version", [None, "0.0.9", "9.0.0"])
def test_a_run_begun_under_another_version_is_refused_with_both_versions_and_what_to_do(
    run, tmp_path, monkeypatch, version
):
    monkeypatch.setattr(checkpoint, "VERSION", "5.0.0")
    saved = serialization.load(run / "state" / checkpoint.FILE)
    del saved["sha256"]
    saved["record"] = (
        first_version(json.loads(saved["record"])) if version is None else {"version": version, "mood": "good"}
    )
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "state" / checkpoint.FILE
    serialization.save(path, {**saved, "sha256": serialization.sha256(saved)})
    with pytest.raises(Refused) as refused:
        resume(tmp_path / "out")
    assert str(refused.value) == (
        f"run out was begun under brainct {version or FIRST} and can't be resumed under 5.0.0: their checkpoints "
        "differ; resume it under the version that it began with, or begin it anew. The order: let runs end, upgrade "
        "server and sites one after the other in any order, then begin new runs"
    )


def test_the_model_of_a_record_names_no_finding():
    source = inspect.getsource(run_record)
    assert not [finding for finding in FINDINGS if f'"{finding}"' in source]
