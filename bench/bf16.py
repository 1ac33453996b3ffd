"""What bf16 on the wire costs in AUROC: the same runs with and without it, paired by seed; resumable.

    python bench/bf16.py --seeds 5 --minutes 7    # again until nothing is left

Four sites of 24 phantom slices, each with a scanner of its own and 80 test slices; 20 rounds. AUROC of any bleeding,
mean over the sites.
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from resumed import command, spread

from brainct.compare.simulated_sites import SimulatedFederation
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse

FEDERATION = SimulatedFederation(sites=4, scans=24, skew="scanner", valid=0, test=80, outside=0)
NETWORK = {"architecture": "cnn", "size": 64, "options": {"widths": [8, 16, 32, 64]}}
FIT = {"optimizer": "adamw", "rate": 0.003, "decay": "cosine", "epochs": 3}
SCHEMES = ("fedavg",)


def run(scheme: str, seed: int) -> dict[str, Any]:
    common = {"rounds": 20, "seed": seed, "evaluate_every": 0, "network": NETWORK, "fit": FIT}
    row: dict[str, Any] = {"scheme": scheme, "seed": seed}
    for wire, chosen in {
        "float32": {"scheme": scheme},
        "bf16": {"scheme": "bf16", "arguments": {"inner": {"scheme": scheme}}},
    }.items():
        plan = plan_of({**common, **chosen}, "bench/bf16.py")
        opened = FEDERATION.open(seed, plan)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            found = rehearse(plan, FEDERATION.names, out, opener=lambda f, s, n, p: opened[s], log=lambda line: None)  # noqa: B023
        row[wire] = statistics.fmean(one["any"]["auroc"] for one in found.content["test"].values())
        row[f"{wire} bytes"] = sum(sum(one.bytes_sent.values()) for one in found.rounds)
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """A row a scheme; the difference with the standard error of its mean."""
    lines = ["| scheme | seeds | float32 | bf16 | difference ± standard error | ahead in | bytes to sites |"]
    lines.append("|" + "---|" * 7)
    for scheme in SCHEMES:
        mine = [row for row in rows if row["scheme"] == scheme]
        gaps = [row["bf16"] - row["float32"] for row in mine]
        if len(gaps) < 2:
            continue
        error = statistics.stdev(gaps) / len(gaps) ** 0.5
        share = statistics.fmean(row["bf16 bytes"] / row["float32 bytes"] for row in mine)
        cells = [spread([row[wire] for row in mine]) for wire in ("float32", "bf16")]
        cells += [f"{statistics.fmean(gaps):+.4f} ± {error:.4f}", f"{sum(gap > 0 for gap in gaps)} of {len(gaps)}"]
        lines.append(f"| `{scheme}` | {len(mine)} | {' | '.join(cells)} | {share:.0%} |")
    return "\n".join(lines)


def main() -> None:
    runs = lambda seed: [({"scheme": one, "seed": seed}, partial(run, one, seed)) for one in SCHEMES]  # noqa: E731
    command(__doc__, "bf16", runs, table)


if __name__ == "__main__":
    main()
