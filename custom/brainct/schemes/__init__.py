"""The one registry: every scheme by name; the jobs, the docs and the tests are made from it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from brainct.errors import Refused
from brainct.scheme import About, Scheme
from brainct.schemes.clipping import centered_clipping, norm_clipping
from brainct.schemes.cyclic import cyclic
from brainct.schemes.ditto import ditto
from brainct.schemes.dynamic import dynamic
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedbabu import fedbabu
from brainct.schemes.fedbn import fedbn, silobn
from brainct.schemes.fedct import fedct
from brainct.schemes.feddc import feddc
from brainct.schemes.feddyn import feddyn
from brainct.schemes.fedexp import fedexp
from brainct.schemes.fedma import fedma
from brainct.schemes.fednova import fednova
from brainct.schemes.fedopt import fedadagrad, fedadam, fedavgm, fedyogi
from brainct.schemes.fedper import fedper
from brainct.schemes.fedprox import fedprox
from brainct.schemes.fedrep import fedrep
from brainct.schemes.fedsgd import fedsgd
from brainct.schemes.finetune import finetune
from brainct.schemes.geometric_median import geometric_median
from brainct.schemes.krum import krum, multikrum
from brainct.schemes.layerwise import layerwise
from brainct.schemes.lgfedavg import lgfedavg
from brainct.schemes.local import local
from brainct.schemes.median import median
from brainct.schemes.minibatch import minibatch
from brainct.schemes.radon import radon
from brainct.schemes.rebasin import rebasin
from brainct.schemes.ridge import ridge
from brainct.schemes.scaffold import scaffold
from brainct.schemes.sitenorm import sitenorm
from brainct.schemes.swa import swa
from brainct.schemes.trimmed_mean import trimmed_mean

SCHEMES: dict[str, Callable[..., Scheme]] = {
    make.__name__: make
    for make in (
        centered_clipping,
        cyclic,
        ditto,
        dynamic,
        fedadagrad,
        fedadam,
        fedavg,
        fedavgm,
        fedbabu,
        fedbn,
        fedct,
        feddc,
        feddyn,
        fedexp,
        fedma,
        fednova,
        fedper,
        fedprox,
        fedrep,
        fedsgd,
        fedyogi,
        finetune,
        geometric_median,
        krum,
        layerwise,
        lgfedavg,
        local,
        median,
        minibatch,
        multikrum,
        norm_clipping,
        radon,
        ridge,
        rebasin,
        scaffold,
        silobn,
        sitenorm,
        swa,
        trimmed_mean,
    )
}


def about(name: str) -> About:
    """The row of a registered scheme in the table of schemes."""
    row: About = import_module(SCHEMES[name].__module__).ABOUT[name]
    return row


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
