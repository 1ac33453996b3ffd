"""Which code computed a result: a hash over the definitions behind a run that survives moving and renaming them."""

import ast
import hashlib
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path

import brainct
from brainct.compare.normal_form import Definition, Place, Writer, imported
from brainct.core.scheme import names_in
from brainct.job.config import Plan
from brainct.job.workloads import WORKLOADS
from brainct.schemes import SCHEMES

ROOT = Path(brainct.__file__).parent
PACKAGE = "brainct"
START: tuple[Place, ...] = (("brainct.run.rounds", "Run"), ("brainct.site.agent", "SiteAgent"))
"""The round loop and a site's half; the job's workload and schemes come to them."""

APART = {
    "brainct.errors": "words of refusals",
    "brainct.schemes": "the registry: the job's schemes are starting points of their own",
    "brainct.job.workloads": "the registry: the job's workload is a starting point of its own",
    "brainct.core.version": "names the version, computes nothing",
    "brainct.core.sentences": "words of refusals",
    "brainct.core.json_file": "reads and writes files as they are",
    "brainct.core.serialization": "carries and stores values as they are, which its own tests show",
    "brainct": "the public face: names what others define",
    "brainct.core.writable": "looks whether a folder can be written",
    "brainct.run.progress": "tells how far a run is",
    "brainct.run.record": "notes what happened",
    "brainct.run.board": "writes TensorBoard's file",
    "brainct.run.run_record": "the form of these notes",
    "brainct.run.model_file": "stores the delivered model as it is",
    "brainct.run.inbox": "waits for replies, whose order of arrival changes no bit",
    "brainct.run.start_model": "reads and checks the start model, whose hash the plan states",
    "brainct.run.rehearse": "carries requests and replies within one process, which the four ways to run show",
    "brainct.site.worker": "a process around a site's agent; its tests show bit-identical replies",
    "brainct.run.checkpoint": "stores a round's end; a resumed run has the bits of one that was not",
    "brainct.security.signing": "signs keys; signatures enter no model",
}
"""Modules whose code changes no row, each with the reason."""

ROWS = ("ABOUT",)
"""What a scheme's module says of itself in the docs."""

READERS = "brainct.ct.read"
"""What phantom scans never go through."""


def code_of(plan: Plan, on_disk: bool, root: Path = ROOT) -> str:
    """SHA-256 over the round loop, a site's half, the job's workload and schemes, and all that these refer to.

    Comments, docstrings, annotations, log lines, the words of errors and the names of modules, functions, classes,
    variables and parameters do not enter. on_disk: whether scans come from files. root: the package's folder.
    """
    return sources(root).digest(starts(plan), on_disk)


def starts(plan: Plan) -> tuple[Place, ...]:
    """The definitions from which a run starts."""
    module, _, name = WORKLOADS[plan.workload].rpartition(".")
    schemes = [(SCHEMES[one].__module__, one) for one in sorted({*names_in(plan.scheme, plan.arguments)})]
    return (*START, (module, name), *schemes)


@cache
def sources(root: Path) -> "Sources":
    """The package in this folder, each module read once."""
    return Sources(root)


class Sources:
    """The definitions of the package in a folder."""

    def __init__(self, root: Path):
        self.root = root
        self._modules: dict[str, Module | None] = {}
        self._digests: dict[tuple[tuple[Place, ...], bool], str] = {}

    def module(self, name: str) -> "Module | None":
        """A module of the package, or None if it has none of this name."""
        if name not in self._modules:
            path = self.root.joinpath(*name.split(".")[1:])
            files = [path / "__init__.py", path.with_suffix(".py")] if name.split(".")[0] == PACKAGE else []
            found = next((file for file in files if file.is_file()), None)
            self._modules[name] = Module(self, name, found.read_text(encoding="utf-8")) if found else None
        return self._modules[name]

    def digest(self, start: tuple[Place, ...], on_disk: bool) -> str:
        """SHA-256 over all definitions that are reached, each with what it refers to in the place of names."""
        if (start, on_disk) not in self._digests:
            self._digests[start, on_disk] = _refined(self.reached(start, on_disk))
        return self._digests[start, on_disk]

    def reached(self, start: tuple[Place, ...], on_disk: bool) -> dict[Place, Definition]:
        """The definitions behind these; KeyError where a starting point does not exist."""
        found: dict[Place, Definition] = {}
        waiting = list(start)
        for module, name in start:
            if (held := self.module(module)) is None or name not in held.lines:
                raise KeyError(f"{module} has no {name}; correct the starting points of compare.code_hash")
        while waiting:
            place = waiting.pop()
            held = self.module(place[0])
            if place not in found and held is not None and not _apart(place, on_disk):
                found[place] = held.definition(place[1])
                waiting += [*found[place].refers, *([(place[0], "*")] if "*" in held.lines else [])]
        return found

    def follow(self, module: str, name: str) -> Place | str:
        """Where `from module import name` leads: a definition, a module of the package, or a name from elsewhere."""
        if module.split(".")[0] != PACKAGE:
            return f"{module}.{name}".rstrip(".")
        if self.module(inner := f"{module}.{name}".strip(".")) is not None:
            return inner, ""
        held = self.module(module)
        if held is None or name in held.lines:
            return module, name
        return self.follow(*held.imports[name]) if name in held.imports else (module, "")

    def parameters(self, place: Place) -> tuple[str, ...]:
        """The names of a function's parameters, in order; () for whatever else is there."""
        module = self.module(place[0])
        lines = module.lines.get(place[1], []) if module else []
        args = next((line.args for line in lines if isinstance(line, ast.FunctionDef)), None)
        return tuple(one.arg for one in (*args.posonlyargs, *args.args, *args.kwonlyargs)) if args else ()


class Module:
    """One module's statements by the name that they define; "*" are those that define none."""

    def __init__(self, package: Sources, name: str, text: str):
        self.package, self.name, self.lines, self.imports = (
            package,
            name,
            dict[str, list[ast.stmt]](),
            dict[str, Place](),
        )
        for line in ast.parse(text).body:
            self.imports |= imported(line)
            for key in _defines(line):
                self.lines.setdefault(key, []).append(line)

    @cached_property
    def _definitions(self) -> dict[str, Definition]:
        return {}

    def definition(self, name: str) -> Definition:
        """The form of what a name defines; of the module as a whole, that it refers to all of them."""
        if name == "":
            places = tuple((self.name, each) for each in self.lines)
            return Definition(("",) * (len(places) + 1), places)
        if name not in self._definitions:
            writer = Writer(self.resolve, self.member, self.package.parameters)
            self._definitions[name] = writer.definition(self.lines.get(name, []))
        return self._definitions[name]

    def resolve(self, name: str) -> str | Place:
        """What a module-level name stands for."""
        if name in self.imports:
            return self.package.follow(*self.imports[name])
        return (self.name, name) if name in self.lines else f"name:{name}"

    def member(self, held: Place, name: str) -> str | Place:
        """What `held.name` stands for where held is a module; a dotted import of a function where held is empty."""
        if held == ("", ""):
            module, _, last = name.rstrip(".").rpartition(".")
            return self.package.follow(module, last) if module else name.rstrip(".")
        return self.package.follow(held[0], name)


def _defines(line: ast.stmt) -> list[str]:
    if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [line.name]
    if isinstance(line, ast.Assign | ast.AnnAssign):
        targets = line.targets if isinstance(line, ast.Assign) else [line.target]
        names = [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        plain = not any(
            isinstance(node, ast.Attribute | ast.Subscript) for target in targets for node in ast.walk(target)
        )
        return [name for name in names if name != "__all__"] if plain else ["*"]
    typing = isinstance(line, ast.If) and ast.unparse(line.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
    said = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
    return [] if said or typing or isinstance(line, ast.Import | ast.ImportFrom) else ["*"]


def _apart(place: Place, on_disk: bool) -> bool:
    module, name = place
    return module in APART or name in ROWS or (not on_disk and f"{module}.".startswith(f"{READERS}."))


def _refined(found: Mapping[Place, Definition]) -> str:
    """A hash of all, each taken again with the hashes of what it refers to until no two more differ."""
    values = dict.fromkeys(found, "")
    kinds = 0
    while len({*values.values()}) > kinds:
        kinds = len({*values.values()})
        values = {
            place: _sha256(*one.pieces, *(values.get(each, "apart") for each in one.refers))
            for place, one in found.items()
        }
    return _sha256(*sorted(values.values()))


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
