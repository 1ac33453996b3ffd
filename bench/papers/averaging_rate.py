"""Averaging divides the learning rate by the number of sites: the identity, what it costs, and the cure.

Kamp, Adilova, Sicking, Hüger, Schlicht, Wirtz, Wrobel: Efficient Decentralized Deep Learning by Dynamic Model
Averaging, ECML PKDD 2018, Proposition 3; Dekel, Gilad-Bachrach, Shamir, Xiao: Optimal Distributed Online Prediction
Using Mini-Batches, JMLR 13, 2012.

Claimed: with the gradient summed over a batch of B samples, the mean of m models after one step each at rate eta from
one start is one step on all m B samples at rate eta / m:

    1/m sum_i (w - eta sum_(x in B_i) g(x)) = w - eta/m sum_(x in all B_i) g(x).

So m sites take the steps of one site, however many samples they see. With mean gradients, as here, a site's rate is
eta B, and the common step has the same rate on the mean of m B samples. The cure is a rate that grows with m;
mini-batches are as good as single steps at equal samples as long as the batch is small against their number. Measured:
the identity between the package's `fedavg` and `minibatch`, and the loss after equal numbers of samples for 1 to 64
sites, with the rate as for one site, times sqrt(m), and times m.

    python bench/papers/averaging_rate.py
"""

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

from common import Claim, Paper, Rows, go
from federated import Tables, moved
from resumed import spread
from sklearn.datasets import make_classification

from brainct.schemes.fedavg import fedavg
from brainct.schemes.minibatch import minibatch

ROWS, SAMPLES, BATCH, RATE, COLUMNS = 3200, 8000, 5, 0.05, 20
SITES = (1, 4, 16, 64)
SCALES: dict[str, Callable[[int], float]] = {"1": lambda m: 1.0, "sqrt(m)": lambda m: m**0.5, "m": lambda m: float(m)}


def tables(seed: int, sites: int) -> Tables:
    """The same 3,200 rows for any number of sites."""
    inputs, labels = make_classification(
        ROWS + 4000, COLUMNS, n_informative=10, n_clusters_per_class=1, flip_y=0.05, class_sep=0.7, random_state=seed
    )
    truth = labels[:, None].astype(float)
    fit = {"optimizer": "sgd", "batch_size": BATCH, "steps": 1}
    test = (inputs[ROWS:], truth[ROWS:])
    return Tables(inputs[:ROWS], truth[:ROWS], test, sites, ROWS // sites, {"fit": fit}, seed)


def _fit(scale: float) -> dict[str, Any]:
    return {"optimizer": "sgd", "batch_size": BATCH, "steps": 1, "rate": RATE * scale}


def _averaged(seed: int, sites: int, scale: str) -> dict[str, float]:
    table, fit = tables(seed, sites), _fit(SCALES[scale](sites))
    found = table.scores(table.run(fedavg(), SAMPLES // BATCH // sites, fit=fit))
    return {name: found[name] for name in ("log_loss", "accuracy")}


def _identity(seed: int, sites: int) -> dict[str, float]:
    """The largest difference of any weight, and how far the weights came."""
    table, rounds = tables(seed, sites), SAMPLES // BATCH // sites
    averaged = table.run(fedavg(), rounds, fit=_fit(1))
    stepped = table.run(minibatch(RATE), rounds, fit=_fit(1))
    return {"apart": moved(averaged, stepped), "moved": moved(averaged, table.initial(table.plan()).weights)}


def _optimum(seed: int) -> dict[str, float]:
    table = tables(seed, 1)
    found = table.scores(table.pooled(2000, fit={"optimizer": "sgd", "rate": 1.0, "batch_size": ROWS}))
    return {name: found[name] for name in ("log_loss", "accuracy")}


def runs(seed: int) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, float]]]]:
    yield {"what": "optimum"}, lambda: _optimum(seed)
    for sites in SITES:
        if sites == 16:
            yield {"what": "identity", "sites": sites}, lambda sites=sites: _identity(seed, sites)
        for scale in SCALES if sites > 1 else ["1"]:
            yield (
                {"what": "loss", "sites": sites, "scale": scale},
                lambda sites=sites, scale=scale: _averaged(seed, sites, scale),
            )


def _of(rows: Rows, sites: int, scale: str) -> list[float]:
    key = ("loss", sites, scale)
    return [row["log_loss"] for row in rows if (row["what"], row.get("sites"), row.get("scale")) == key]


def _optimal(rows: Rows) -> list[float]:
    return [row["log_loss"] for row in rows if row["what"] == "optimum"]


def numbers(rows: Rows) -> dict[str, str]:
    same = [row for row in rows if row["what"] == "identity"]
    losses = {f"{scale}_{m}": fmean(_of(rows, m, scale)) for m in SITES for scale in SCALES if _of(rows, m, scale)}
    return {
        "apart": f"{max(row['apart'] for row in same):.0e}",
        "moved": f"{min(row['moved'] for row in same):.1f}",
        "optimum": f"{fmean(_optimal(rows)):.3f}",
        **{key.replace("sqrt(m)", "root"): f"{value:.3f}" for key, value in losses.items()},
    }


def table(rows: Rows) -> list[str]:
    lines = ["| sites | rounds | rate as for one site | times sqrt(m) | times m |", "|---|---|---|---|---|"]
    for m in SITES:
        cells = [spread(_of(rows, m, scale)) for scale in SCALES]
        lines.append(f"| {m} | {SAMPLES // BATCH // m:,} | {' | '.join(cells)} |")
    found = numbers(rows)
    return [
        *lines,
        "",
        f"Log loss on test data; at the optimum of all training rows {spread(_optimal(rows))}. Identity, 16 sites: "
        f"after all rounds no weight of `fedavg` and `minibatch` differs by more than {found['apart']} (float32), and "
        f"the weights moved by at least {found['moved']}.",
    ]


PAPER = Paper(
    name="averaging_rate",
    title="Averaging divides the rate by the number of sites",
    source="Kamp et al., ECML PKDD 2018, Proposition 3; Dekel et al., JMLR 2012.",
    setting=f"""
Logistic regression on generated data of {COLUMNS} columns; the same {ROWS:,} rows, shared out among 1 to 64 sites.
Every federation sees {SAMPLES:,} samples in batches of {BATCH} a site and averages after each step; the rate of one
site is {RATE} with mean gradients.
""",
    claims=[
        Claim(
            says="Averaging m models after each step is mini-batch SGD: one step on all their batches at rate eta / m "
            "with summed gradients, and at the same rate with mean gradients.",
            theirs="exact [D]",
            verdict="AGREES",
            because="after 100 rounds of 16 sites no weight of `fedavg` and `minibatch` differs by more than {apart} "
            "(float32), and the weights moved by {moved} at least.",
        ),
        Claim(
            says="So more sites learn less from as many samples, if the rate stays that of one site.",
            theirs="–",
            verdict="AGREES",
            because="log loss after 8,000 samples is {1_1}, {1_4}, {1_16} and {1_64} with 1, 4, 16 and 64 sites "
            "(optimum {optimum}).",
        ),
        Claim(
            says="A rate m times as large is the cure, and mini-batches are then as good as single steps.",
            theirs="asymptotically [R]",
            verdict="AGREES",
            because="with it log loss is {m_4}, {m_16} and {m_64} with 4, 16 and 64 sites, of one site {1_1}; a rate "
            "sqrt(m) times as large is half a cure: {root_4}, {root_16}, {root_64}.",
        ),
    ],
    runs=runs,
    numbers=numbers,
    table=table,
    seeds=3,
)

if __name__ == "__main__":
    go(PAPER)
