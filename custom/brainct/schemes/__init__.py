"""The one registry: every scheme by name; the jobs, the docs and the tests are made from it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from brainct.core.scheme import About, Scheme
from brainct.errors import Refused

MODULES = (
    "clipping",
    "cyclic",
    "ditto",
    "dynamic",
    "fedavg",
    "fedbabu",
    "fedbn",
    "fedct",
    "feddc",
    "feddyn",
    "fedexp",
    "fedma",
    "fednova",
    "fedopt",
    "fedper",
    "fedprox",
    "fedrep",
    "fedsgd",
    "finetune",
    "geometric_median",
    "krum",
    "layerwise",
    "lgfedavg",
    "local",
    "median",
    "minibatch",
    "radon",
    "rebasin",
    "ridge",
    "scaffold",
    "secagg",
    "sitenorm",
    "swa",
    "trimmed_mean",
)
"""The files; the names in a file's ABOUT are its schemes."""

_FILES = [import_module(f"brainct.schemes.{module}") for module in MODULES]
_ABOUT: dict[str, About] = {name: row for file in _FILES for name, row in file.ABOUT.items()}
SCHEMES: dict[str, Callable[..., Scheme]] = {
    name: getattr(file, name) for file in _FILES for name in sorted(file.ABOUT)
}


def about(name: str) -> About:
    """The row of a registered scheme in the table of schemes."""
    return _ABOUT[name]


def build(name: str, arguments: Mapping[str, Any]) -> Scheme:
    """The scheme of this name with these arguments; refuses names and arguments that it does not know.

    An argument {"scheme": NAME, "arguments": {...}} is built first: a wrapper around another scheme.
    """
    if not isinstance(name, str) or name not in SCHEMES:
        raise Refused(f"unknown scheme {name!r}; known are {', '.join(sorted(SCHEMES))}")
    if not isinstance(arguments, Mapping):
        raise Refused(f"scheme {name}: arguments are {arguments!r}; wanted a value for each argument by its name")
    return SCHEMES[name](**{key: _inner(value) for key, value in arguments.items()})


def _inner(value: Any) -> Any:
    if isinstance(value, Mapping) and "scheme" in value:
        return build(value["scheme"], value.get("arguments", {}))
    return value
