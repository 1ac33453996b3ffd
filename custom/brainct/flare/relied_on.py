"""Every name of FLARE that we call, override or patch: relied_on.json, as one version of FLARE has them.

`python -m brainct.flare.relied_on` prints what the installed FLARE changed of it; a new FLARE is looked at there first.
With `--write`, the table becomes that of the installed FLARE.

In the table, `names` gives for each name its parameters, or the value of a constant, and nothing for a class. `inside`
gives a digest of the source where we patch, replace or work around what it does, and why.
"""

import ast
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import nvflare

FILE = Path(__file__).with_suffix(".json")
TABLE: dict[str, Any] = json.loads(FILE.read_text())


def changes() -> list[str]:
    """What the installed FLARE changed, a sentence a name."""
    found = [_change(name, was, _shape) for name, was in TABLE["names"].items()]
    found += [_change(name, one["source"], _source) for name, one in TABLE["inside"].items()]
    return [sentence for sentence in found if sentence]


def _change(name: str, was: str, of: Callable[[Any], str]) -> str:
    try:
        now = of(_named(name))
    except (ImportError, AttributeError):
        return f"{name} is gone"
    return "" if now == was else f"{name} was {was!r} and is {now!r}"


def _named(name: str) -> Any:
    """The object of a dotted name of FLARE: a module, and from there attribute by attribute."""
    parts = ["nvflare", *name.split(".")]
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def _shape(found: Any) -> str:
    if inspect.isclass(found) or inspect.ismodule(found):
        return ""
    if callable(found):
        return " ".join(inspect.signature(found).parameters)
    return type(found).__name__ if isinstance(found, dict | list) else str(found)


def _source(found: Any) -> str:
    """Of the statements alone: comments, formatting and docstrings do not count."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(found)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:12]


def imported(folder: Path = FILE.parent) -> set[str]:
    """What the files of the room import from FLARE, in the form of the table."""
    nodes = [node for file in folder.glob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and str(node.module).startswith("nvflare.")]
    return {f"{str(node.module).removeprefix('nvflare.')}.{name.name}" for node in froms for name in node.names}


def write() -> None:
    """Make the table that of the installed FLARE, with the same names and what the room imports meanwhile."""
    names = {name: _shape(_named(name)) for name in sorted({*TABLE["names"], *imported()})}
    inside = {name: {**one, "source": _source(_named(name))} for name, one in sorted(TABLE["inside"].items())}
    FILE.write_text(json.dumps({"flare": nvflare.__version__, "names": names, "inside": inside}, indent=1) + "\n")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
        sys.exit()
    changed, count = changes(), len(TABLE["names"]) + len(TABLE["inside"])
    print(
        f"FLARE {nvflare.__version__} changed {len(changed)} of the {count} names that brainct relies on",
        *changed,
        sep="\n",
    )
    sys.exit(bool(changed))
