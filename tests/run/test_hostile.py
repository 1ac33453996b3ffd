"""Hostile jobs and messages that need no transport: each is refused with the line that docs/security.md shows."""

import argparse
import io
import json
import os
import pickle
import shutil
import sys
import zipfile
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils import fobs
from nvflare.fuel.utils.zip_utils import unzip_all_from_bytes
from nvflare.private.fed.client.client_json_config import ClientJsonConfigurator
from nvflare.private.fed.utils.fed_utils import authorize_build_component
from safetensors.torch import save as save_bytes

from brainct.core import serialization
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Task
from brainct.ct.model import model_of
from brainct.ct.workload import CT
from brainct.errors import Refused
from brainct.flare.server import Rounds
from brainct.flare.site import Site
from brainct.job.config import Plan, plan_of
from brainct.protocol.reply_schema import described, scored
from brainct.run.inbox import Inbox, Reports, report_reader
from brainct.run.model_file import load_model
from brainct.schemes import SCHEMES, build
from tests.conftest import ROOT, first_weights, seeded_model, tiny_plan
from tests.support.hostile import ATTACKS, page
from tests.support.replies import ABOUT, COUNTS, PACKAGE, SCORE

EXECUTOR = {"path": "brainct.flare.site.Site", "args": {}}
FILTER = {"path": "brainct.flare.filters.Privacy", "args": {}}
POPEN = {"path": "subprocess.Popen", "args": {"args": ["touch", "pwned"]}}
RESULT_FILTERS = {"task_result_filters": [{"tasks": ["*"], "filters": [FILTER]}]}


def built(folder, executor=EXECUTOR, **more):
    """FLARE builds a job's components for a site with the project's allow-list, as it does in a job's process."""
    (folder / "startup").mkdir()
    shutil.copytree(ROOT / "poc" / "simulator" / "local", folder / "local")
    workspace = Workspace(str(folder), "site-1", "config")
    config = folder / "job" / "app_site-1" / "config" / "config_fed_client.json"
    config.parent.mkdir(parents=True)
    executors = [{"tasks": ["*"], "executor": executor}]
    config.write_text(json.dumps({"format_version": 2, "executors": executors, **more}))
    (folder / "job" / "meta.json").write_text('{"name": "job"}')
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True)
    context.set_prop(FLContextKey.CURRENT_JOB_ID, "job", private=True)
    about = {"sp_scheme": "tcp", "sp_target": "nobody", "client_name": "site-1", "job_id": "job", "set": []}
    configurator = ClientJsonConfigurator(
        workspace_obj=workspace,
        config_file_name=str(config),
        app_root=workspace.get_app_dir("job"),
        args=argparse.Namespace(**about, workspace=str(folder)),
        kv_list=[],
    )
    configurator.set_component_build_authorizer(authorize_build_component, fl_ctx=context, event_handlers=[])
    configurator.configure()
    return configurator


def test_an_honest_job_is_built(tmp_path):
    (row,) = built(tmp_path).executors
    assert type(row.executor) is Site


@pytest.mark.parametrize(
    ("name", "executor", "more"),
    [
        ("unlisted class", {"path": "nvflare.app_common.np.np_trainer.NPTrainer", "args": {}}, {}),
        ("name shorthand", {"name": "NPTrainer", "args": {}}, {}),
        ("nested class path", {**EXECUTOR, "args": {"opener": POPEN}}, {}),
        ("subprocess class", POPEN, {}),
        ("network call at import", {"path": "calls_home.Executor", "args": {}}, {}),
        ("filter override", EXECUTOR, RESULT_FILTERS),
        ("path outside, to a site", {**EXECUTOR, "args": {"site_file": "/etc/passwd"}}, {}),
    ],
)
def test_a_job_that_a_site_does_not_build(tmp_path, monkeypatch, name, executor, more):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "calls_home.py").write_text("raise SystemExit('imported, and so it could have called home')")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kit").mkdir()
    with pytest.raises(Exception) as refusal:  # noqa: PT011  (FLARE's own kinds of error; the line is what counts)
        built(tmp_path / "kit", executor, **more)
    assert ATTACKS[name].line in str(refusal.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("path outside, to a run", {"scheme": "fedavg", "initial": "/etc/passwd"}),
        ("path outside, as a name", {"scheme": "../../etc/passwd"}),
    ],
)
def test_choices_that_are_paths(name, choices):
    with pytest.raises(Refused) as refusal:
        plan_of(choices, "the job")
    assert ATTACKS[name].line in str(refusal.value)


def answered(tmp_path, site="b", times=1, **changes):
    """The reason for which an answer of b is not used in round 3; None if it is."""
    plan = tiny_plan()
    weights = first_weights(plan)
    report = {"weights": dict(weights), "examples": 8, "metrics": {"loss": 0.5}, "extra": {}}
    report["weights"] |= {key: value for key, value in changes.items() if key in weights}
    report |= {key: value for key, value in changes.items() if key in report}
    tasks = {name: Task(weights) for name in ("a", "b")}
    read = report_reader(tasks, plan.build(), Reports(tmp_path), "round 3")
    inbox = Inbox("round 3", list(tasks), 1, read)
    for _ in range(times):
        inbox.accept(site, report)
    return next(iter(inbox.lost.values()), None)


def test_an_honest_answer_is_used(tmp_path):
    assert answered(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("oversized tensor", {"norm1.bias": torch.empty(1).expand(2**28)}),
        ("oversized extra", {"extra": {"text": "x" * 3_000_000}}),
        ("wrong shape", {"norm1.bias": torch.ones(2, 4)}),
        ("nan", {"norm1.bias": torch.full((8,), torch.nan)}),
        ("huge finite values", {"norm1.bias": torch.full((8,), 1e30)}),
        ("negative examples", {"examples": -8}),
        ("replayed report", {"times": 2}),
        ("unknown site", {"site": "hospital-x"}),
        ("patients in metrics", {"metrics": {"DOE^JANE": 1.0}}),
    ],
)
def test_an_answer_that_is_not_used(tmp_path, name, changes):
    assert answered(tmp_path, **changes).startswith(ATTACKS[name].line)


@pytest.mark.parametrize(
    "changes",
    [
        {"examples": 10**12},
        {"examples": True},
        {"weights": "text"},
        {"norm1.bias": "DOE^JANE"},
        {"weights": {}},
        {"metrics": {"loss": "DOE^JANE"}},
        {"metrics": "DOE^JANE"},
        {"extra": [1]},
        {"extra": {"x": torch.full((2,), torch.inf)}},
        {"norm1.bias": torch.ones(8, dtype=torch.float64)},
    ],
)
def test_more_answers_that_are_not_used(tmp_path, changes):
    assert answered(tmp_path, **changes).startswith("b, round 3: ")


def test_honest_training_stays_far_below_the_limit(tmp_path):
    """An update of ten times the initial weights, more than any round in the tests of the schemes, is no attack."""
    weights = {key: 10 * value + 10 for key, value in first_weights(tiny_plan()).items()}
    assert answered(tmp_path, weights=weights, examples=1) is None


def test_an_honest_description_and_honest_scores_are_used():
    assert described(CT, "b", {"about": ABOUT}, CT.choices()) == ABOUT
    check = {"verdict": "PASS", "time": "2026-01-02T03:04:05+00:00", "package": PACKAGE}
    assert described(CT, "b", {"about": {**ABOUT, "package": PACKAGE, "check": check}}, CT.choices())["check"] == check
    assert scored(CT, "b", {"scores": {"any": SCORE}}, CT.choices())["any"]["auroc"] == 0.5


def test_a_description_that_names_patients():
    with pytest.raises(Refused) as refusal:
        described(
            CT, "b", {"about": {**ABOUT, "folds": {"train": {**COUNTS, "positives": {"DOE^JANE": 1}}}}}, CT.choices()
        )
    assert str(refusal.value).startswith(ATTACKS["patients in counts"].line)


def test_scores_that_name_patients():
    with pytest.raises(Refused) as refusal:
        scored(CT, "b", {"scores": {"DOE^JANE": SCORE}}, CT.choices())
    assert str(refusal.value).startswith(ATTACKS["patients in scores"].line)


@pytest.mark.parametrize(
    "about",
    [
        {**ABOUT, "patients": ["DOE^JANE"]},
        {**ABOUT, "kind": "DOE^JANE"},
        {**ABOUT, "fingerprint": "DOE^JANE"},
        {**ABOUT, "notes": ["x" * 2000]},
        {**ABOUT, "package": "DOE^JANE"},
        {**ABOUT, "check": {"verdict": "DOE^JANE", "time": "2026-01-02T03:04:05+00:00", "package": PACKAGE}},
        {**ABOUT, "check": {"verdict": "PASS", "time": "DOE^JANE", "package": PACKAGE}},
        {**ABOUT, "folds": {"DOE^JANE": COUNTS}},
        {**ABOUT, "folds": {"train": {**COUNTS, "scans": -1}}},
    ],
)
def test_more_descriptions_that_are_refused(about):
    with pytest.raises(Refused, match="b, the roll call: "):
        described(CT, "b", {"about": about}, CT.choices())


class Evil:
    """Its pickle runs a command when it is loaded."""

    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_pickles_and_endless_nesting_are_refused_and_nothing_in_them_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as refusal:
        serialization.unpack(pickle.dumps(Evil()), "the message")
    assert str(refusal.value) == ATTACKS["pickle message"].line
    torch.save(Evil(), tmp_path / "evil.safetensors")
    with pytest.raises(Refused) as refusal:
        load_model(tmp_path / "evil.safetensors")
    assert ATTACKS["pickle checkpoint"].line in str(refusal.value)
    deep = torch.frombuffer(bytearray(b"[" * 10**6 + b"]" * 10**6), dtype=torch.uint8)
    with pytest.raises(Refused) as refusal:
        serialization.unpack(save_bytes({"$skeleton": deep}), "the message")
    assert str(refusal.value) == ATTACKS["endless nesting"].line
    assert not (tmp_path / "pwned").exists()


def test_flares_own_messages_take_no_pickle_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="."):  # noqa: B017, PT011  (whatever FLARE says of it)
        fobs.loads(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="is not allowed") as refusal:
        fobs.loads(fobs.dumps(Evil()).replace(b"Evil", b"Evi2"))  # a class that the reader did not register
    assert ATTACKS["class in a message"].line in str(refusal.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("skeleton", "words"),
    [
        ([[[]] * 2] * 2, None),
        ({"a": {"$tensor": ["w"]}}, "refers to tensor \\['w'\\]"),
        ({"a": {"$tensor": "text"}}, "refers to tensor 'text'"),
        ({"a": b"bytes"}, "holds bytes"),
        ({"a": Evil()}, "holds Evil"),
    ],
)
def test_what_brainct_could_not_have_written_is_refused(skeleton, words):
    tensors = {"w": torch.ones(1), "text": "no tensor"}
    if words is None:
        assert serialization.join(tensors, skeleton) == skeleton
    else:
        with pytest.raises(Refused, match=words):
            serialization.join(tensors, skeleton)


def test_a_value_nested_deeper_than_ours_ever_are_is_refused():
    value = []
    for _ in range(100):
        value = [value]
    with pytest.raises(Refused, match="nested more than 64 levels"):
        serialization.join({}, value)


def test_a_zip_that_leaves_its_folder_is_not_unpacked(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app/config/fine.json", "{}")
        archive.writestr("../../evil", "evil")
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="unsafe") as refusal:
        unzip_all_from_bytes(content.getvalue(), str(tmp_path / "out"))
    assert str(refusal.value) == ATTACKS["zip traversal"].line
    assert list((tmp_path / "out").iterdir()) == []


WATCHED = ("open", "socket", "subprocess", "os.system", "os.exec", "os.mkdir", "os.remove", "import", "ctypes")
seen: list[tuple] = []
watching = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if watching and event.startswith(WATCHED) else None)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("/etc/passwd"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*Plan.model_fields, "self", "persistor_id", "initial", "folder"]) | st.text(max_size=8)


def touched(act):
    """What an act opened, imported, connected to or started."""
    seen.clear()
    watching.append(True)
    try:
        with suppress(Refused, TypeError):
            act()
    finally:
        watching.clear()
    return list(seen)


@pytest.fixture(scope="module")
def warm():
    """Whatever is imported on first use is imported."""
    Rounds(scheme="fedavg"), Site()
    seeded_model(plan_of({"scheme": "fedavg", "fit": {"augment": {}}}, "x"))


def test_the_watch_sees_a_file_that_is_opened(tmp_path):
    (tmp_path / "a").write_text("a")
    assert touched(lambda: (tmp_path / "a").read_text())


@settings(max_examples=3 * settings.default.max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.dictionaries(KEYS, VALUES, max_size=4))
def test_the_listed_classes_are_safe_to_construct_with_any_arguments(warm, arguments):
    assert touched(lambda: Site(**arguments)) == []
    assert touched(lambda: Rounds(**arguments)) == []
    assert touched(lambda: plan_of(arguments, "the job")) == []


@settings(max_examples=3 * settings.default.max_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_scheme_with_any_arguments_is_built_or_refused_in_words(warm, data):
    name = data.draw(st.sampled_from(sorted(SCHEMES)))
    known = st.sampled_from([*SCHEMES[name]().arguments, "other"])
    nested = st.fixed_dictionaries({"scheme": VALUES}, optional={"arguments": VALUES})
    arguments = data.draw(st.dictionaries(known, VALUES | nested, max_size=2))
    assert touched(lambda: plan_of({"scheme": name, "arguments": arguments}, "the job")) == []


def test_the_page_shows_the_lines_that_are_asserted():
    assert (ROOT / "docs" / "security.md").read_text() == page()


def test_every_line_is_asserted_by_a_test():
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name in ATTACKS if not any(f'"{name}"' in text for text in texts)] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"loss": 10**400}},
        {"metrics": {"john_doe_born_in_may": 1.0}},
        {"extra": {"steps": 10**10}},
        {"extra": {"deep": [{"er": -(10**400)}]}},
    ],
)
def test_whole_numbers_that_no_count_can_be_and_names_that_nobody_knows_are_refused(tmp_path, changes):
    said = answered(tmp_path, **changes)
    assert said.startswith("b, round 3: ")
    assert changes != {"metrics": {"loss": 10**400}} or said == ATTACKS["number of 400 digits"].line
    assert "whole number of" in said or "is not repeated here" in said
    assert "john" not in said


@pytest.mark.parametrize("labelled", [None, [10**400] * 6, [-1] * 6, [1.5] * 6, [1] * 5, "666666"])
def test_fedma_takes_counts_that_are_counts(labelled):
    scheme, plan = build("fedma", {}), tiny_plan("fedma")
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), ["a", "b"], 0)
    task = scheme.assign(memory, 0, ["a", "b"])["a"]
    with pytest.raises(Refused, match="a: labelled scans are"):
        check_report(Report(dict(task.weights), 8, extra={"labelled": labelled}), task, scheme, "a")


def test_scores_without_those_of_any_and_notes_of_two_lines_are_refused():
    with pytest.raises(Refused, match="a, its scores: 1 keys or values are not allowed by the schema"):
        scored(CT, "a", {"scores": {}}, CT.choices())
    about = {"kind": "phantom", "folds": {}, "fingerprint": "0" * 64, "notes": ["one line"]}
    kept = {"round": 3, "empty": False}
    assert described(CT, "a", {"about": {**about, "kept": kept}}, CT.choices())["kept"] == kept
    for note in ("two\nlines", "\x1b[2J"):
        with pytest.raises(Refused, match="a, the roll call: 1 keys or values"):
            described(CT, "a", {"about": {**about, "notes": [note]}}, CT.choices())
