"""The contract: a scheme is a record of pure functions, one paper in one file, both halves.

    start  (model, sites, seed)             -> memory          what the server holds before round 0
    assign (memory, round, sites)           -> {site: Task}    who gets what
    reply  (task, learner, keep)            -> Report, keep    at the site: what it sends, what it keeps for itself
    combine(memory, round, {site: Report})  -> memory          what becomes of the replies, which come sorted by site
    model  (memory)                         -> weights         what a hospital outside the federation would be given

A scheme may ask the sites that replied once more in the same round, before `combine`:

    follow (memory, round, {site: Report})  -> {site: Task}    for sites among those that replied; by default for none

What such a site replies then is its first report's `followed`; a site whose second reply is lost has None there, and it
is for `combine` to say what becomes of the round.

State goes in, state comes out, inputs are never changed. `memory` and `client_state` are plain data (see
`core.serialization`). A report's weights may lie on disk and are gone after `combine`: a scheme that keeps them copies
them, `dict(report.weights)`.

A complete scheme, in which every site sends what it was given:

    >>> import torch
    >>> from brainct.core.learner import Model
    >>> def echo() -> Scheme:
    ...     return Scheme(
    ...         start=lambda model, sites, seed: {"weights": model.weights},
    ...         assign=lambda memory, round, sites: {site: Task(memory["weights"]) for site in sites},
    ...         reply=lambda task, learner, keep: (Report(task.weights, examples=1), keep),
    ...         combine=lambda memory, round, reports: {"weights": next(iter(reports.values())).weights},
    ...         model=lambda memory: memory["weights"],
    ...     )
    >>> scheme = echo()
    >>> memory = scheme.start(Model({"w": torch.ones(2)}), ["a", "b"], 0)
    >>> tasks = scheme.assign(memory, 0, ["a", "b"])
    >>> reports = {site: scheme.reply(task, None, {})[0] for site, task in tasks.items()}
    >>> scheme.model(scheme.combine(memory, 0, reports))["w"]
    tensor([1., 1.])
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec

from brainct.core.learner import Learner, Model
from brainct.core.weights import Weights
from brainct.errors import Refused

Memory = Mapping[str, Any]
ClientState = Mapping[str, Any]
P = ParamSpec("P")


@dataclass(frozen=True)
class Task:
    """What the server asks of one site in one round.

    weights: the model, or the part of it, that the site starts from. extra: plain data that the scheme adds.
    """

    weights: Weights
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a site sends back.

    weights: as `Scheme.expects` says, by default like the task's. examples: training scans behind it, >= 1.
    metrics: numbers for the record, such as the training loss. extra: plain data that the scheme adds.
    followed: the site's reply in the same round's follow-up exchange, where there was one and it came.
    """

    weights: Weights
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    followed: "Report | None" = None


def alike(task: Task, report: Report) -> float:
    """A report's share where all have the same, and where reports are sums already."""
    return 1.0


def majority(asked: int) -> int:
    """More than half of the sites that were asked."""
    return asked // 2 + 1


def every(asked: int) -> int:
    """All sites that were asked."""
    return asked


@dataclass(frozen=True)
class Scheme:
    """One aggregation scheme, closed over its hyper-parameters; see the module for the five functions.

    quorum: of how many sites asked, the least number of replies that may close a round.
    expects: what a report's weights must look like (keys, shapes, dtypes), given its task and the report itself; by
    default like the task's. use: the model that a site would use itself, given the delivered one; by default that one.
    see: the learner with which a site asks that model, given the same; by default its own; `use` gets this learner too.
    extra: what a model needs beside its weights, as plain data that JSON can hold: it comes in the `extra` of the task
    in which a model is delivered, and in the metadata of model.safetensors, and the model's hash covers it; by default
    nothing. public: whether sites need the public set, which the server then finds to be the same at all of them.
    coefficient: a_k > 0 of a report, given its task, where `combine` depends on the reports' weights w_k through
    sum_k a_k w_k alone: what secure aggregation sums. None, the default, where it needs more than that; `registered`
    sees to it that it is None if the scheme's row says so. sealed: whether nobody but the site sees the weights that
    it sends. fits: a site's local trainings in one round, and tunes: those whenever it evaluates, each as the passes
    asked of Learner.fit, None for the job's; what private training costs follows from them. label_epsilon: where sites
    send labels, the epsilon of each of them, infinity where they go as they are; None where they send none. fixed:
    whether, beyond `sealed`, all sums of a run are over the same sites, so that no difference of two sums
    is a single site's. needs: what a workload must offer (see core.workload). follow: see the module;
    its replies are checked as all others are, by `expects` too.
    name, arguments: set by `registered`; plain data that a record states and a site rebuilds the scheme from.
    """

    start: Callable[[Model, Sequence[str], int], Memory]
    assign: Callable[[Memory, int, Sequence[str]], Mapping[str, Task]]
    reply: Callable[[Task, Learner, ClientState], tuple[Report, ClientState]]
    combine: Callable[[Memory, int, Mapping[str, Report]], Memory]
    model: Callable[[Memory], Weights]
    quorum: Callable[[int], int] = majority
    expects: Callable[[Task, Report], Weights] = lambda task, report: task.weights
    use: Callable[[Task, Learner, ClientState], Weights] = lambda task, learner, client_state: task.weights
    see: Callable[[Task, Learner, ClientState], Learner] = lambda task, learner, client_state: learner
    extra: Callable[[Memory], Mapping[str, Any]] = lambda memory: {}
    public: bool = False
    coefficient: Callable[[Task, Report], float] | None = None
    sealed: bool = False
    fits: tuple[int | None, ...] = (None,)
    tunes: tuple[int, ...] = ()
    label_epsilon: float | None = None
    fixed: bool = False
    needs: frozenset[str] = frozenset()
    follow: Callable[[Memory, int, Mapping[str, Report]], Mapping[str, Task]] = lambda memory, round, reports: {}
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


def followed(
    scheme: Scheme,
    memory: Memory,
    round: int,
    reports: Mapping[str, Report],
    ask: Callable[[str, Task], Report | None],
) -> dict[str, Report]:
    """The reports after the scheme's follow-up exchange; ask: brings a site its task, None where its reply is lost."""
    tasks = scheme.follow(memory, round, reports)
    second = {site: ask(site, task) for site, task in sorted(tasks.items())}
    return {site: replace(report, followed=second.get(site)) for site, report in reports.items()}


@dataclass(frozen=True)
class About:
    """A scheme's row in docs/schemes.md, beside what can be read off the code. Each scheme's module has it in ABOUT.

    sends: what travels in a round, with P for the bytes of the model and m for the sites asked. keeps: at a site.
    lost: what a lost site costs. privacy: who sees what.
    no_secure_aggregation: why the replies can't be added up before anyone sees them; empty where their sum is enough.
    no_noise: why a site can't clip and noise what it sends; empty where that is an update of its task's weights, and
    nothing else in it follows from scans but counts. no_private_training: why a site can't train with DP-SGD; empty
    where its training scans are read by `Learner.fit` alone. All are clauses that a clinician understands.
    """

    paper: str
    family: str
    sends: str
    keeps: str
    lost: str
    use: str
    privacy: str
    no_secure_aggregation: str
    no_noise: str
    no_private_training: str = ""


def registered(make: Callable[P, Scheme]) -> Callable[P, Scheme]:
    """Have a factory's schemes carry their name and full arguments, and refuse arguments that it does not take."""
    signature = inspect.signature(make)

    @functools.wraps(make)
    def named(*args: P.args, **kwargs: P.kwargs) -> Scheme:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise Refused(f"scheme {make.__name__}: {error}; it takes {', '.join(signature.parameters)}") from None
        bound.apply_defaults()
        arguments = {key: _plain(value) for key, value in bound.arguments.items()}
        scheme = make(*args, **kwargs)
        coefficient = scheme.coefficient if _is_summable(make) else None
        return replace(scheme, name=make.__name__, arguments=arguments, coefficient=coefficient)

    return named


def _is_summable(make: Callable[P, Scheme]) -> bool:
    """Whether the row of the scheme, in its module's ABOUT, has no reason against secure aggregation."""
    rows: Mapping[str, About] = getattr(sys.modules[make.__module__], "ABOUT", {})
    return make.__name__ in rows and not rows[make.__name__].no_secure_aggregation


def _plain(value: Any) -> Any:
    """A scheme within a scheme as a job states it; a tuple as JSON has it."""
    if isinstance(value, tuple):
        return list(value)
    return {"scheme": value.name, "arguments": value.arguments} if isinstance(value, Scheme) else value


def names_in(scheme: str, arguments: Mapping[str, Any]) -> list[str]:
    """The names of a scheme, as a job states it, and of those within it, from the outside in."""
    within = [value for value in arguments.values() if isinstance(value, Mapping) and "scheme" in value]
    return [scheme, *(name for one in within for name in names_in(one["scheme"], one.get("arguments", {})))]
