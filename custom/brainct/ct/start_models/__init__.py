"""Start models that the package brings, each with its card; see brainct.pretrain for how they are made."""

from pathlib import Path

from brainct.core.workload import PackagedModel

START_MODELS = {
    "phantom": PackagedModel(
        Path(__file__).with_name("phantom.safetensors"),
        "a32f7266cf30ba947a65f3f8a2d4c1223d20cf460f9539a04f77fe4a1f5292fe",
        "648 synthetic head CT slices of six scanners, drawn and not scanned: no patient (brainct model pretrain)",
    ),
}
"""Name in a job's `start_from` -> the model."""
