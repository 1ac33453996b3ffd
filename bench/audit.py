"""Do DP-SGD and noised updates keep their epsilon? A lower bound from attacks that know everything but one patient.

    python bench/audit.py --trials 1000

Two worlds: the site's training fold has a canary patient, or another patient in its place, whose gradient points the
other way (the same scan with the labels turned over). In each trial a real learner trains end to end under a secret of
its own and the attacker, who knows both folds, gets the weights. Its statistic is how far they lie along the canary's
gradient. The threshold is chosen on one half of the trials, and on the other half Clopper-Pearson's 95 % bounds of both
error rates give epsilon >= log((1 - delta - FNR) / FPR) (Jagielski et al., NeurIPS 2020; Nasr et al., S&P 2021), and
for what is stated as a Gaussian mechanism mu >= Phi^-1(1 - FPR) - Phi^-1(FNR), and so the epsilon of that mu (Nasr et
al., USENIX Security 2023). Each mechanism is tried as it is and with half of its noise left out, which must be noticed.
"""

import argparse
import functools
import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta, norm

from brainct.core.determinism import one_thread
from brainct.core.privacy_event import Event
from brainct.core.weights import Weights, difference
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of, network_of
from brainct.job.config import Plan, plan_of
from brainct.security.accounting import epsilon
from brainct.security.credentials import offline
from brainct.security.policy import a_round, policy_of, release, update
from brainct.security.private_training import private_training
from brainct.training.data import Dataset, Fold

DELTAS = (1e-5, 1e-2)
"""At the first a site states its epsilon; at the second, which the same noise keeps at a smaller epsilon, 2,000 trials
have the power to find half of the noise missing."""
Floats = NDArray[np.float64]
Trial = Callable[[Dataset, bytes], Weights]


def planned(steps: int, rate: float) -> Plan:
    network = {"architecture": "cnn", "size": 16, "options": {"widths": [8]}}
    fit = {"optimizer": "sgd", "rate": rate, "steps": steps, "augment": None, "batch_size": 64}
    return plan_of({"scheme": "fedavg", "network": network, "fit": fit, "evaluate_every": 0}, "the audit")


def worlds(others: int) -> tuple[Dataset, Dataset]:
    """A site with the canary, and with the patient in its place; others have no labels, so they add nothing.

    That is what the attacker could bring about at best, since it knows their gradients and could take them away.
    """
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((others + 1, 3, 16, 16), dtype=np.float32))
    labels = torch.full((others + 1, 6), torch.nan)
    labels[0, 5] = 1.0  # of one finding alone, so that its gradient turned over is just the opposite
    turned = torch.where(torch.arange(others + 1)[:, None] == 0, 1 - labels, labels)
    return tuple(Dataset("audit", {"train": Fold(images, own)}, "", ()) for own in (labels, turned))


def along(moved: Weights, direction: Weights) -> float:
    return float(sum((moved[key] * direction[key]).sum() for key in sorted(direction)))


def direction_of(plan: Plan, scans: Dataset) -> Weights:
    """The way on which the canary's gradient moves the first weights."""
    found = learner_of(plan, scans, offline(plan, "site-1", 0)).gradient(
        model_of(plan.network, plan.seed, plan.rounds).weights
    )
    length = math.sqrt(sum(float(value.square().sum()) for value in found.weights.values()))
    return {key: -value.double() / length for key, value in found.weights.items()}


def trained(plan: Plan, terms: dict[str, float], share: float) -> Trial:
    """A training by DP-SGD; share: of the noise that is stated, how much there is."""
    policy = policy_of({"training": {**terms, "noise": terms["noise"] * share}})
    network = network_of(plan.network, plan.seed)

    def trial(scans: Dataset, secret: bytes) -> Weights:
        private = private_training(policy, lambda: secret, lambda digest, event: None)
        return (
            learner_of(plan, scans, offline(plan, "site-1", 0, private=private), network)
            .fit(model_of(plan.network, plan.seed, plan.rounds).weights)
            .weights
        )

    return trial


def updated(plan: Plan, terms: dict[str, float], share: float) -> Trial:
    """A plain training whose update is clipped and noised; share: as in `trained`."""
    policy, network = policy_of({**terms, "noise": terms["noise"] * share}), network_of(plan.network, plan.seed)
    given, known = model_of(plan.network, plan.seed, plan.rounds).weights, {}

    def trial(scans: Dataset, secret: bytes) -> Weights:
        if id(scans) not in known:  # follows from the seed alone, so once is as good as each time
            known[id(scans)] = learner_of(plan, scans, offline(plan, "site-1", 0), network).fit(given).weights
        return release(policy, given, known[id(scans)], secret)

    return trial


def statistics(plan: Plan, trial: Trial, trials: int) -> tuple[Floats, Floats]:
    """The attacker's statistic in each trial, with the canary and without."""
    both, given = worlds(others=1), model_of(plan.network, plan.seed, plan.rounds).weights
    way = direction_of(plan, both[0])
    found = [
        [along(difference(trial(scans, f"{name} {at}".encode()), given), way) for at in range(trials)]
        for name, scans in zip("01", both, strict=True)
    ]
    return np.array(found[0]), np.array(found[1])


def error_bounds(one: Floats, other: Floats, threshold: float, confidence: float = 0.95) -> tuple[float, float]:
    """The greatest false alarm and miss rates that the trials allow, where what lies above the threshold is an alarm.

    Clopper, Pearson: each with half of what the confidence leaves.
    """

    def most(count: int, of: int) -> float:
        return float(beta.ppf(0.5 + confidence / 2, count + 1, of - count)) if count < of else 1.0

    return most(int((other > threshold).sum()), len(other)), most(int((one <= threshold).sum()), len(one))


def proven(inside: Floats, outside: Floats, value: Callable[[float, float], float]) -> float:
    """What the trials prove: the threshold, and which world it is to tell, from the even ones, the value from the odd.

    inside, outside: the statistic with the canary and without; larger speaks for it. value: of both error rates.
    """
    sides = [(inside, outside), (-outside, -inside)]
    found = [
        (value(*error_bounds(a[::2], b[::2], cut)), at, float(cut))
        for at, (a, b) in enumerate(sides)
        for cut in np.quantile(np.concatenate([a[::2], b[::2]]), np.linspace(0.002, 0.998, 250))
    ]
    _, side, cut = max(found)
    one, other = sides[side]
    return max(0.0, value(*error_bounds(one[1::2], other[1::2], cut)))


def least_epsilon(alarms: float, misses: float, delta: float) -> float:
    """No mechanism of a smaller epsilon at this delta could be told with so few errors."""
    return math.log((1 - delta - misses) / alarms) if misses < 1 - delta else 0.0


def least_mu(alarms: float, misses: float) -> float:
    """No Gaussian mechanism of a smaller mu could be told with so few errors (Dong, Roth, Su)."""
    return float(norm.isf(alarms) - norm.ppf(misses))


TERMS: dict[str, dict[str, float]] = {
    "training": {"clip": 1e-3, "noise": 8**0.5, "sampling": 1.0},
    "training, sampled": {"clip": 1e-3, "noise": 2.0, "sampling": 0.5},
    "update": {"clip": 1e-4, "noise": 2.0},
}


def audited(name: str, trials: int, share: float) -> dict[str, Any]:
    """One mechanism at the stated noise, tried with this share of it."""
    terms, plan = TERMS[name], planned(steps=2, rate=1e-3 if name == "update" else 1.0)
    if name == "update":
        trial, events = updated(plan, terms, share), [update(policy_of(terms))]
    else:
        trial, events = trained(plan, terms, share), a_round(policy_of({"training": terms}), plan)
    began = time.monotonic()
    inside, outside = statistics(plan, trial, trials)
    row = {"mechanism": name, **terms, "noise present": share, "trials": 2 * trials}
    for delta in DELTAS:
        bound, stated = proven(inside, outside, functools.partial(least_epsilon, delta=delta)), epsilon(events, delta)
        row[f"delta {delta:g}"] = said(bound, stated)
    if name != "training, sampled":  # sums without sampling are Gaussian mechanisms, of which more can be proven
        mu = proven(inside, outside, least_mu)
        row["as a Gaussian mechanism"] = said(epsilon([Event("update", mu=mu)], DELTAS[0]), epsilon(events, DELTAS[0]))
    return {**row, "seconds": round(time.monotonic() - began, 1)}


def said(bound: float, stated: float) -> dict[str, float]:
    return {"lower bound": round(bound, 3), "stated": round(stated, 3), "ratio": round(bound / stated, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=1000, help="in each of the two worlds")
    parser.add_argument("--mechanisms", nargs="+", default=list(TERMS))
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.5], help="of the stated noise")
    choices = parser.parse_args()
    one_thread()
    for name in choices.mechanisms:
        for share in choices.shares:
            print(json.dumps(audited(name, choices.trials, share)), flush=True)


if __name__ == "__main__":
    main()
