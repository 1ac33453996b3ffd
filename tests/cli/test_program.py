"""The program itself: its exit code is the command's, and what it printed is out before it ends."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

KEPT = """
import atexit, sys
from brainct.cli.__main__ import program
sys.argv = ["brainct", *sys.argv[1:]]
import threading, time
threading.Thread(target=lambda: (time.sleep(0.5), print("a thread ended"))).start()
program()
"""


def run(*words, code=None):
    how = ["-c", code] if code else ["-m", "brainct.cli"]
    return subprocess.run([sys.executable, *how, *map(str, words)], capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("words", "code", "out", "errors"),
    [
        (["--help"], 0, "rehearse", ""),
        (["jobs", "check", "no-such-folder"], 2, "", "no-such-folder"),
        (["rehearse", "--no-such-option"], 2, "", "No such option"),
    ],
)
def test_the_exit_code_and_all_lines_are_the_commands(words, code, out, errors):
    ended = run(*words)
    assert ended.returncode == code
    assert out in ended.stdout
    assert errors in ended.stderr


def test_threads_end_before_the_program_does():
    assert "a thread ended" in run("--help", code=KEPT).stdout
