"""Writes FLARE's own FedAvg as a job folder: its recipe, with bench/bare.py's network.

python bench/peers/flare_job.py DATA SITES ROUNDS OUT
"""

import sys
from pathlib import Path

from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import bare  # noqa: E402


def main() -> None:
    data, sites, rounds, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    FedAvgRecipe(
        name="fedavg",
        model=bare.Network(),
        min_clients=sites,
        num_rounds=rounds,
        train_script=str(HERE / "flare_site.py"),
        train_args=f"{data} {HERE.parent}",
    ).export(out)


main()
