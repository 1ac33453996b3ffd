"""The one registry: every scheme by name; the jobs, the docs and the tests are made from it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from brainct.errors import Refused
from brainct.scheme import About, Scheme
from brainct.schemes.fedavg import fedavg
from brainct.schemes.feddc import feddc

SCHEMES: dict[str, Callable[..., Scheme]] = {make.__name__: make for make in (fedavg, feddc)}


def about(name: str) -> About:
    """The row of a registered scheme in the table of schemes."""
    row: About = import_module(SCHEMES[name].__module__).ABOUT[name]
    return row


def build(name: str, arguments: Mapping[str, Any]) -> Scheme:
    """The scheme of this name with these arguments; refuses names and arguments that it does not know.

    An argument {"scheme": NAME, "arguments": {...}} is built first: a wrapper around another scheme.
    """
    if name not in SCHEMES:
        raise Refused(f"unknown scheme {name!r}; known are {', '.join(sorted(SCHEMES))}")
    return SCHEMES[name](**{key: _inner(value) for key, value in arguments.items()})


def _inner(value: Any) -> Any:
    if isinstance(value, Mapping) and "scheme" in value:
        return build(value["scheme"], value.get("arguments", {}))
    return value
