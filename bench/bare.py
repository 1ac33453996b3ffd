"""FedAvg as a person would write it for themselves: plain PyTorch and an AUROC; no guard, no record, no checkpoint.

    python bench/bare.py FOLDER SITES ROUNDS [default]

FOLDER holds scans/0000.png ... and labels.csv, as bench/rounds.py makes them; 64 pictures a site. default: with the
package's augmentation and a default job's optimiser, in place of none and of SGD. Prints JSON.
"""

import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

began = time.monotonic()

import numpy as np  # noqa: E402  (imports are part of what is timed)
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from torch import nn  # noqa: E402


class Network(nn.Sequential):
    """brainct's `cnn`: 98,454 parameters."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, width in zip((3, 16, 32, 64), (16, 32, 64, 128), strict=True):
            norm = nn.GroupNorm(8, width)
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), norm, nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 6))


def pictures(folder: Path, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[start:stop]
    pictures = [np.asarray(Image.open(folder / "scans" / f"{int(row['id']):04}.png"), np.float32) / 255 for row in rows]
    images = torch.from_numpy(np.stack(pictures))[:, None].expand(-1, 3, -1, -1).contiguous()
    return images, torch.tensor([[float(row["any"])] * 6 for row in rows])


def train(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, augment: Any = None, random: Any = None
) -> None:
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), 0.05, fused=True)
    if augment is not None:
        optimizer = torch.optim.AdamW(model.parameters(), 0.003, weight_decay=0.0, fused=True)
    for index in torch.randperm(len(images)).split(16):
        batch = images[index] if augment is None else augment(images[index], random)
        batch = batch.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(batch), labels[index]).backward()
        optimizer.step()


def main() -> None:
    folder, sites, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    augment, random = None, np.random.default_rng(0)
    if sys.argv[4:] == ["default"]:
        from brainct.ct.augment import Augmentation, augmenter

        augment = augmenter(Augmentation(), 2)
    model = Network()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    data = [pictures(folder, number * 64, number * 64 + 64) for number in range(sites)]
    test_images, test_labels = pictures(folder, sites * 64, sites * 64 + 8)
    ends = [time.monotonic()]
    for _ in range(rounds):
        total = {key: torch.zeros_like(value) for key, value in weights.items()}
        for images, labels in data:
            model.load_state_dict(weights)
            model.train()
            train(model, images, labels, augment, random)
            for key, value in model.state_dict().items():
                total[key] += value / sites
        weights = total
        ends.append(time.monotonic())
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        auroc = roc_auc_score(test_labels[:, 5], model(test_images)[:, 5])
    parameters = sum(value.numel() for value in weights.values())
    seconds = [end - start for start, end in zip(ends, ends[1:], strict=False)]
    print(json.dumps({"startup": ends[0] - began, "rounds": seconds, "parameters": parameters, "auroc": auroc}))


if __name__ == "__main__":
    main()
