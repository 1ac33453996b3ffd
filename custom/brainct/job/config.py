"""A run's choices, as a job folder states them: read once, checked once, the same on all four backends."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from brainct.core import serialization
from brainct.core.scheme import Scheme, as_delivered, names_in
from brainct.core.sentences import sentences
from brainct.core.workload import Workload
from brainct.errors import Refused
from brainct.job.workloads import workload_named
from brainct.schemes import about, build
from brainct.training.config import Choices, Fit

LONGEST = 10**7
"""Seconds that a round may wait: a third of a year."""
LATER = ("selection", "roll_call", "start_from", "cross_site")
"""Choices that came later, and are left out of a plan while they are off."""


class Selection(Choices):
    """Whose round's model is the best, by the mean of a validation score over the sites, and whether a run ends early.

    score: a headline of the workload; null for its first. patience: evaluations in which the score does not rise, after
    which the run ends; null for never. gain: by how much a better score must be better. keep_best: write the model of
    the best round, best.safetensors, next to the last one.
    """

    score: str | None = None
    patience: int | None = Field(None, ge=1, le=10**6)
    gain: float = Field(0.0, ge=0, le=10**6)
    keep_best: bool = True


class StartFrom(Choices):
    """The model before round 0 in place of the seeded weights; in a job, a name alone stands for all of it.

    name: of a start model of the package; empty for start.safetensors next to the job's configuration. sha256: 64 hex
    digits of the model, see run.model_file.model_sha256. source: in words, where it comes from.
    """

    name: str = Field("", max_length=80)
    sha256: str = Field("", pattern="^([0-9a-f]{64})?$")
    source: str = Field("", max_length=300)


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class RollCall(Choices):
    """How many sites must answer the roll call, and how long it waits; without it every site must.

    quorum: least number of sites with which the run begins. wait: seconds after which it begins without the others.
    Those are asked again in each round, and take part from the round after the one in which they answer.
    """

    quorum: int = Field(ge=1, le=10**6)
    wait: float = Field(120.0, gt=0, le=LONGEST)


class Plan(Choices):
    """Everything that a run is made from, except the sites and their data; `plan_of` adds the workload's own choices.

    workload: the kind of data and models, a key of job.workloads. rounds: T. seed: all randomness follows from it and
    the sites' names. evaluate_every: rounds between evaluations of the global model on the sites' validation folds, 0
    for none; the test folds are evaluated once, at the end. quorum: least number of replies that closes a round; null
    leaves it to the scheme, and a round that asks one site of several may then close empty. deadline: seconds after
    which a round closes with the replies that came. grace: seconds that it waits at most for stragglers once the quorum
    is met, less for sites that are known to be quick: see run.inbox.Inbox. selection: null for no choice among rounds.
    start_from: the start model; null for weights that follow from the seed.
    roll_call: null if every site must answer it. cross_site: whether, at the end, every site's test fold is scored with
    the model that each site sent last.
    """

    scheme: str
    arguments: dict[str, Any] = {}
    workload: str = "ct"
    rounds: int = Field(30, ge=1, le=10**6)
    seed: int = Field(1, ge=0, lt=2**64)
    evaluate_every: int = Field(5, ge=0, le=10**6)
    quorum: int | None = Field(None, ge=1, le=10**6)
    deadline: float = Field(600.0, gt=0, le=LONGEST)
    grace: float = Field(60.0, ge=0, le=LONGEST)
    selection: Selection | None = None
    start_from: Annotated[StartFrom | None, BeforeValidator(_named)] = None
    roll_call: RollCall | None = None
    cross_site: bool = False

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # from all choices follow a job's digest and with it noise: those that came later are no choice while off
        found: dict[str, Any] = handler(self)
        return {key: value for key, value in found.items() if key not in LATER or value}

    def __reduce__(self) -> tuple[Any, ...]:
        # the class is made for the workload when a plan is read, so that pickle could not find it by name
        return _unpickled, (self.workload, self.__getstate__())

    def build(self) -> Scheme:
        """The scheme that the plan names."""
        return build(self.scheme, self.arguments)

    @property
    def kind(self) -> Workload:
        """The workload that the plan names; its methods take this plan as the choices."""
        return workload_named(self.workload)

    @property
    def training(self) -> Fit | None:
        """How sites train in a round; None where the workload trains in no steps of an optimiser."""
        found = getattr(self, "fit", None)
        return found if isinstance(found, Fit) else None

    def quorum_of(self, scheme: Scheme, asked: int, sites: int) -> int:
        """Least number of replies that may close a round in which so many of the federation's sites are asked."""
        if self.quorum is not None:
            return min(self.quorum, asked)
        return 0 if asked == 1 < sites else scheme.quorum(asked)

    def check_sites(self, sites: int) -> None:
        """Refuse a quorum that these sites could never reach."""
        if self.quorum is not None and self.quorum > sites:
            raise Refused(f"quorum is {self.quorum}, but the federation has {sites} sites; lower it or add sites")
        if self.roll_call is not None and self.roll_call.quorum > sites:
            raise Refused(
                f"roll_call.quorum is {self.roll_call.quorum}, but the federation has {sites} sites; lower it or wait "
                "for more sites"
            )


def plan_of(choices: Mapping[str, Any], whose: str) -> Plan:
    """A checked plan with the scheme's arguments in full; one error, which `whose` starts, names every wrong choice."""
    try:
        plan = _class_of(choices.get("workload", "ct")).model_validate(dict(choices))
        scheme = plan.build()
        _check_offered(scheme, plan.kind)
        _check_selection(plan, scheme)
        _check_cross_site(plan, scheme)
        plan = plan.model_copy(update={"arguments": dict(scheme.arguments), "start_from": _start(plan)})
        serialization.size(plan.model_dump())
        return plan
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None
    except Refused as error:
        raise Refused(f"{whose}: {error}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Refused(f"{whose}: holds what no choice can be ({type(error).__name__}); render the job anew") from None


def _class_of(workload: Any) -> type[Plan]:
    """Plan with the fields of the workload's own choices."""
    return _joined(workload_named(workload).choices)


@cache
def _joined(choices: type[Choices]) -> type[Plan]:
    return type(f"{choices.__name__}Plan", (Plan, choices), {"__doc__": Plan.__doc__, "__module__": __name__})


def _unpickled(workload: str, state: dict[Any, Any]) -> Plan:
    found = _class_of(workload).__new__(_class_of(workload))
    found.__setstate__(state)
    return found


def _check_offered(scheme: Scheme, workload: Workload) -> None:
    """Refuse a scheme that needs something which the workload lacks."""
    if lacking := sorted(scheme.needs - workload.offers):
        raise Refused(
            f"scheme {scheme.name} needs {', '.join(lacking)}, which workload {workload.name} does not offer; "
            "choose another scheme"
        )


def _check_selection(plan: Plan, scheme: Scheme) -> None:
    """Refuse a selection that this scheme, workload or rhythm of evaluations can't serve."""
    chosen = plan.selection
    if chosen is None:
        return
    if not plan.evaluate_every:
        raise Refused("selection needs validation scores, and evaluate_every is 0; set it to a number of rounds")
    if chosen.score is not None and chosen.score not in plan.kind.headlines:
        known = ", ".join(plan.kind.headlines)
        raise Refused(
            f"selection.score is {chosen.score!r:.80}, which {plan.workload} does not have; known are {known}"
        )
    names = names_in(scheme.name, scheme.arguments)
    reasons = {name: about(name).needs_all_rounds for name in names if about(name).needs_all_rounds}
    if chosen.patience is not None and reasons:
        name, reason = next(iter(reasons.items()))
        raise Refused(f"selection.patience: a run of {name} can't end early, because {reason}; leave patience out")
    if chosen.keep_best and uses_own_models(scheme):
        raise Refused(
            f"selection.keep_best: with {scheme.name} each site scores a model of its own, of which the server has no "
            "copy; set keep_best to false"
        )


def _check_cross_site(plan: Plan, scheme: Scheme) -> None:
    """Refuse to cross models that the server never has."""
    if plan.cross_site and scheme.sent_model is None:
        raise Refused(
            f"cross_site: with {scheme.name} no site's whole model reaches the server, so none can be scored at other "
            "sites; leave cross_site out (of a rehearsal, `brainct cross RUN` scores the models that sites use)"
        )


def _start(plan: Plan) -> StartFrom | None:
    """The start model with its SHA-256, which a name has from the package; refused where there is none such."""
    chosen = plan.start_from
    if chosen is None:
        return None
    if "network" not in plan.kind.offers:
        raise Refused(f"start_from: workload {plan.workload} has no network that a start model could be of; remove it")
    if not chosen.name:
        if not chosen.sha256:
            raise Refused("start_from: wanted a start model's name, or the sha256 of start.safetensors in the job")
        return chosen
    if chosen.name not in plan.kind.start_models:
        known = ", ".join(sorted(plan.kind.start_models)) or "none"
        raise Refused(
            f"start_from: {chosen.name!r:.80} is no start model of {plan.workload}, known are {known}; "
            "`brainct jobs start-from` writes a job that starts from a file"
        )
    known_as = plan.kind.start_models[chosen.name]
    return StartFrom(name=chosen.name, sha256=chosen.sha256 or known_as.sha256, source=known_as.source)


def uses_own_models(scheme: Scheme) -> bool:
    """Whether sites evaluate another model than the delivered one; a wrapper's sites do what those within it do."""
    within = [value for value in scheme.arguments.values() if isinstance(value, Mapping) and "scheme" in value]
    if within:
        return any(uses_own_models(build(one["scheme"], one.get("arguments", {}))) for one in within)
    return scheme.personalise is not as_delivered
