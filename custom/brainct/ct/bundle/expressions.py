"""The `$` expressions of a bundle's configuration, computed by a small grammar instead of Python's `eval`.

Numbers, text, lists, tuples, dictionaries, + - * / // %, an index, and a few functions of these. Anything else, such as
an import, an attribute or a call of a name, is refused with the expression.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from brainct.errors import Refused

LONGEST = 500
"""Characters of an expression."""

LARGEST = 10**9
"""The largest number, and MOST the longest list, that an expression may give."""
MOST = 10**4

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "int": int,
    "float": float,
    "len": len,
    "max": max,
    "min": min,
    "round": round,
    "sum": sum,
    "list": list,
    "tuple": tuple,
    "range": lambda *numbers: list(range(*numbers)) if abs(max(numbers, default=0)) <= MOST else None,
}


def compute(text: str, reference: Callable[[str], Any]) -> Any:
    """The value of an expression without its `$`. reference: gives the value behind `@name`."""
    if len(text) > LONGEST:
        raise Refused(f"an expression of {len(text)} characters; wanted at most {LONGEST}")
    found: dict[str, str] = {}
    try:
        tree = ast.parse(_named(text, found), mode="eval")
        return _value(tree.body, lambda name: reference(found[name]) if name in found else _unknown(name))
    except Refused as refusal:
        if str(refusal).startswith("expression `$"):  # of an expression that this one refers to
            raise
        raise Refused(f"expression `${text}`: {refusal}") from None
    except (SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError) as error:
        raise Refused(f"expression `${text}` can't be computed: {type(error).__name__}") from None


def _named(text: str, found: dict[str, str]) -> str:
    """The text with each `@reference` as a name that Python can parse."""
    parts, at = [], 0
    while (start := text.find("@", at)) >= 0:
        end = start + 1
        while end < len(text) and (text[end].isalnum() or text[end] in "_#:"):
            end += 1
        name = f"reference_{len(found)}"
        found[name] = text[start + 1 : end]
        parts += [text[at:start], name]
        at = end
    return "".join([*parts, text[at:]])


def _unknown(name: str) -> Any:
    raise Refused(f"{name} is neither a number nor a reference")


def _value(node: ast.expr, name: Callable[[str], Any]) -> Any:
    match node:
        case ast.Constant(value) if value is None or isinstance(value, bool | int | float | str):
            return _small(value)
        case ast.Name(identifier):
            return name(identifier)
        case ast.Tuple(parts) | ast.List(parts):
            return _small([_value(part, name) for part in parts])
        case ast.Dict(keys, values) if all(key is not None for key in keys):
            return {_value(key, name): _value(one, name) for key, one in zip(keys, values, strict=True) if key}
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, name)
        case ast.BinOp(left, sign, right) if type(sign) in _BINARY:
            return _binary(_BINARY[type(sign)], _value(left, name), _value(right, name))
        case ast.Subscript(value, ast.Constant(index)) if isinstance(index, int | str):
            return _value(value, name)[index]
        case ast.Call(ast.Name(function), arguments, []) if function in _FUNCTIONS:
            return _small(_FUNCTIONS[function](*(_value(one, name) for one in arguments)))
    raise Refused(f"{type(node).__name__} is not part of the grammar: numbers, lists, + - * / // % and {_known()}")


def _known() -> str:
    return ", ".join(_FUNCTIONS)


def _binary(compute_it: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    sizes = [len(one) for one in (left, right) if isinstance(one, list | str)]
    counts = [one for one in (left, right) if isinstance(one, int)]
    if sizes and counts and max(sizes) * max(counts) > MOST:
        raise Refused(f"a list of {max(sizes) * max(counts)} parts; wanted at most {MOST}")
    return _small(compute_it(left, right))


def _small(value: Any) -> Any:
    if isinstance(value, int | float) and not abs(value) <= LARGEST:
        raise Refused(f"a number beyond {LARGEST:,}")
    if isinstance(value, list | tuple | str) and len(value) > MOST:
        raise Refused(f"{len(value)} parts; wanted at most {MOST}")
    return list(value) if isinstance(value, tuple) else value
