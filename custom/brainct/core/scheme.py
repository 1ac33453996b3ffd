"""The contract: a scheme is a record of pure functions, one paper in one file, both halves.

    start  (model, sites, seed)                 -> memory                 what the server holds before round 0
    assign (memory, round, sites)               -> {site: Task}           the tasks of a round, by site
    reply  (task, learner, client_state)        -> Report, client_state   at the site: its report and its new state
    combine(memory, round, {site: Report})      -> memory                 the memory after the replies, sorted by site
    model  (memory)                             -> weights                the delivered model, as for a held-out site

A scheme may ask sites that replied a second time in the same round, before `combine`:

    follow (memory, round, {site: Report})      -> {site: Task}           for some of those sites; by default for none

The reply is the `followed` of that site's first report, or None if it is lost; `combine` decides what that means for
the round.

State goes in, state comes out, inputs are never changed. `memory` and `client_state` are plain data (see
`core.serialization`). A report's weights may be on disk and are gone after `combine`: a scheme that keeps them copies
them, `dict(report.weights)`.

A complete scheme, in which every site sends its task's weights back:

    >>> import torch
    >>> from brainct.core.learner import Model
    >>> def echo() -> Scheme:
    ...     return Scheme(
    ...         start=lambda model, sites, seed: {"weights": model.weights},
    ...         assign=lambda memory, round, sites: {site: Task(memory["weights"]) for site in sites},
    ...         reply=lambda task, learner, state: (Report(task.weights, examples=1), state),
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Generic, Literal, ParamSpec

from pydantic import InstanceOf, WithJsonSchema

from brainct.core.arguments import WANTED, check_arguments, schema_of
from brainct.core.learner import Learner, Model
from brainct.core.weights import Weights
from brainct.errors import Refused

Memory = Mapping[str, Any]
ClientState = Mapping[str, Any]
Capability = Literal["secure_aggregation", "update_noise", "private_training"]
"""What a site's policy may demand of a scheme: that nobody sees a single site's update; that a site clips its update
and adds noise before it leaves; that it trains with DP-SGD."""
Need = Literal["network", "images", "samples", "labels", "public", "columns"]
"""What a scheme may need of a workload: a layered torch model with named parts; channels whose brightness can be
normalised; raw inputs of a fold, for models that are no network; a 0/1 label for each output; a public set; inputs
whose columns are variables of a causal graph."""
P = ParamSpec("P")


@dataclass(frozen=True)
class Task:
    """What the server asks of one site in one round.

    weights: the model, or the part of it, from which the site starts. extra: plain data of the scheme.
    """

    weights: Weights
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a site sends back.

    weights: as `Scheme.expects` states, by default like the task's. examples: the training samples behind it, >= 1.
    metrics: numbers for the record, such as the training loss. extra: plain data of the scheme.
    followed: the site's reply in the follow-up exchange of the round, if there was one and it arrived.
    """

    weights: Weights
    examples: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    followed: "Report | None" = None


def majority(asked: int) -> int:
    """More than half of the sites that were asked."""
    return asked // 2 + 1


def every(asked: int) -> int:
    """All sites that were asked."""
    return asked


def as_delivered(task: Task, learner: Learner, client_state: ClientState) -> Weights:
    """The delivered model, which a site uses unless the scheme personalises it."""
    return task.weights


@dataclass(frozen=True)
class Scheme:
    """One aggregation scheme, closed over its hyper-parameters; the module describes its functions.

    quorum: the least number of replies that may close a round, given how many sites were asked.
    expects: the keys, shapes and dtypes of a report's weights, given its task and the report; by default the task's.
    adapt_input, personalise: the learner with which a site evaluates the delivered model, by default its own; and the
    model that the site itself uses, given the delivered one and that learner, by default the delivered.
    extra: what a model needs in addition to its weights, as JSON data. It is in the `extra` of the task that delivers a
    model and in the metadata of model.safetensors, and the model's hash covers it.
    public: whether sites need the public set; the server then checks that all sites hold the same one.
    aggregation_weight: a_k > 0 of a report, given its task, if `combine` depends on the reports' weights w_k through
    sum_k a_k w_k alone, which is what secure aggregation sums. None if it needs more than that sum.
    sent_model: the whole model that a site trained and sent, by its task and report, {} if this has none; None if sites
    send a part, a gradient, votes or sums.
    sent_gradient: where a site found the gradient that it sent, and that gradient, by the weights of its task, those of
    its report, and a model of the same shapes; None if sites send none.
    hides_updates: whether only the site itself sees the weights that it sends.
    fits: the local trainings of a site in one round, and tunes: those of an evaluation, each as the passes that
    Learner.fit is given, None for the job's own; they determine the cost of private training.
    label_epsilon: if sites send labels, the epsilon of each label, infinity without noise; else None.
    fixed_members: whether, also, all sums of a run are over the same sites: no difference of two is one site's update.
    needs: what the workload must offer. keeps_statistics: whether running statistics of BatchNorm stay at each site.
    follow: see the module; `expects` checks its replies too. name, arguments: set by `registered`; in every record.
    """

    start: Callable[[Model, Sequence[str], int], Memory]
    assign: Callable[[Memory, int, Sequence[str]], Mapping[str, Task]]
    reply: Callable[[Task, Learner, ClientState], tuple[Report, ClientState]]
    combine: Callable[[Memory, int, Mapping[str, Report]], Memory]
    model: Callable[[Memory], Weights]
    quorum: Callable[[int], int] = majority
    expects: Callable[[Task, Report], Weights] = lambda task, report: task.weights
    personalise: Callable[[Task, Learner, ClientState], Weights] = as_delivered
    adapt_input: Callable[[Task, Learner, ClientState], Learner] = lambda task, learner, client_state: learner
    extra: Callable[[Memory], Mapping[str, Any]] = lambda memory: {}
    public: bool = False
    aggregation_weight: Callable[[Task, Report], float] | None = None
    sent_model: Callable[[Task, Report], Weights] | None = None
    sent_gradient: Callable[[Weights, Weights, Weights], tuple[Weights, Weights]] | None = None
    hides_updates: bool = False
    fits: tuple[int | None, ...] = (None,)
    tunes: tuple[int, ...] = ()
    label_epsilon: float | None = None
    fixed_members: bool = False
    follow: Callable[[Memory, int, Mapping[str, Report]], Mapping[str, Task]] = lambda memory, round, reports: {}
    needs: frozenset[Need] = frozenset()
    keeps_statistics: bool = False
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


Inner = Annotated[
    InstanceOf[Scheme],
    WithJsonSchema({"type": "object", WANTED: '{"scheme": NAME, "arguments": {...}}'}),
]
"""A scheme inside a scheme, as the type of an argument."""


def followed(
    scheme: Scheme,
    memory: Memory,
    round: int,
    reports: Mapping[str, Report],
    ask: Callable[[str, Task], Report | None],
) -> dict[str, Report]:
    """The reports after the scheme's follow-up exchange. ask: sends a site its task; None if its reply is lost."""
    tasks = scheme.follow(memory, round, reports)
    second = {site: ask(site, task) for site, task in sorted(tasks.items())}
    return {site: replace(report, followed=second.get(site)) for site, report in reports.items()}


@dataclass(frozen=True)
class About:
    """What docs/schemes.md says of a scheme in addition to what follows from its code.

    family: the section of the page. summary: one plain sentence. when: completes "choose it when ...".
    sends: what travels in a round; P is the bytes of the model, m the number of sites asked.
    client_state: what stays at a site between rounds. lost_site: what a lost site costs. privacy: who sees what.
    blocks: for each capability that the scheme rules out the reason, as a clause that a clinician understands. Secure
    aggregation is possible if the server needs only a sum of what sites send; noise on updates if a site sends an
    update of its task's weights and, besides it, nothing but counts; private training if only `Learner.fit` reads the
    training scans.
    needs_all_rounds: if a run of the scheme may not end before its last round the reason, as such a clause; else empty.
    """

    paper: str
    family: str
    summary: str
    when: str
    sends: str = "P to and P from each site asked"
    client_state: str = "nothing"
    lost_site: str = "left out of the round's mean"
    privacy: str = "as `fedavg`"
    blocks: Mapping[Capability, str] = field(default_factory=dict)
    needs_all_rounds: str = ""


class Factory(Generic[P]):
    """What makes a scheme: it checks the arguments, and the scheme carries its name and its full arguments."""

    __name__: str

    def __init__(self, make: Callable[P, Scheme], about: About) -> None:
        functools.update_wrapper(self, make)
        self.make, self.about = make, about
        self._signature = inspect.signature(make)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Scheme:
        """The scheme with these arguments; Refused where one is unknown or out of its range."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            takes = ", ".join(self._signature.parameters)
            raise Refused(f"scheme {self.__name__}: {error}; it takes {takes}") from None
        bound.apply_defaults()
        check_arguments(self.make, bound.arguments)
        scheme = self.make(*args, **kwargs)
        weight = None if "secure_aggregation" in self.about.blocks else scheme.aggregation_weight
        arguments = {key: _plain(value) for key, value in bound.arguments.items()}
        return replace(scheme, name=self.__name__, arguments=arguments, aggregation_weight=weight)


def registered(about: About) -> Callable[[Callable[P, Scheme]], Factory[P]]:
    """Make a function that returns a scheme its factory; the types in its signature state the arguments' ranges."""
    return lambda make: Factory(make, about)


def arguments_schema(factory: Factory[...]) -> dict[str, Any]:
    """The JSON schema of a scheme's arguments: type, range, default and description by name."""
    return schema_of(factory.make, _plain)


def _plain(value: Any) -> Any:
    """A scheme inside a scheme as a job states it; a tuple as a list."""
    if isinstance(value, tuple):
        return list(value)
    return {"scheme": value.name, "arguments": value.arguments} if isinstance(value, Scheme) else value


def names_in(scheme: str, arguments: Mapping[str, Any]) -> list[str]:
    """The names of a scheme, as a job states it, and of the schemes inside it, from the outside in."""
    within = [value for value in arguments.values() if isinstance(value, Mapping) and "scheme" in value]
    return [scheme, *(name for one in within for name in names_in(one["scheme"], one.get("arguments", {})))]
