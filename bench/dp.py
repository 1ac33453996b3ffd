"""What private training costs beside noised updates at equal epsilon: AUROC on held-out scans, and seconds a step.

    python bench/dp.py --data phantom --seeds 10 --epsilon 2 10 50 --out dp.jsonl
    BRAINCT_HEAD_CT=folder/with/labels.csv python bench/dp.py --data head_ct --seeds 10 --out dp.jsonl
    python bench/dp.py --step

FedAvg over four sites. `training`: DP-SGD at each site, q --sampling, clip --clip; `update`: each update of a round
clipped at --update-clip and noised. Noise is set so that all rounds of a site give away just epsilon at delta 1e-5, one
patient exchanged for another (which for `update` covers all patients at once). Each seed draws the scans anew.
Appends one line a run as JSON to --out, and prints the table of all that it holds.
"""

import argparse
import functools
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq

from brainct.core.determinism import one_thread
from brainct.core.names import site_names
from brainct.core.privacy_event import Event
from brainct.ct.dataset import open_sites
from brainct.ct.learner import learner_of
from brainct.ct.model import model_of, network_of
from brainct.ct.site_config import read_site_file
from brainct.job.config import Plan, plan_of
from brainct.security.accounting import epsilon
from brainct.security.credentials import offline
from brainct.security.policy import Policy, a_round, policy_of, release
from brainct.security.private_training import private_training
from brainct.training.data import Dataset, Fold

DELTA = 1e-5
SITES = site_names(4)
TEMPLATE = Path(__file__).parent.parent / "poc" / "sites" / "head_ct.yaml"


@functools.lru_cache(maxsize=1)
def opened(data: str, seed: int, scans: int, size: int, difficulty: float) -> dict[str, Dataset]:
    """Each site's scans: half of the phantom's for training, or 20 pictures of head CT and the others to test on."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.yaml"
        if data == "phantom":
            drawn = f"kind: phantom\nphantom: {{scans: {scans}, seed: {seed}, difficulty: {difficulty}}}\n"
            file.write_text(drawn + "split: {train: 0.5, valid: 0, test: 0.5}\n")
        else:
            changed = TEMPLATE.read_text().replace("seed: 0", f"seed: {seed}").replace("scans: 16", "scans: 20")
            file.write_text(changed)
        return open_sites(read_site_file(file), SITES, size)


def planned(seed: int, choices: argparse.Namespace) -> Plan:
    """The same plan for all. Private training samples its batches; batch_size is how many scans it holds at a time."""
    network = {"architecture": "cnn", "size": choices.size, "options": {"widths": choices.widths}}
    fit = {
        "optimizer": "adamw",
        "rate": choices.rate,
        "steps": choices.steps,
        "augment": None,
        "batch_size": choices.batch,
    }
    whole = {"rounds": choices.rounds, "seed": seed, "network": network, "fit": fit, "evaluate_every": 0}
    return plan_of({"scheme": "fedavg", **whole}, "the benchmark")


def calibrated(wanted: float, events: Callable[[float], Sequence[Event]]) -> float:
    """The least noise with which these events give away no more than this epsilon."""
    found = brentq(lambda power: math.log(epsilon(events(math.exp(power)), DELTA) / wanted), -4, 9, xtol=1e-4)
    return math.exp(found + 1e-3)


def policy_for(what: str, wanted: float, plan: Plan, choices: argparse.Namespace) -> Policy:
    """The policy whose rounds give away this epsilon."""

    def with_noise(noise: float) -> Policy:
        terms = {"clip": choices.clip, "noise": noise, "sampling": choices.sampling}
        update = {"clip": choices.update_clip, "noise": noise}
        return policy_of({"training": terms} if what == "training" else update if what == "update" else {})

    if what == "none":
        return with_noise(1.0)
    return with_noise(calibrated(wanted, lambda noise: a_round(with_noise(noise), plan) * plan.rounds))


def federated(plan: Plan, scans: dict[str, Dataset], policy: Policy) -> tuple[float, list[Event]]:
    """The mean over the sites of the test AUROC of `any` after a run, and what the first site was charged."""
    scheme, network, charged = plan.build(), network_of(plan.network, plan.seed), []
    memory = scheme.start(model_of(plan.network, plan.seed, plan.rounds), SITES, plan.seed)
    for number in range(plan.rounds):
        reports = {}
        for site, task in sorted(scheme.assign(memory, number, SITES).items()):
            pay = charged.append if site == SITES[0] else lambda event: None
            own = private_training(policy, site.encode, lambda _, event, pay=pay: pay(event))
            learner = learner_of(plan, scans[site], offline(plan, site, number, private=own), network)
            report, _ = scheme.reply(task, learner, {})
            if policy.noise:
                charged += a_round(policy, plan) if site == SITES[0] else []
                noised = release(policy, task.weights, report.weights, f"{site} {number} {plan.seed}".encode())
                report = type(report)(noised, report.examples)
            reports[site] = report
        memory = scheme.combine(memory, number, reports)
    scores = [
        learner_of(plan, scans[site], offline(plan, site, plan.rounds), network).evaluate(scheme.model(memory))
        for site in SITES
    ]
    return float(np.mean([found["any"]["auroc"] for found in scores])), charged


def run(data: str, what: str, wanted: float, seed: int, choices: argparse.Namespace) -> dict[str, Any]:
    plan = planned(seed, choices)
    policy = policy_for(what, wanted, plan, choices)
    scans = opened(data, seed, choices.scans, choices.size, choices.difficulty)
    began = time.monotonic()
    auroc, charged = federated(plan, scans, policy)
    noise = policy.training.noise if policy.training else policy.noise
    said = {"data": data, "what": what, "epsilon": wanted, "seed": seed, "noise": round(noise, 4)}
    spent = round(epsilon(charged, DELTA), 4)
    return {**said, "spent": spent, "auroc": round(auroc, 4), "seconds": round(time.monotonic() - began, 1)}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| scans | what | epsilon | noise | AUROC | sd | least to most | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((row["data"], row["what"], row["epsilon"], row["noise"]) for row in rows):
        own = [row["auroc"] for row in rows if (row["data"], row["what"], row["epsilon"], row["noise"]) == key]
        spread = np.std(own, ddof=1) if len(own) > 1 else 0.0
        start = "| " + " | ".join(str(part) for part in key)
        lines.append(f"{start} | {np.mean(own):.3f} | {spread:.3f} | {min(own):.3f} to {max(own):.3f} | {len(own)} |")
    return "\n".join(lines)


def seconds_a_step(repeats: int, steps: int) -> None:
    """Plain steps and private ones of the same learner in turn: densenet-small, 96 pixels, batches of 8."""
    fit = {"batch_size": 8, "augment": None, "steps": steps}
    plan = plan_of({"scheme": "fedavg", "network": {"architecture": "densenet-small"}, "fit": fit}, "the benchmark")
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((64, 3, 96, 96), dtype=np.float32))
    labels = torch.from_numpy(rng.integers(0, 2, (64, 6)).astype(np.float32))
    scans = Dataset("random", {"train": Fold(images, labels)}, "", ())
    policy = policy_of({"training": {"clip": 1.0, "noise": 1.0, "sampling": 1 / 8}})
    weights, ratios = model_of(plan.network, plan.seed, plan.rounds).weights, []
    for number in range(repeats + 1):
        took = {}
        for what, choice in (("plain", policy_of({})), ("private", policy)):
            own = private_training(choice, lambda: b"secret", lambda digest, event: None)
            learner = learner_of(plan, scans, offline(plan, "site-1", number, private=own))
            began = time.perf_counter()
            learner.fit(weights)
            took[what] = (time.perf_counter() - began) / steps
        if number:  # the first repeat warms up
            ratios.append(took["private"] / took["plain"])
            print(json.dumps({key: round(value, 4) for key, value in took.items()} | {"ratio": round(ratios[-1], 2)}))
    print(f"private / plain, {repeats} repeats: {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", nargs="+", default=["phantom"], choices=["phantom", "head_ct"])
    parser.add_argument("--what", nargs="+", default=["none", "training", "update"])
    parser.add_argument("--epsilon", type=float, nargs="+", default=[2.0, 10.0, 50.0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--scans", type=int, default=400, help="of a site of the phantom, half of them for training")
    parser.add_argument("--difficulty", type=float, default=0.5, help="of the phantom")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10, help="local steps of a site in a round")
    parser.add_argument(
        "--batch", type=int, default=8, help="scans in a plain step; how many a private one holds at once"
    )
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--clip", type=float, default=0.5, help="of a patient's gradient; about half of its norm here")
    parser.add_argument("--update-clip", type=float, default=1.0)
    parser.add_argument("--sampling", type=float, default=0.5)
    parser.add_argument("--out", type=Path, default=Path("dp.jsonl"))
    parser.add_argument("--step", action="store_true", help="measure seconds a step and nothing else")
    choices = parser.parse_args()
    one_thread()
    if choices.step:
        return seconds_a_step(7, 10)
    for seed in range(choices.first, choices.first + choices.seeds):
        for data in choices.data:
            for what in choices.what:
                for wanted in choices.epsilon if what != "none" else [math.inf]:
                    row = json.dumps(run(data, what, wanted, seed, choices))
                    print(row, flush=True)
                    with choices.out.open("a") as file:
                        file.write(row + "\n")
    return print(table([json.loads(line) for line in choices.out.read_text().splitlines()]))


if __name__ == "__main__":
    os.environ.setdefault("BRAINCT_HEAD_CT", "")
    main()
