"""Rows of a ledger and tiny comparisons, for tests."""

from brainct.compare.comparison_file import comparison_of
from brainct.compare.run_row import CurvePoint, RunRow, SiteResult, Times
from tests.conftest import TINY

FIT = {"optimizer": "sgd", "rate": 0.05, "epochs": 1, "augment": None}
SMALL = {"sites": 2, "scans": 4, "valid": 4, "test": 6, "outside": 6, "batch_size": 4}
TINY_COMPARISON = {"network": TINY, "fit": FIT, "rounds": 1, "evaluate_every": 1, "seeds": 1, "federations": [SMALL]}


def row(name="fedavg", seed=1, auroc=(0.7, 0.8), **changes):
    """A row of a run on as many sites as there are AUROCs."""
    sites = {
        f"site-{at}": SiteResult(train=16, test=40, scores={"auroc": one, "brier": 0.2})
        for at, one in enumerate(auroc, 1)
    }
    whole = {
        "key": f"{name}-{seed}-{changes.get('budget', 1)}-{changes.get('grid', '')}",
        "code": "c" * 64,
        "name": name,
        "scheme": "fedavg",
        "federation": "8x16",
        "seed": seed,
        "rounds": 30,
        "status": "done",
        "sites": sites,
        "kib_per_site": 100.0,
        "validation": [
            CurvePoint(round=5, score=0.6, loss=0.2, kib=50.0),
            CurvePoint(round=10, score=0.7, loss=0.2, kib=100.0),
        ],
        "times": Times(ended="2026-01-01T00:00:00+00:00", wall=1.0, cpu=1.0),
    }
    return RunRow(**whole | changes)


def tiny_comparison(**changes):
    """A comparison whose runs take a second: two sites with four training scans each, one round."""
    return comparison_of(TINY_COMPARISON | changes, "the test's comparison")
