"""Small faults put into the code one at a time: which of them do the tests of their own room not notice?

python bench/mutants.py [--each 12] [--seed 1] [--only core/weights.py ...] [--out FILE]

A mutant is one change of one operator, comparison, number, condition or default; `each` are drawn per file with the
seed. Lines that only word an error are left out. A mutant that no test notices is printed with its line.
"""

import argparse
import ast
import copy
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("custom") / "brainct"
ROOMS = {
    "core/weights.py": ["tests/core/test_weights.py"],
    "core/robust.py": ["tests/core/test_robust.py"],
    "core/masking.py": ["tests/core/test_masking.py"],
    "core/matching.py": ["tests/core/test_matching.py"],
    "core/secret_sharing.py": ["tests/core/test_secret_sharing.py"],
    "core/serialization.py": ["tests/core/test_serialization.py"],
    "core/report_check.py": ["tests/run/test_hostile.py", "tests/protocol"],
    "schemes/fedavg.py": ["tests/schemes/test_fedavg.py"],
    "schemes/feddc.py": ["tests/schemes/test_feddc.py"],
    "schemes/fedct.py": ["tests/schemes/test_fedct.py"],
    "schemes/scaffold.py": ["tests/schemes/test_scaffold.py"],
    "schemes/radon.py": ["tests/schemes/test_radon.py"],
}
"""Files and the tests of their own; a scheme is also held against its cases of the contract."""

CONTRACT = "tests/schemes/test_contract.py"
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
WORDS = (ast.Raise, ast.JoinedStr, ast.arg)
"""What is inside these is wording or typing."""


@dataclass
class Mutant:
    """file: below the package. was, now: the changed expression. fate: killed, alive or timeout."""

    file: str
    line: int
    was: str
    now: str
    fate: str = ""
    seconds: float = 0.0


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST, str, int | None]]:
    """Nodes that a mutant changes: the statement or expression shown, the holder, its field, and a place in a list."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, WORDS) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
            yield node, node, "op", None
        if isinstance(node, ast.Compare):
            yield from ((node, node, "ops", at) for at, op in enumerate(node.ops) if type(op) in SWAPS)
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node.test, node, "test", None
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            yield node, node, "value", None
        yield from places(node)


def changed(holder: ast.AST, name: str, at: int | None) -> None:
    """Put the fault in."""
    old = getattr(holder, name)
    if at is not None:
        old[at] = SWAPS[type(old[at])]()
    elif name == "op":
        setattr(holder, name, SWAPS[type(old)]())
    elif name == "test":
        setattr(holder, name, ast.UnaryOp(ast.Not(), old))
    else:
        setattr(holder, name, not old if isinstance(old, bool) else old + 1)


def mutants(file: str, each: int, seed: int) -> Iterator[tuple[Mutant, str]]:
    """So many mutants of a file, each with its whole source."""
    tree = ast.parse((ROOT / PACKAGE / file).read_text())
    tree.body = [line for line in tree.body if not _is_row(line)]
    count = len(list(places(tree)))
    for number in sorted(random.Random(f"{seed} {file}").sample(range(count), min(each, count))):
        whole = copy.deepcopy(ast.parse((ROOT / PACKAGE / file).read_text()))
        inner = copy.copy(whole)
        inner.body = [line for line in whole.body if not _is_row(line)]
        shown, holder, name, at = list(places(inner))[number]
        line, was = getattr(shown, "lineno", 0), ast.unparse(shown)
        changed(holder, name, at)
        now = f"not ({was})" if name == "test" else ast.unparse(shown)
        yield Mutant(file, line, was, now), ast.unparse(whole)


def _is_row(line: ast.stmt) -> bool:
    return isinstance(line, ast.Assign) and [getattr(one, "id", "") for one in line.targets] == ["ABOUT"]


def libraries(folder: Path) -> list[str]:
    """What the tests import that is not ours, from a process of its own."""
    code = "import sys, tests.conftest; print(*[n for n in sys.modules if n.split('.')[0] not in ('brainct', 'tests')])"
    clean = {**os.environ, "PYTHONPATH": f"{folder / 'custom'}:{folder}"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=clean, cwd=folder, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


def tested(folder: Path, tests: list[str], seconds: float) -> str:
    """What becomes of the tests in this copy: killed (one fails), alive, or timeout; libraries are imported before."""
    process = get_context("fork").Process(target=_test, args=(folder, tests))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        return "timeout"
    return "alive" if process.exitcode == 0 else "killed"


def _test(folder: Path, tests: list[str]) -> None:
    rest = [one for one in sys.path if not (Path(one) / "brainct").is_dir()]
    sys.path[:] = [str(folder / "custom"), str(folder), *rest]
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder / "custom")
    sys.dont_write_bytecode = True
    with open(os.environ.get("MUTANTS_LOG", os.devnull), "a") as quiet:
        os.dup2(quiet.fileno(), 1), os.dup2(quiet.fileno(), 2)
    known = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported before
    sys.exit(int(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", *known, *tests])))


def tests_of(file: str) -> list[list[str]]:
    """Calls of pytest, the cheapest first."""
    name = Path(file).stem
    contract = [[CONTRACT, "-k", f"[{name}] or [{name}- or -{name}]"]] if file.startswith("schemes/") else []
    return [ROOMS[file], *contract]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=sorted(ROOMS))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--out", type=Path, help="a line of JSON for each mutant")
    given = parser.parse_args()
    os.nice(10)
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        folder = Path(scratch)
        for part in ("custom", "tests", "jobs", "docs", "poc", "provisioning", "pyproject.toml", "README.md"):
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, folder / part)
        for name in libraries(folder):
            with suppress(Exception):
                importlib.import_module(name)
        fates: dict[str, int] = {}
        for file in given.only:
            target, before = folder / PACKAGE / file, (ROOT / PACKAGE / file).read_text()
            if any(tested(folder, tests, given.seconds) != "alive" for tests in tests_of(file)):
                sys.exit(f"{file}: its tests fail without any mutant; correct them first")
            for mutant, source in mutants(file, given.each, given.seed):
                began = time.monotonic()
                target.write_text(source)
                for tests in tests_of(file):
                    mutant.fate = tested(folder, tests, given.seconds)
                    if mutant.fate != "alive":
                        break
                mutant.seconds = round(time.monotonic() - began, 1)
                fates[mutant.fate] = fates.get(mutant.fate, 0) + 1
                print(f"{mutant.fate:8} {file}:{mutant.line}  {mutant.was}  ->  {mutant.now}", flush=True)
                if given.out:
                    with given.out.open("a") as out:
                        out.write(json.dumps(asdict(mutant)) + "\n")
            target.write_text(before)
    print(", ".join(f"{count} {fate}" for fate, count in sorted(fates.items())))


if __name__ == "__main__":
    main()
