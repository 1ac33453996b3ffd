"""Mini-batch SGD against model averaging as sites become more, at equal rounds, bytes and samples.

McMahan, Moore, Ramage, Hampson, Aguera y Arcas: Communication-Efficient Learning of Deep Networks from Decentralized
Data, AISTATS 2017 (FedSGD against FedAvg); Dekel et al., JMLR 2012 (mini-batches).

Claimed: averaging models after several local steps needs far fewer rounds than one common step a round, although both
send one model each way and see the same samples. More sites help the mini-batch by less noise, not by more steps, so
the lead does not shrink. Measured: test loss of the package's `minibatch` and `fedavg` after 30 rounds, for 2 to 32
sites, for logistic regression and a small network, each at the best of three rates.

    python bench/papers/minibatch_against_averaging.py
"""

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

from common import Claim, Paper, Rows, go
from federated import Tables
from resumed import spread
from sklearn.datasets import make_classification

from brainct.schemes.fedavg import fedavg
from brainct.schemes.minibatch import minibatch

OWN, BATCH, ROUNDS, COLUMNS = 40, 5, 30, 20
SITES = (2, 8, 32)
RATES = (0.03, 0.1, 0.3)
TIMES = 3
"""How much larger the rates of mini-batches are: their steps are fewer and less noisy."""
MODELS = {"logistic": {"kind": "logistic"}, "MLP of 32": {"kind": "mlp", "hidden": [32]}}
WAYS = ("minibatch", "fedavg")


def tables(seed: int, sites: int, model: str) -> Tables:
    inputs, labels = make_classification(
        max(SITES) * OWN + 4000, COLUMNS, n_informative=10, n_clusters_per_class=2, flip_y=0.05, random_state=seed
    )
    truth = labels[:, None].astype(float)
    fit = {"optimizer": "sgd", "batch_size": BATCH}
    return Tables(inputs[4000:], truth[4000:], (inputs[:4000], truth[:4000]), sites, OWN,
                  {"model": MODELS[model], "fit": fit}, seed)  # fmt: skip


def _measured(seed: int, sites: int, model: str, way: str, rate: float) -> dict[str, float]:
    table = tables(seed, sites, model)
    scheme = fedavg() if way == "fedavg" else minibatch(TIMES * rate)
    batch = BATCH if way == "fedavg" else OWN
    fit = {"optimizer": "sgd", "rate": rate, "batch_size": batch, "epochs": 1}
    found = table.scores(table.run(scheme, ROUNDS, fit=fit))
    return {name: found[name] for name in ("log_loss", "accuracy")}


def runs(seed: int) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, float]]]]:
    for model in MODELS:
        for sites in SITES:
            for way in WAYS:
                for rate in RATES:
                    named = {"model": model, "sites": sites, "way": way, "rate": rate}
                    yield named, lambda named=named: _measured(seed, **named)


def _best(rows: Rows, model: str, sites: int, way: str, what: str = "log_loss") -> tuple[float, list[float]]:
    """The rate with the least mean loss, and what it gave at each seed."""
    own = [row for row in rows if (row["model"], row["sites"], row["way"]) == (model, sites, way)]
    rate = min(RATES, key=lambda one: fmean(row["log_loss"] for row in own if row["rate"] == one))
    return rate, [row[what] for row in sorted(own, key=lambda row: row["seed"]) if row["rate"] == rate]


def numbers(rows: Rows) -> dict[str, str]:
    found = {
        f"same_{row['way']}": f"{row['log_loss']:.3f}"
        for row in rows
        if (row["model"], row["sites"]) == ("MLP of 32", 32)
        and row["rate"] * (TIMES if row["way"] == "minibatch" else 1) in (0.3, 0.1 * TIMES)
    }
    for model in MODELS:
        for sites in SITES:
            for way in WAYS:
                key = f"{model.split()[0]}_{way}_{sites}"
                found[key] = f"{fmean(_best(rows, model, sites, way)[1]):.3f}"
                found[f"{key}_accuracy"] = f"{fmean(_best(rows, model, sites, way, 'accuracy')[1]):.3f}"
    return found


def table(rows: Rows) -> list[str]:
    lines = ["| model | sites | log loss, mini-batch | averaging | accuracy, mini-batch | averaging | rates |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for model in MODELS:
        for sites in SITES:
            cells = [
                spread(_best(rows, model, sites, way, what)[1]) for what in ("log_loss", "accuracy") for way in WAYS
            ]
            rates = [_best(rows, model, sites, way)[0] for way in WAYS]
            lines.append(f"| {model} | {sites} | {' | '.join(cells)} | {TIMES * rates[0]:.2g}, {rates[1]:.2g} |")
    return lines


PAPER = Paper(
    name="minibatch_against_averaging",
    title="Mini-batch SGD against averaging as sites become more",
    source="McMahan et al., AISTATS 2017; Dekel et al., JMLR 2012.",
    setting=f"""
Generated data of {COLUMNS} columns, {OWN} samples a site, the same distribution at all. {ROUNDS} rounds, in each of
which a site sees all its samples once: `minibatch` as one gradient over all {OWN}, `fedavg` as {OWN // BATCH} steps on
batches of {BATCH}. Both send one model each way. Each row and scheme at the best of three rates by test loss, {RATES}
for averaging and {TIMES} times these for mini-batches, so that both are flattered alike.
""",
    claims=[
        Claim(
            says="Several local steps a round and an average beat one common step, at equal rounds and samples.",
            theirs="10 to 100 times fewer rounds [R]",
            verdict="CANNOT BE DECIDED HERE",
            because="with eight local steps, each scheme at its own rate, log loss at 2, 8 and 32 sites was "
            "{logistic_fedavg_2}, {logistic_fedavg_8}, {logistic_fedavg_32} against mini-batches' "
            "{logistic_minibatch_2}, {logistic_minibatch_8}, {logistic_minibatch_32} (logistic), and {MLP_fedavg_2}, "
            "{MLP_fedavg_8}, {MLP_fedavg_32} against {MLP_minibatch_2}, {MLP_minibatch_8}, {MLP_minibatch_32} (MLP), "
            "level in five of six; but at one seed, and mostly with the largest rate tried for mini-batches.",
        ),
        Claim(
            says="At the same rate, averaging's local steps are ahead of one common step.",
            theirs="–",
            verdict="AGREES",
            because="at rate .3 and 32 sites log loss was {same_fedavg} against {same_minibatch} for the network.",
        ),
    ],
    runs=runs,
    numbers=numbers,
    table=table,
    seeds=1,
)

if __name__ == "__main__":
    go(PAPER)
