"""Hospitals train one CT brain model together on NVIDIA FLARE while every scan stays where it was taken.

What this module exports is the public face; other modules may change from version to version. A scheme of one's own,
rehearsed on two synthetic sites:

    >>> from dataclasses import replace
    >>> import brainct
    >>> from brainct.schemes.fedavg import fedavg
    >>> @brainct.registered(brainct.About(paper="", family="baselines", summary="FedAvg at half the step.", when=""))
    ... def half() -> brainct.Scheme:
    ...     inner = fedavg()
    ...     def combine(memory, round, reports):
    ...         new = inner.combine(memory, round, reports)["weights"]
    ...         return {"weights": {key: (new[key] + value) / 2 for key, value in memory["weights"].items()}}
    ...     return replace(inner, combine=combine)
    >>> brainct.SCHEMES["half"] = half
    >>> network = {"architecture": "cnn", "size": 32}
    >>> plan = brainct.plan_of({"scheme": "half", "rounds": 1, "network": network}, "the example")
    >>> record = brainct.rehearse(plan, ["a", "b"], folder, log=lambda line: None)
    >>> sorted(record.record.test)
    ['a', 'b']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from brainct.core.version import VERSION

__version__ = VERSION

__all__ = [
    "SCHEMES",
    "WORKLOADS",
    "About",
    "Declined",
    "Learner",
    "Model",
    "Plan",
    "Refused",
    "Report",
    "RunRecord",
    "Scheme",
    "Task",
    "Workload",
    "plan_of",
    "read_job",
    "registered",
    "rehearse",
    "resume",
]

_HOMES = {
    "SCHEMES": "brainct.schemes.SCHEMES",
    "WORKLOADS": "brainct.job.workloads.WORKLOADS",
    "About": "brainct.core.scheme.About",
    "Declined": "brainct.errors.Declined",
    "Learner": "brainct.core.learner.Learner",
    "Model": "brainct.core.learner.Model",
    "Plan": "brainct.job.config.Plan",
    "Refused": "brainct.errors.Refused",
    "Report": "brainct.core.scheme.Report",
    "RunRecord": "brainct.run.run_record.RunRecord",
    "Scheme": "brainct.core.scheme.Scheme",
    "Task": "brainct.core.scheme.Task",
    "Workload": "brainct.core.workload.Workload",
    "plan_of": "brainct.job.config.plan_of",
    "read_job": "brainct.job.folders.read",
    "registered": "brainct.core.scheme.registered",
    "rehearse": "brainct.run.rehearse.rehearse",
    "resume": "brainct.run.rehearse.resume",
}
"""Where each name of the public face is; imported when it is first used, so that `brainct --help` needs no torch."""

if TYPE_CHECKING:
    from brainct.core.learner import Learner, Model
    from brainct.core.scheme import About, Report, Scheme, Task, registered
    from brainct.core.workload import Workload
    from brainct.errors import Declined, Refused
    from brainct.job.config import Plan, plan_of
    from brainct.job.folders import read as read_job
    from brainct.job.workloads import WORKLOADS
    from brainct.run.rehearse import rehearse, resume
    from brainct.run.run_record import RunRecord
    from brainct.schemes import SCHEMES


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module brainct has no {name}")
    module, _, own = _HOMES[name].rpartition(".")
    return getattr(import_module(module), own)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
