"""The rooms of the house: who may import whom; a finding names the file and the line."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "custom" / "brainct"
NVFLARE, MONAI, FILES = "nvflare", "monai", ("pathlib", "os", "logging")
RULES = [
    ("core/*.py", (NVFLARE, MONAI, "logging")),
    ("schemes/*.py", (NVFLARE, MONAI, *FILES)),
    ("[!f]*/**/*.py", (NVFLARE,)),
    ("leakage/attacks.py", ("brainct", "torch")),
    ("leakage/bounds.py", ("brainct", "torch")),
]
"""What import-linter's layers do not say: libraries that a room does without."""


def imports(path: Path):
    """(line, module) for every import of a file, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def trespasses(path: Path, forbidden):
    return [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for line, module in imports(path)
        if any(module == room or module.startswith(room + ".") for room in forbidden)
    ]


@pytest.mark.parametrize(("files", "forbidden"), RULES)
def test_each_room_imports_only_what_it_may(files, forbidden):
    paths = sorted(PACKAGE.glob(files))
    assert paths
    assert [line for path in paths for line in trespasses(path, forbidden)] == []


def test_the_rule_finds_a_trespass_and_names_its_line(tmp_path):
    path = ROOT / "custom" / "brainct" / "flare" / "server.py"
    assert any("server.py:" in line and "imports nvflare" in line for line in trespasses(path, (NVFLARE,)))


def test_the_flare_room_holds_no_arithmetic():
    for path in sorted((PACKAGE / "flare").glob("*.py")):
        modules = {module for _, module in imports(path)}
        assert not modules & {"torch", "numpy", "scipy", "brainct.core.weights"}, path


def test_rehearsing_loads_no_nvflare():
    import subprocess
    import sys

    code = "import sys, brainct.run.rehearse, brainct.job.folders, brainct.cli.main;"
    code += "print([name for name in sys.modules if 'nvflare' in name])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_scheme_file_is_longer_than_a_paper_deserves():
    assert all(len(path.read_text().splitlines()) <= 150 for path in (PACKAGE / "schemes").glob("*.py"))


def test_the_contracts_example_runs():
    import doctest

    import brainct.core.scheme

    found = doctest.testmod(brainct.core.scheme)
    assert found.attempted >= 5
    assert found.failed == 0


NEUTRAL = ("core", "training", "job", "protocol", "security", "site", "run", "flare")
OF_CT = r"\b(auroc|AUROC|epidural|intraparenchymal|subarachnoid|subdural|FINDINGS|WINDOWS|HU|pixels?)\b"


@pytest.mark.parametrize("room", NEUTRAL)
def test_what_carries_a_run_names_no_finding_no_window_and_no_auroc(room):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(OF_CT, line)
    ]
    assert found == []


def test_every_file_has_at_most_250_lines():
    assert [str(path) for path in PACKAGE.rglob("*.py") if len(path.read_text().splitlines()) > 250] == []
