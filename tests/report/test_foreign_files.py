"""Records, ledgers, states and models that somebody else wrote: read, or refused with the file's name."""

import csv
import json
import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from brainct.cli.predict import predict
from brainct.compare import import_runs, ledger
from brainct.compare.markdown import comparison_tables
from brainct.compare.run_row import RunRow
from brainct.core import serialization
from brainct.ct.model import network_of
from brainct.ct.network_check import check_network
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.pages.page import render_page
from brainct.report.ledger_page import ledger_page
from brainct.report.run_folder import read_run
from brainct.report.run_page import run_page
from brainct.report.runs_page import runs_page
from brainct.report.tolerant import cleaned
from brainct.run import checkpoint
from brainct.run.model_file import load_model, read_model
from brainct.run.rehearse import rehearse, resume
from brainct.run.replay import open_run
from tests.conftest import PHANTOM, tiny_plan
from tests.support.rows import row
from tests.support.strange import ODD, mutated

FEW = settings(max_examples=60, suppress_health_check=list(HealthCheck))
DEEP = b"[" * 100_000 + b"]" * 100_000
LARGE = b'{"rounds": 1' + b"0" * 5000 + b"}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A real run of two sites, its folder."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "site.yaml").write_text(PHANTOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINCT_SITE", str(folder / "site.yaml"))
        plan = tiny_plan(evaluate_every=1, rounds=2, quorum=1)
        rehearse(plan, ["site-1", "site-2"], folder / "run", lose=[("site-2", 1)], log=lambda line: None)
    return folder / "run"


@pytest.fixture(scope="module")
def real(whole):
    """Its record."""
    return json.loads((whole / "record.json").read_text())


def only_refused(act, *names):
    """What an act gives, or the sentence of its refusal, which holds these names."""
    try:
        return act()
    except Refused as refusal:
        said = str(refusal)
    assert all(name in said for name in names), said
    return said


def written(folder, record):
    folder.mkdir(exist_ok=True)
    (folder / "record.json").write_text(json.dumps(record))
    return folder


@FEW
@given(data=st.data())
def test_a_changed_record_is_shown_or_refused_by_name(whole, real, tmp_path, data):

    folder = written(tmp_path / "run", data.draw(mutated(real)))
    only_refused(lambda: read_run(folder), "record.json")
    only_refused(lambda: import_runs.row_of(folder / "record.json"), "record.json")
    only_refused(lambda: open_run(folder), "record.json")


@FEW
@given(data=st.data())
def test_a_changed_line_of_a_ledger_is_shown_or_refused_by_name(tmp_path, data):
    line = row().model_dump(mode="json")
    path = tmp_path / "ledger.jsonl"
    lines = [json.dumps(each) for each in (line, data.draw(mutated(line)), row(seed=2).model_dump(mode="json"))]
    path.write_text("\n".join(lines) + "\n")
    rows = only_refused(lambda: ledger.read_rows(path), "ledger.jsonl, line 2")
    if not isinstance(rows, str):
        only_refused(lambda: comparison_tables(rows))
        only_refused(lambda: [ledger.append_row(tmp_path / "copy.jsonl", each) for each in rows])


@pytest.mark.parametrize("content", [DEEP, LARGE, b"\xff", b"", b"null", b'{"seed": 1e999}', b'{"seed": NaN}'])
def test_files_that_python_itself_gives_up_on_are_refused_by_name(whole, tmp_path, content):
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "record.json").write_bytes(content)
    (folder / "barriers.json").write_bytes(content)
    (folder / "ledger.jsonl").write_bytes(content + b"\n")
    for act in (
        lambda: read_run(folder),
        lambda: import_runs.row_of(folder / "record.json"),
        lambda: open_run(folder),
        lambda: resume(folder),
    ):
        with pytest.raises(Refused, match="record.json"):
            act()
    if content:
        with pytest.raises(Refused, match="ledger.jsonl, line 1"):
            ledger.read_rows(folder / "ledger.jsonl")


@FEW
@given(data=st.data())
def test_a_changed_state_is_read_or_refused_by_the_runs_name(whole, tmp_path, data):
    content = serialization.load(whole / "state" / checkpoint.FILE)
    del content["sha256"]
    changed = data.draw(mutated(json.loads(content["record"]), [each for each in ODD if _plain(each)]))
    content["record"] = changed if data.draw(st.booleans()) or not _json(changed) else json.dumps(changed)
    serialization.save(tmp_path / checkpoint.FILE, {**content, "sha256": serialization.sha256(content)})
    found = only_refused(lambda: checkpoint.load(tmp_path, "our-run"), "run our-run")
    if not isinstance(found, str):
        only_refused(lambda: checkpoint.check_job(found, PLAN, ["site-1", "site-2"], "our-run"), "run our-run")


@pytest.mark.slow
@settings(FEW, max_examples=40)
@given(data=st.data())
def test_a_changed_state_is_resumed_or_refused_by_the_runs_name(whole, real, tmp_path, monkeypatch, data):
    """Its hash is made anew, as whoever means harm would."""
    monkeypatch.setenv("BRAINCT_SITE", str(whole.parent / "site.yaml"))
    content = serialization.load(whole / "state" / checkpoint.FILE)
    del content["sha256"]
    changed = data.draw(mutated(json.loads(content["record"]), [each for each in ODD if _plain(each)]))
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    folder = shutil.copytree(whole, tmp_path / "run")
    written(folder, {key: value for key, value in real.items() if key not in ("test", "model_sha256")})
    content["record"] = changed
    serialization.save(folder / "state" / checkpoint.FILE, {**content, "sha256": serialization.sha256(content)})
    only_refused(lambda: resume(folder, log=lambda line: None))


def _plain(value):
    try:
        serialization.size(value)
    except (Refused, UnicodeError):
        return False
    return True


def _json(value):
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


PLAN = tiny_plan()
WEIGHTS = {key: value.clone() for key, value in network_of(PLAN.network, PLAN.seed).state_dict().items()}
SAID = {key: PLAN.model_dump()[key] for key in ("scheme", "arguments", "network")}


def model(path, plan=None, extra=None):
    """A model file that says this of itself, as JSON or as text."""
    said = {"plan": plan, "extra": extra}
    texts = {key: each if isinstance(each, str) else json.dumps(each) for key, each in said.items() if each is not None}
    # a file holds no surrogates: safetensors writes UTF-8
    save_file(WEIGHTS, path, {key: text.encode(errors="replace").decode() for key, text in texts.items()})
    return path


def asked(path, tmp_path):
    """The command as it is typed; what it wrote."""
    (tmp_path / "site.yaml").write_text(PHANTOM)
    out = tmp_path / "out.csv"
    out.unlink(missing_ok=True)
    predict(path, site_file=tmp_path / "site.yaml", out=out)
    return list(csv.reader(out.read_text().splitlines()))


def test_a_model_that_states_its_plan_gives_predictions(tmp_path):
    assert len(asked(model(tmp_path / "model.safetensors", SAID), tmp_path)) == 17


@pytest.mark.parametrize(
    ("plan", "extra"),
    [
        (None, None),
        ("{", None),
        ("[" * 100_000, None),
        ("[1]", None),
        ('{"scheme": 1e999}', None),
        (SAID, "x"),
        (SAID, [1]),
        ({**SAID, "scheme": "sitenorm"}, {"statistics": "x"}),
        ({**SAID, "network": {**SAID["network"], "options": {"widths": [10**6, 10**6]}}}, None),
        ({**SAID, "network": {**SAID["network"], "options": {"widths": "x"}}}, None),
        ({**SAID, "network": {**SAID["network"], "options": {"other": 1}}}, None),
        ({**SAID, "network": {**SAID["network"], "size": 10**19}}, None),
    ],
)
def test_odd_metadata_of_a_model_is_refused_by_its_name(tmp_path, plan, extra):
    with pytest.raises(Refused, match="model.safetensors"):
        asked(model(tmp_path / "model.safetensors", plan, extra), tmp_path)


@settings(FEW, max_examples=30)
@given(data=st.data())
def test_changed_metadata_of_a_model_is_used_or_refused_by_its_name(tmp_path, data):
    path = model(tmp_path / "model.safetensors", data.draw(mutated(SAID)), data.draw(st.sampled_from([None, {}, *ODD])))
    only_refused(lambda: asked(path, tmp_path), "model.safetensors")


def test_weights_of_another_network_are_refused_before_it_is_built(tmp_path):
    huge = plan_of({"scheme": "fedavg", "network": {**SAID["network"], "options": {"widths": [2**20] * 4}}}, "x")
    with pytest.raises(Refused, match="m: .* of its tensors"):
        check_network(WEIGHTS, huge, "m")
    check_network(load_file(model(tmp_path / "model.safetensors", SAID)), PLAN, "m")


def test_a_cut_model_is_refused_by_its_name(tmp_path):
    whole = model(tmp_path / "model.safetensors", SAID).read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        for read in (load_model, read_model):
            with pytest.raises(Refused, match="cut.safetensors"):
                read(tmp_path / "cut.safetensors")
    assert torch.equal(load_model(tmp_path / "model.safetensors")["head.bias"], WEIGHTS["head.bias"])


def test_names_in_tables_end_no_cell_and_are_no_formula():
    name = '=HYPERLINK("http://x")|`'
    rows = [RunRow(**{**row(seed=seed).model_dump(), "name": name, "federation": "+a\nb|c"}) for seed in (1, 2)]
    text = comparison_tables(rows)
    assert "## '+a b/c" in text
    assert "`'=HYPERLINK(\"http://x\")/'`" in text


@pytest.mark.slow
@settings(FEW, max_examples=60)
@given(data=st.data())
def test_every_page_of_a_changed_record_is_drawn_or_refused(whole, real, tmp_path, data):
    folder = written(tmp_path / "run", data.draw(mutated(real)))
    run = only_refused(lambda: read_run(folder), "record.json")
    if not isinstance(run, str):
        only_refused(lambda: run_page(run))
        only_refused(lambda: runs_page([run, read_run(whole)]))


@pytest.mark.slow
@settings(FEW, max_examples=40)
@given(data=st.data())
def test_every_page_of_a_changed_ledger_is_drawn_or_refused(tmp_path, data):
    line = row().model_dump(mode="json")
    path = tmp_path / "ledger.jsonl"
    path.write_text("\n".join(map(json.dumps, [data.draw(mutated(line)), row(seed=2).model_dump(mode="json")])) + "\n")
    rows = only_refused(lambda: ledger.read_rows(path, prepare=cleaned), "ledger.jsonl, line 1")
    if not isinstance(rows, str):
        only_refused(lambda: render_page(ledger_page(rows, path.name)))
