"""The hash of the code behind a row: what computes changes it; names, places and words do not."""

import json
import shutil
import subprocess
import sys

import pytest

from brainct.compare import code_hash
from brainct.compare.code_hash import APART, ROOT, code_of, starts
from brainct.job.config import plan_of
from brainct.schemes import SCHEMES
from tests.causal.tables import causal_plan
from tests.conftest import tiny_plan
from tests.support.families import TRAINING
from tests.table.tables import table_plan

PLAN = tiny_plan("fedprox")


@pytest.fixture
def changed(tmp_path):
    """A copy of the package with texts replaced: (file, old, new), each where it first occurs, or all over the file."""

    def change(*edits, name="one", everywhere=False):
        folder = tmp_path / name / "brainct"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for file, old, new in edits:
            text = (folder / file).read_text()
            assert old in text, f"{file} has no {old!r} any more"
            (folder / file).write_text(text.replace(old, new, -1 if everywhere else 1))
        return folder

    return change


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("schemes/fedprox.py", "mu / 2 *", "mu / 2 +"),
        ("ct/phantom/scanners.py", "2.4, 1.6", "2.5, 1.6"),
        ("schemes/fedprox.py", "/ 2", "/ 3"),
        ("schemes/fedavg.py", "float(examples)", "1.0"),
        ("schemes/fedavg.py", "w.mean(", "w.difference("),
        ("schemes/fedprox.py", "NotNegative = 0.01", "NotNegative = 0.02"),
        ("schemes/fedavg.py", 'generator(seed, "fedavg"', 'generator(seed, "fedavag"'),
    ],
)
def test_a_changed_number_operator_callee_default_or_seed_word_changes_it(changed, file, old, new):
    assert code_of(PLAN, False, changed((file, old, new))) != code_of(PLAN, False)


def test_words_and_code_that_computes_nothing_of_this_run_leave_it(changed):
    edits = [
        ("ct/learner.py", '"""', '"""Other words. '),
        ("schemes/fedprox.py", "paper=", "paper='once more, ' "),
        ("security/signing.py", "salt_length=0", "salt_length=1"),
        ("schemes/scaffold.py", "def ", "X = 1\n\n\ndef "),
        ("ct/read/dicom.py", "def ", "X = 1\n\n\ndef "),
        ("compare/one_run.py", "def ", "X = 1\n\n\ndef "),
        ("flare/server.py", "class ", "X = 1\n\n\nclass "),
        ("run/rounds.py", "import time\n", "# a comment\nimport time\n"),
    ]
    assert code_of(PLAN, False, changed(*edits)) == code_of(PLAN, False)


def test_names_of_functions_classes_parameters_variables_and_imports_do_not_enter(changed):
    folder = changed()
    renamed = {
        "squared_distance": "gap_squared",
        "TorchLearner": "GradientLearner",
        "aggregation_period": "aggregation_period",
    }
    for file in folder.rglob("*.py"):
        text = file.read_text()
        for old, new in renamed.items():
            text = text.replace(old, new)
        file.write_text(text)
    (folder / "schemes/fedprox.py").write_text(
        (folder / "schemes/fedprox.py").read_text().replace("now", "current").replace("learner", "trainer")
    )
    assert code_of(PLAN, False, folder) == code_of(PLAN, False)


def test_a_module_that_moves_to_another_room_does_not_enter(changed):
    folder = changed()
    (folder / "core" / "weights.py").rename(folder / "training" / "arithmetic.py")
    for file in folder.rglob("*.py"):
        text = file.read_text().replace("brainct.core.weights", "brainct.training.arithmetic")
        text = text.replace("from brainct.core import weights as ", "from brainct.training import arithmetic as ")
        file.write_text(
            text.replace("from brainct.core import weights\n", "from brainct.training import arithmetic as weights\n")
        )
    assert code_of(PLAN, False, folder) == code_of(PLAN, False)


def test_readers_matter_to_scans_on_disk_alone(changed):
    folder = changed(("ct/read/dicom.py", "1", "2"), name="dicom", everywhere=True)
    assert code_of(PLAN, True, folder) != code_of(PLAN, True)
    assert code_of(PLAN, False, folder) == code_of(PLAN, False)


def test_a_wrapped_scheme_matters_to_its_wrapper(changed):
    wrapped = tiny_plan("swa", arguments={"inner": {"scheme": "fedprox", "arguments": {}}})
    folder = changed(("schemes/fedprox.py", "/ 2", "/ 3"))
    assert code_of(wrapped, False, folder) != code_of(wrapped, False)


def test_every_scheme_has_code_of_its_own():
    plans = [*map(tiny_plan, TRAINING), *map(causal_plan, sorted(set(SCHEMES) - set(TRAINING)))]
    assert len({code_of(plan, False) for plan in plans}) == len(SCHEMES)


def test_a_starting_point_that_does_not_exist_is_an_error(monkeypatch):
    monkeypatch.setattr(code_hash, "START", (("brainct.run.rounds", "Rounds"),))
    with pytest.raises(KeyError, match=r"brainct.run.rounds has no Rounds; correct the starting points"):
        code_of(PLAN, False)


def test_every_module_that_stands_apart_exists_and_so_do_the_readers():
    package = code_hash.sources(ROOT)
    assert [name for name in (*APART, code_hash.READERS) if package.module(name) is None] == []


REHEARSAL = """
import json, sys
from pathlib import Path
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse
rehearse(plan_of(json.loads(sys.argv[1]), "the test"), ["a", "b"], Path(sys.argv[2]), log=lambda line: None)
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "brainct"]))
"""


def test_whatever_a_run_imports_is_in_some_runs_hash_or_stands_apart_with_its_reason(tmp_path, small_site):
    choices = json.dumps(tiny_plan(rounds=1, fit={"augment": {"scanner": 0.5}}).model_dump())
    ended = subprocess.run(
        [sys.executable, "-c", REHEARSAL, choices, str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    package = code_hash.sources(ROOT)
    segments = plan_of({"workload": "segment", "scheme": "fedavg"}, "the test")
    plans = [*map(tiny_plan, TRAINING), table_plan(), segments, *map(causal_plan, sorted(set(SCHEMES) - set(TRAINING)))]
    covered = {module for plan in plans for module, _ in package.reached(starts(plan), on_disk=True)}
    imported = {name for name in json.loads(ended.stdout.splitlines()[-1]) if package.module(name).lines}
    assert imported - covered - set(APART) == set()
