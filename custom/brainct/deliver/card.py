"""README.md and LICENSE of an exported model."""

from collections.abc import Mapping
from typing import Any

NO_LICENCE = """No licence is granted with this file.

The model was trained by hospitals, each on scans of its own. Only they together can license it: put their text here
before the model leaves them.
"""

HOW = {
    "bundle": """MONAI runs it, with pytorch-ignite and pydicom and without brainct, on a folder with one DICOM
series, or a folder of such folders. It reads a plain axial series; `brainct predict` also chooses the series of a study
and refuses what is no head CT.

    python -m monai.bundle run --config_file configs/inference.json --meta_file configs/metadata.json --bundle_root . \\
        --dataset_dir SERIES

""",
    "onnx": """`images` (N, C, edge, edge[, edge]) float32 as `preprocessing` in metadata.json says; the outputs
are `logits`, and `probabilities` with the calibration in them. N is free.

    import onnxruntime
    session = onnxruntime.InferenceSession("model.onnx")
    logits, probabilities = session.run(None, {"images": images})

""",
    "torch": """`images` (N, C, edge, edge[, edge]) float32 as `preprocessing` in metadata.json says; the outputs
are the logits, and the probabilities with the calibration in them. N is free.

    import torch
    logits, probabilities = torch.export.load("model.pt2").module()(images)

""",
}


def readme(metadata: Mapping[str, Any], kind: str) -> str:
    """The card: what the model is, how it is run, what it was trained on, and its limits."""
    own = metadata["brainct"]
    lines = [f"# {metadata['name']}", "", metadata["description"], ""]
    lines += [f"**{metadata['intended_use']}**", "", "## Run it", ""]
    return "\n".join(lines) + "\n" + HOW[kind] + "\n".join([*_facts(own, metadata), ""])


def _facts(own: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[str]:
    steps, training = own["preprocessing"], own["training"]
    windows = ", ".join(f"{level:g}/{width:g}" for level, width in steps["windows"])
    rows = [
        ("SHA-256 of the weights", own["model_sha256"]),
        ("Outputs, in order", ", ".join(own["findings"])),
        ("Windows (level/width, HU)", f"{windows} ({steps['windows_of']})"),
        ("Input", f"{steps['size']} pixels an edge, {steps['dims']} dimensions"),
        ("Axes", steps["orientation"]),
        ("Resampling", steps["resampling"]),
        ("Field of view", f"{steps['fov_mm']:g} mm" if steps["fov_mm"] else "the whole image"),
        ("Slices to a study", own["pooling"] or "none: the answer is of the whole scan"),
        ("Calibration", _calibration(own["calibration"]["findings"])),
        ("Scores on the hospitals' test scans", _listed(metadata["eval_metrics"])),
    ]  # fmt: skip
    if training:
        counts = training["samples"]
        rows.append(("Training", f"{training['scheme']}, {training['rounds']} rounds, {training['sites']} sites, "
                     f"{counts['train']} training scans, seed {training['seed']}, {training['package']}"))  # fmt: skip
    limits = (
        "Small bleedings may vanish when scans are scaled down. At a hospital that took no part in training the scores "
        "may be lower. Whoever holds the model may find traces of its training scans in it."
    )
    return [
        "## Facts",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in rows),
        "",
        "## Limits",
        "",
        limits,
    ]


def _calibration(findings: Mapping[str, Mapping[str, float]]) -> str:
    stated = [
        f"{name}: temperature {one['temperature']:g}, threshold {one['threshold']:g}" for name, one in findings.items()
    ]
    return "; ".join(stated) or "none"


def _listed(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in scores.items()) or "none"
