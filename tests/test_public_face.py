"""The public face: every name is there, documented, and its example runs."""

import doctest
import subprocess
import sys

import pytest

import brainct
from tests.conftest import ROOT


def test_every_exported_name_exists_and_the_list_is_whole():
    assert sorted(brainct.__all__, key=str.lower) == sorted(brainct._HOMES, key=str.lower)
    assert [name for name in brainct.__all__ if getattr(brainct, name) is None] == []
    with pytest.raises(AttributeError, match="module brainct has no nothing"):
        _ = brainct.nothing


@pytest.mark.usefixtures("small_site")
def test_the_example_of_the_public_face_runs(tmp_path):
    try:
        found = doctest.testmod(brainct, extraglobs={"folder": tmp_path / "run"})
    finally:
        brainct.SCHEMES.pop("half", None)
    assert found.failed == 0
    assert found.attempted >= 8


def test_the_imports_keep_to_the_rooms_layers():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stdout
