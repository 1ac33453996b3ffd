"""Without matplotlib and ges the commands that need them are refused in words, and every other command works."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "ges"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in ("matplotlib", "ges") else found(name, package)
from brainct.cli.main import main
main(sys.argv[1:])
"""


def run(*words, **choices):
    return subprocess.run([sys.executable, "-c", HIDE, *map(str, words)], capture_output=True, text=True, **choices)


@pytest.mark.parametrize("words", [["report", "x"], ["leakage", "show", "x"]])
def test_a_command_that_draws_says_what_to_install(words):
    done = run(*words)
    assert done.returncode == 2
    assert "pip install '.[report]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rehearsal_needs_no_matplotlib(small_job, small_site, tmp_path):
    done = run("rehearse", small_job, "--sites", 2, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "model sha256" in done.stdout


def test_the_table_of_schemes_has_their_bytes_without_ges():
    done = run("schemes")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"fedavg", "peri"} <= set(done.stdout.split())


def test_a_search_for_a_causal_graph_ends_with_what_to_install(tmp_path):
    done = run("rehearse", ROOT / "jobs" / "peri", "--sites", 2, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "needs the library ges, which is not installed: pip install '.[causal]'" in done.stderr
    assert "Traceback" not in done.stderr
