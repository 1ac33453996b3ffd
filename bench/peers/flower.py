"""Flower's own FedAvg in its simulation (Ray): bench/bare.py's network, pictures and steps.

    python bench/peers/flower.py DATA SITES ROUNDS CORES

Needs `pip install 'flwr[simulation]' torch pillow scikit-learn`. Prints, as its last line, JSON of seconds by round.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

BENCH = str(Path(__file__).resolve().parent.parent)
sys.path.insert(0, BENCH)

import bare  # noqa: E402

DATA, SITES, ROUNDS, CORES = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def site_app() -> ClientApp:
    app, held, data, bench = ClientApp(), {}, DATA, BENCH

    @app.train()
    def train(message: Message, context: Context) -> Message:
        sys.path.insert(0, bench)
        import bare

        torch.set_num_threads(1)
        place = int(context.node_config["partition-id"])
        if place not in held:
            held[place] = bare.pictures(data, place * 64, place * 64 + 64)
        model = bare.Network()
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        model.train()
        bare.train(model, *held[place])
        metrics = MetricRecord({"num-examples": 64})
        content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
        return Message(content=content, reply_to=message)

    return app


def main() -> None:
    ends: list[float] = []
    server = ServerApp()

    @server.main()
    def rounds(grid: Grid, context: Context) -> None:
        def ended(number: int, arrays: ArrayRecord) -> None:
            ends.append(time.monotonic())

        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=SITES, min_available_nodes=SITES)
        strategy.start(
            grid=grid, initial_arrays=ArrayRecord(bare.Network().state_dict()), num_rounds=ROUNDS, evaluate_fn=ended
        )

    backend: dict[str, Any] = {
        "init_args": {"num_cpus": CORES, "num_gpus": 0},
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    }
    run_simulation(server, site_app(), num_supernodes=SITES, backend_config=backend)
    print(json.dumps([after - before for before, after in zip(ends, ends[1:], strict=False)]))


main()
