"""A site of FLARE's own FedAvg, by its Client API: bench/bare.py's network, pictures and steps."""

import sys
from pathlib import Path

import nvflare.client as flare
import torch

sys.path.insert(0, sys.argv[2])  # the folder of bare.py

import bare  # noqa: E402


def main() -> None:
    torch.set_num_threads(1)
    flare.init()
    place = int(flare.get_site_name().rpartition("-")[2]) - 1
    images, labels = bare.pictures(Path(sys.argv[1]), place * 64, place * 64 + 64)
    model = bare.Network()
    while flare.is_running():
        received = flare.receive()
        model.load_state_dict({key: torch.as_tensor(value) for key, value in received.params.items()})
        model.train()
        bare.train(model, images, labels)
        flare.send(flare.FLModel(params={key: value.numpy() for key, value in model.state_dict().items()}))


main()
