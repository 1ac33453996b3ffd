"""Shipped jobs of segmentation: a scheme and the job's own choices each."""

from typing import Any

FIT = {"optimizer": "adamw", "rate": 0.01, "decay": "cosine", "epochs": 2}
SEGMENT: dict[str, Any] = {"workload": "segment", "rounds": 20, "fit": FIT}

SHIPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "segment_fedavg": ("fedavg", SEGMENT),
    "segment_feddc": ("feddc", {**SEGMENT, "arguments": {"daisy_period": 1, "aggregation_period": 5}}),
}
