"""SWA, stochastic weight averaging at the server, around any scheme: the mean of the models of the last rounds.

Izmailov, Podoprikhin, Garipov, Vetrov, Wilson: Averaging Weights Leads to Wider Optima and Better Generalization, UAI
2018. Caldarola, Caputo, Ciccone: Improving Generalization in Federated Learning by Seeking Flat Minima, ECCV 2022 (at
the server, from three quarters of the rounds on).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainct.core import weights as w
from brainct.core.arguments import Count, CountOrZero
from brainct.core.learner import Model
from brainct.core.scheme import About, Inner, Memory, Report, Scheme, Task, names_in, registered
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    needs_all_rounds="its mean is over the run's last rounds",
    paper="Izmailov et al., UAI 2018; Caldarola, Caputo, Ciccone, ECCV 2022",
    family="wrappers",
    summary="The delivered model is the mean of the inner scheme's models after the last rounds.",
    when="the model oscillates from round to round at the end, as with a constant rate, FedExP or a server optimiser",
    sends="as the inner scheme",
    client_state="as the inner scheme",
    lost_site="as the inner scheme",
    privacy="as the inner scheme: the server averages models that it has",
)
FEDAVG = fedavg()


@registered(ABOUT)
def swa(inner: Inner = FEDAVG, begin: CountOrZero | None = None, every: Count = 1) -> Scheme:
    """The inner scheme unchanged; the delivered model is the mean of its models after rounds begin, begin + every, ...

    inner: the scheme that trains; in a job {"scheme": NAME, "arguments": {...}}.
    begin: the first round, from 0, whose model counts, >= 0 and before the run's last; null for three quarters of its
    rounds.
    every: c, rounds between two models that count, >= 1.

    Sites continue to train from the inner scheme's model, never from the mean. Peak memory: the inner scheme's and 2
    models.
    """
    if "fedma" in names_in(inner.name, inner.arguments):
        raise Refused(
            "swa: inner is fedma or contains it; its layers grow and reorder units between rounds, so no mean exists"
        )

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        if begin is not None and 0 < model.rounds <= begin:
            raise Refused(f"swa: begin is {begin}, but the run has {model.rounds} rounds, from 0; wanted one of them")
        first = 3 * model.rounds // 4 if begin is None else begin
        return {"inner": inner.start(model, sites, seed), "begin": first, "average": {}, "count": 0}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        return inner.assign(memory["inner"], round, sites)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        within, count, first = inner.combine(memory["inner"], round, reports), memory["count"], memory["begin"]
        if round < first or (round - first) % every:
            return {**memory, "inner": within}
        so_far = [(float(count), memory["average"])] if count else []
        return {**memory, "inner": within, "average": w.mean([*so_far, (1.0, inner.model(within))]), "count": count + 1}

    def model(memory: Memory) -> w.Weights:
        average: w.Weights = memory["average"] or inner.model(memory["inner"])
        return average

    def follow(memory: Memory, round: int, reports: Mapping[str, Report]) -> Mapping[str, Task]:
        return inner.follow(memory["inner"], round, reports)

    def extra(memory: Memory) -> Mapping[str, Any]:
        return inner.extra(memory["inner"])

    return replace(inner, start=start, assign=assign, combine=combine, model=model, extra=extra, follow=follow)
