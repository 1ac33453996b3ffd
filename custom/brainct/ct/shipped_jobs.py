"""Shipped jobs of head CT next to those of RSNA's six findings on slices: a scheme and the job's own choices each."""

from typing import Any

SHIPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "ct_findings": ("fedavg", {"findings": ["intraparenchymal", "subdural", "midline shift", "any"]}),
    "ct_neighbours": ("fedavg", {"network": {"channels": 9}, "scan": {"neighbours": 1, "study": "max"}}),
    "ct_single_choice": (
        "fedavg",
        {"findings": ["no bleeding", "intraparenchymal", "subdural"], "single_choice": True},
    ),
    "ct_volumes": ("fedavg", {"network": {"architecture": "cnn", "dims": 3, "size": 32}}),
}
"""No phantom has a `midline shift`: there it stays unlabelled, as at a hospital that does not read it."""
