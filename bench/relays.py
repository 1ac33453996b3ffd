"""What intermediate sums would save the server: bytes and seconds of a round with 64 sites, alone or behind 8 relays.

    python bench/relays.py [--sites 64] [--relays 8] [--repeats 5]

No network: each reply is packed and unpacked as on the wire, and summed. Secure aggregation sends whole numbers modulo
2^64, whose sum does not depend on its order; float64 sums do, which is counted for comparison.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch

from brainct.core import masking, serialization
from brainct.core.determinism import one_thread
from brainct.core.weights import Weights
from brainct.ct.networks import build


def summed(packed: Sequence[bytes]) -> dict[str, torch.Tensor]:
    """The sum of packed weights, in the order given."""
    total: dict[str, torch.Tensor] = {}
    for content in packed:
        for key, value in serialization.unpack(content).items():
            total[key] = total[key] + value if key in total else value
    return total


def grouped(packed: Sequence[bytes], relays: int) -> list[bytes]:
    """What each relay sends on: the sum of its own sites."""
    return [serialization.pack(summed(packed[at::relays])) for at in range(relays)]


def differing(left: Weights, right: Weights) -> float:
    """Part of the values whose bits differ."""
    changed = sum(int((value != right[key]).sum()) for key, value in left.items())
    return changed / sum(value.numel() for value in left.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=64)
    parser.add_argument("--relays", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    one_thread()
    print("| network | way | replies at the server | MiB at the server | CPU at the server | bits of the sum |")
    print("|---|---|---|---|---|---|")
    for name in ("densenet-small", "cnn"):
        shapes = build(name).state_dict()
        random = torch.Generator().manual_seed(0)
        models = [
            {key: torch.randn(value.shape, generator=random) for key, value in shapes.items()}
            for _ in range(chosen.sites)
        ]
        for kind in ("whole numbers", "float64"):
            show(name, kind, models, chosen)


def show(name: str, kind: str, models: Sequence[Weights], chosen: argparse.Namespace) -> None:
    shares = [20 + 7 * at % 100 for at in range(len(models))]  # scans of each site
    if kind == "float64":
        packed = [
            serialization.pack({key: value.double() * share for key, value in one.items()})
            for share, one in zip(shares, models, strict=True)
        ]
    else:
        packed = [
            serialization.pack(masking.to_fixed_point(one, float(share), len(models)))
            for share, one in zip(shares, models, strict=True)
        ]
    behind = grouped(packed, chosen.relays)
    whole = summed(packed)
    for way, arriving in (("all sites", packed), (f"{chosen.relays} sums", behind)):
        taken = []
        for _ in range(chosen.repeats):
            began = time.process_time()
            found = summed(arriving)
            taken.append(time.process_time() - began)
        share = differing(found, whole)
        bits = "equal" if share == 0 else f"{share:.2%} differ"
        size = sum(map(len, arriving)) / 2**20
        cells = [name, f"{kind}, {way}", str(len(arriving)), f"{size:.1f}", f"{statistics.median(taken) * 1000:.0f} ms"]
        print("| " + " | ".join([*cells, bits]) + " |", flush=True)


if __name__ == "__main__":
    main()
