"""Python definitions in a form that names, words and layout do not change: what each computes and what it refers to."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Place = tuple[str, str]
"""Module and top-level name; an empty name is the module as a whole."""

Scope = dict[str, str | Place]
"""What a name stands for inside a function: a number in order of appearance, empty until it appears, or an import."""

WORDS = ("log",)
"""A statement that only calls one of these says something and computes nothing."""

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


@dataclass(frozen=True)
class Definition:
    """pieces: the form, cut where it refers to the project. refers: what to, one between each two pieces."""

    pieces: tuple[str, ...]
    refers: tuple[Place, ...]


@dataclass
class Writer:
    """Writes nodes of one definition; resolve: the project's place or the token that a name of the module stands for.

    parameters: the names of a project function's parameters, () for whatever else is called.
    """

    resolve: Callable[[str], str | Place]
    member: Callable[[Place, str], str | Place]
    parameters: Callable[[Place], tuple[str, ...]]
    pieces: list[str] = field(default_factory=lambda: [""])
    refers: list[Place] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    count: int = 0

    def definition(self, nodes: Iterable[ast.stmt]) -> Definition:
        """The nodes that define one name, in one form."""
        for node in nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                self.write(node.value)
            else:
                self.write(node)
        return Definition(tuple(self.pieces), tuple(self.refers))

    def put(self, text: str) -> None:
        self.pieces[-1] += text + " "

    def refer(self, target: str | Place) -> None:
        if isinstance(target, str):
            self.put(target)
        else:
            self.refers.append(target)
            self.pieces.append("")

    def write(self, node: object) -> None:
        """A node, a list of nodes or a constant."""
        if isinstance(node, list):
            self.put("[")
            for one in node:
                self.write(one)
            self.put("]")
        elif isinstance(node, ast.AST):
            getattr(self, f"write_{type(node).__name__}", self.generic)(node)
        else:
            self.put(repr(node))

    def generic(self, node: ast.AST) -> None:
        self.put(type(node).__name__)
        for name, value in ast.iter_fields(node):
            if name not in ("type_comment", "ctx", "kind"):
                self.write(value)

    def write_Expr(self, node: ast.Expr) -> None:
        value = node.value
        said = isinstance(value, ast.Call) and _last(value.func) in WORDS
        if not said and not isinstance(value, ast.Constant):
            self.generic(node)

    def write_Raise(self, node: ast.Raise) -> None:
        """The kind of error alone: its words compute nothing."""
        self.put("Raise")
        self.write(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)

    def write_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.put("Assign" if node.value is not None else "Field")
        self.write(node.target)
        self.write(node.value)

    def write_Name(self, node: ast.Name) -> None:
        self.refer(self.meaning(node.id))

    def write_Attribute(self, node: ast.Attribute) -> None:
        target = self.place(node)
        if target is None:
            self.put("Attribute")
            self.write(node.value)
            self.put(node.attr)
        else:
            self.refer(target)

    def write_Call(self, node: ast.Call) -> None:
        target = self.place(node.func)
        order = self.parameters(target) if isinstance(target, tuple) else ()
        self.put("Call")
        self.write(node.func)
        self.write(node.args)
        for one in node.keywords:
            self.put(f"={order.index(one.arg)}" if one.arg in order else f"={one.arg}")
            self.write(one.value)

    def write_Import(self, node: ast.Import) -> None:
        self.scopes[-1].update(imported(node))

    write_ImportFrom = write_Import

    def write_Global(self, node: ast.Global) -> None:
        """Which scope a name belongs to is in `bound`."""

    write_Nonlocal = write_Global

    def write_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.put("Except")
        self.write(node.type)
        self.refer(self.meaning(node.name) if node.name else "-")
        self.write(node.body)

    def write_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.write(node.decorator_list)
        self.put(type(node).__name__)
        if self.scopes and node.name in self.scopes[-1]:
            self.refer(self.meaning(node.name))
        self.function(node.args, node.body)

    write_AsyncFunctionDef = write_FunctionDef

    def write_Lambda(self, node: ast.Lambda) -> None:
        self.put("Lambda")
        self.function(node.args, [ast.Return(node.body)])

    def function(self, args: ast.arguments, body: list[ast.stmt]) -> None:
        self.write([*args.defaults, *args.kw_defaults])
        named = [*args.posonlyargs, *args.args, *filter(None, [args.vararg]), *args.kwonlyargs]
        named += filter(None, [args.kwarg])
        self.put(
            f"{len(args.posonlyargs)}/{len(args.args)}/{len(args.kwonlyargs)}/{bool(args.vararg)}{bool(args.kwarg)}"
        )
        self.scopes.append(dict.fromkeys([*(one.arg for one in named), *bound(body)], ""))
        for one in named:
            self.refer(self.meaning(one.arg))
        self.write(body)
        self.scopes.pop()

    def write_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self.put(type(node).__name__)
        self.write(node.generators[0].iter)
        self.scopes.append(dict.fromkeys(bound([each.target for each in node.generators]), ""))
        for number, each in enumerate(node.generators):
            self.write([each.target, each.iter if number else None, each.ifs, each.is_async])
        self.write([node.key, node.value] if isinstance(node, ast.DictComp) else node.elt)
        self.scopes.pop()

    write_SetComp = write_DictComp = write_GeneratorExp = write_ListComp

    def write_ClassDef(self, node: ast.ClassDef) -> None:
        """Methods and fields keep their names, by which whoever holds an object reaches them."""
        self.write([node.decorator_list, node.bases, [one.value for one in node.keywords]])
        self.put("Class")
        fields: Scope = {name: f".{name}" for name in bound(node.body)}
        for line in node.body:
            if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.put(line.name)
                self.write(line)
            else:
                self.scopes.append(fields)
                self.write(line)
                self.scopes.pop()

    def meaning(self, name: str) -> str | Place:
        """What a name stands for here."""
        for scope in reversed(self.scopes):
            if name in scope:
                if scope[name] == "":
                    self.count += 1
                    scope[name] = f"${self.count}"
                found = scope[name]
                return found if isinstance(found, str) else self.member(("", ""), ".".join(found))
        return self.resolve(name)

    def place(self, node: ast.AST) -> str | Place | None:
        """What `a` or `a.b.c` stands for where it is a thing of the project; None for what is computed."""
        if isinstance(node, ast.Name):
            return self.meaning(node.id)
        if isinstance(node, ast.Attribute):
            held = self.place(node.value)
            if isinstance(held, tuple) and held[1] == "":
                return self.member(held, node.attr)
        return None


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def imported(node: ast.stmt) -> Mapping[str, Place]:
    """The names that an import binds, with module and name; an empty name is the module itself."""
    if isinstance(node, ast.ImportFrom):
        return {one.asname or one.name: (node.module or "", one.name) for one in node.names}
    if isinstance(node, ast.Import):
        return {one.asname or one.name.partition(".")[0]: (one.name if one.asname else one.name.partition(".")[0], "")
                for one in node.names}  # fmt: skip
    return {}


def bound(nodes: Iterable[ast.AST]) -> list[str]:
    """The names that these nodes bind in their own scope, in order of appearance."""
    found = dict.fromkeys(_binds(nodes))
    declared = {name for node in _inner(nodes) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names}
    return [name for name in found if name not in declared]


def _binds(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in _inner(nodes):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        elif isinstance(node, NAMED) and node.name:
            yield node.name
        elif isinstance(node, ast.stmt):
            yield from imported(node)


def _inner(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """These nodes and what is in them, without the inside of other scopes."""
    for node in nodes:
        yield node
        if not isinstance(node, (*SCOPES, ast.ClassDef)):
            yield from _inner(ast.iter_child_nodes(node))
