"""The registry: every scheme by name; the jobs, the docs and the tests are made from it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from brainct.core.scheme import About, Factory, Scheme
from brainct.errors import Refused

MODULES = (
    "bf16",
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
    "headstart",
    "krum",
    "layerwise",
    "lgfedavg",
    "local",
    "median",
    "minibatch",
    "orion",
    "peri",
    "peri_environments",
    "radon",
    "rebasin",
    "ridge",
    "scaffold",
    "secagg",
    "sitenorm",
    "swa",
    "trimmed_mean",
    "turns",
)
"""The files; the factories that a file registers are its schemes."""


def _factories(module: str) -> dict[str, Factory[...]]:
    """The schemes that this file registers, by name and sorted; not those that it imports."""
    file = import_module(f"brainct.schemes.{module}")
    found = [value for value in vars(file).values() if isinstance(value, Factory)]
    return {one.__name__: one for one in sorted(found, key=lambda one: one.__name__) if one.__module__ == file.__name__}


SCHEMES: dict[str, Factory[...]] = {name: factory for module in MODULES for name, factory in _factories(module).items()}


def about(name: str) -> About:
    """What the docs say of a registered scheme."""
    return SCHEMES[name].about


def factory_of(name: str) -> Factory[...]:
    """The factory of a registered scheme; Refused where there is none of this name."""
    if not isinstance(name, str) or name not in SCHEMES:
        raise Refused(f"unknown scheme {name!r}; known are {', '.join(sorted(SCHEMES))}")
    return SCHEMES[name]


def build(name: str, arguments: Mapping[str, Any]) -> Scheme:
    """The scheme of this name with these arguments; Refused if the name or an argument is unknown or out of range.

    An argument {"scheme": NAME, "arguments": {...}} is a scheme inside a wrapper and is built first.
    """
    factory = factory_of(name)
    if not isinstance(arguments, Mapping):
        raise Refused(f"scheme {name}: arguments are {arguments!r}; wanted a value for each argument by its name")
    return factory(**{key: _inner(value) for key, value in arguments.items()})


def _inner(value: Any) -> Any:
    if isinstance(value, Mapping) and "scheme" in value:
        return build(value["scheme"], value.get("arguments", {}))
    return value
