"""Co-training with a tree, a forest, rules and networks at the sites, on wine and breast cancer.

Abourayya et al.: Little is Enough, AAAI 2025. Claimed: a federation of different kinds of models that shares hard
labels alone comes close to pooled training and to averaging networks. Measured with the scheme `fedct` of the package
on the `table` workload: accuracy over the test samples of all sites, each answered by its own site's model; against the
same models without votes (`own: 1`), FedAvg of networks, and a network on pooled data.

    python bench/papers/fedct_mixed.py
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import fmean, stdev
from typing import Any

from common import Claim, Paper, Rows, go

from brainct.job.config import plan_of
from table import CANCER, WINE, Played

SITES = [f"site-{at}" for at in range(1, 6)]
KINDS = {"trees": ["site-2"], "forests": ["site-3"], "rules": ["site-4"]}
ROUNDS, PASSES = 4, 25
MLP = {"kind": "mlp", "hidden": [16]}
TABLES: dict[str, dict[str, Any]] = {"breast cancer": {**CANCER, "model": MLP}, "wine": {**WINE, "model": MLP}}
WAYS = ("alone", "fedct", "fedavg", "pooled")


def played(name: str, seed: int, scheme: str, rounds: int = ROUNDS, **arguments: Any) -> Played:
    fit = {"optimizer": "sgd", "rate": 0.1, "epochs": ROUNDS * PASSES // rounds}
    choices = {"scheme": scheme, "arguments": arguments, "rounds": rounds, "fit": fit, "seed": seed}
    return Played(plan_of({"workload": "table", **choices, **TABLES[name]}, name), SITES, seed)


def measured(name: str, seed: int) -> dict[str, Any]:
    votes = {"findings": TABLES[name]["outputs"], "period": 1, "warmup": 1, **KINDS}
    found = {
        "alone": played(name, seed, "fedct", 1, **{**votes, "own": 1.0, "period": None}).federated(),
        "fedct": played(name, seed, "fedct", **votes).federated(),
        "fedavg": played(name, seed, "fedavg").federated(),
        "pooled": played(name, seed, "fedavg").pooled(),
    }
    return {way: {key: round(one[key], 4) for key in ("accuracy", "auroc")} for way, one in found.items()}


def runs(seed: int) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for name in TABLES:
        yield {"table": name}, partial(measured, name, seed)


def _values(rows: Rows, name: str, way: str, what: str = "accuracy") -> list[float]:
    return [row[way][what] for row in rows if row["table"] == name]


def numbers(rows: Rows) -> dict[str, str]:
    found = {}
    for name, short in (("breast cancer", "cancer"), ("wine", "wine")):
        each = {way: _values(rows, name, way) for way in WAYS}
        found |= {f"{short}_{way}": f"{fmean(each[way]):.3f}" for way in WAYS}
        for way in ("alone", "fedavg", "pooled"):
            gaps = [one - other for one, other in zip(each["fedct"], each[way], strict=True)]
            error = stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0
            found[f"{short}_minus_{way}"] = f"{fmean(gaps):+.3f} ± {error:.3f}"
    return found


def table(rows: Rows) -> list[str]:
    lines = ["| table | | accuracy | AUROC |", "|---|---|---|---|"]
    for name in TABLES:
        for way in WAYS:
            cells = [_values(rows, name, way, what) for what in ("accuracy", "auroc")]
            both = [f"{fmean(one):.3f} ± {stdev(one) if len(one) > 1 else 0:.3f}" for one in cells]
            lines.append(f"| {name} | {way} | {' | '.join(both)} |")
    return lines


PAPER = Paper(
    name="fedct_mixed",
    title="Co-training of different kinds of models",
    source="Abourayya, Kleesiek, Rao, Ayday, Rao, Webb, Kamp, AAAI 2025.",
    setting=f"""
scikit-learn's tables over five sites, 60 samples public without labels; a network with 16 hidden units at two sites, a
decision tree, a random forest and a lasso over rules at one each. {ROUNDS} rounds of {PASSES} passes, a vote after each
but the first; "alone" and "pooled": {ROUNDS * PASSES} passes. Mean ± standard deviation over the seeds, which move
partition, folds and weights. The paper's wine is another table (WineQuality), its rules are RuleFit.
""",
    claims=(
        Claim(
            "Mixed models that share labels are better than each alone.",
            "–",
            "AGREES",
            "accuracy minus that alone is {cancer_minus_alone} on breast cancer and {wine_minus_alone} on wine (mean "
            "and standard error over the seeds).",
        ),
        Claim(
            "They come within 1 to 3 points of pooled training, and as close to averaging networks.",
            "1 to 3 points (R)",
            "DISAGREES",
            "accuracy minus pooled is {cancer_minus_pooled} on breast cancer and {wine_minus_pooled} on wine, minus "
            "FedAvg {cancer_minus_fedavg} and {wine_minus_fedavg}.",
        ),
    ),
    runs=runs,
    numbers=numbers,
    table=table,
    seeds=10,
)

if __name__ == "__main__":
    go(PAPER)
