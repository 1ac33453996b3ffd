"""Which code computed a result: a hash over the modules that can change it, and over nothing else."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import brainct
from brainct.core.scheme import names_in
from brainct.job.config import Plan
from brainct.schemes import SCHEMES

ROOT = Path(brainct.__file__).parent
START = ("brainct.ct.learner", "brainct.run.rounds", "brainct.site.agent")
APART = (
    "brainct.schemes",
    "brainct.run.record",
    "brainct.run.inbox",
    "brainct.core.serialization",
    "brainct.errors",
    "brainct.security.signing",
)
"""The registry and what only carries, stores or words a result."""
READERS = (
    "brainct.ct.read.listing",
    "brainct.ct.read.decode",
    "brainct.ct.read.dicom",
    "brainct.ct.read.nifti",
    "brainct.ct.read.image",
)
"""What a phantom never goes through."""


def code_of(plan: Plan, on_disk: bool) -> str:
    """SHA-256 over the modules behind a run: the learner, the loop, the scans, the scheme and what these import.

    Comments, docstrings, layout and ABOUT do not enter, nor do other schemes. on_disk: whether scans come from files.
    """
    schemes = [SCHEMES[name].__module__ for name in sorted({*names_in(plan.scheme, plan.arguments)})]
    return _hash((*START, *schemes), APART if on_disk else (*APART, *READERS))


def _hash(start: tuple[str, ...], apart: tuple[str, ...]) -> str:
    found: dict[str, str] = {}
    waiting = list(start)
    while waiting:
        module = waiting.pop()
        if module not in found and module not in apart and _file(module).is_file():
            found[module], imported = _read(module)
            waiting += imported
    return hashlib.sha256("\n".join(f"{name}\n{found[name]}" for name in sorted(found)).encode()).hexdigest()


@cache
def _read(module: str) -> tuple[str, list[str]]:
    """A module's code, bare, and what it imports."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    imported = list(_imports(tree))
    return ast.unparse(_bare(tree)), imported


def _file(module: str) -> Path:
    """The source of a module, or of the package of that name."""
    path = ROOT.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path != ROOT and path.is_dir() else path.with_suffix(".py")


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("brainct"):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _bare(tree: ast.Module) -> ast.Module:
    """Without docstrings and other lone strings, and without a scheme's row in the docs."""
    tree.body = [line for line in tree.body if not _is_row(line)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [line for line in node.body if not _said(line)] or [ast.Pass()]
    return tree


def _is_row(line: ast.stmt) -> bool:
    return isinstance(line, ast.Assign) and [getattr(name, "id", "") for name in line.targets] == ["ABOUT"]


def _said(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
