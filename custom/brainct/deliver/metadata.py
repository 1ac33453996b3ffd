"""What every exported model states: its use, input, outputs, calibration and training, and no site's name."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from brainct.core.version import VERSION
from brainct.deliver.finished_model import FinishedModel
from brainct.errors import Refused
from brainct.run.model_file import stated_choices
from brainct.run.run_record import RunRecord

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
OWN = "brainct"
"""The key of what only brainct writes and reads."""

INTENDED = "Research on training across hospitals. Not a medical device: nobody may decide on a patient by its answers."


def metadata(model: FinishedModel) -> dict[str, Any]:
    """As MONAI's bundle specification wants it; what only brainct knows stands under OWN."""
    network = model.choices.network
    edge = [network.size] * network.dims
    findings = dict(enumerate(model.findings))
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by brainct {VERSION}"},
        "monai_version": _installed("monai"),
        "pytorch_version": _installed("torch"),
        "numpy_version": _installed("numpy"),
        "required_packages_version": {name: _installed(name) for name in ("pytorch-ignite", "pydicom")},
        "name": "Head CT " + ("lesion masks" if model.masks else "findings"),
        "task": "Mark lesions in head CT" if model.masks else "Find lesions in head CT",
        "description": f"{network.architecture}, trained with {model.plan.scheme} across hospitals whose scans stayed "
        f"with them; outputs are {', '.join(model.findings)}.",
        "authors": "The hospitals that trained it",
        "copyright": "See LICENSE",
        "data_source": "Head CT of the hospitals that took part",
        "data_type": "dicom",
        "image_classes": "Non-contrast axial head CT in HU",
        "label_classes": ", ".join(model.findings),
        "pred_classes": ", ".join(model.findings),
        "eval_metrics": _scores(model.record) if model.record else {},
        "intended_use": INTENDED,
        "references": [],
        "network_data_format": {
            "inputs": {"image": _input(model, edge)},
            "outputs": {"pred": _output(model, edge, findings)},
        },
        OWN: own_part(model),
    }


def own_part(model: FinishedModel) -> dict[str, Any]:
    """Choices as model.safetensors states them, preprocessing, order of outputs, calibration, training and hash."""
    wanted, network = model.choices.wanted, model.choices.network
    return {
        "model_sha256": model.sha256,
        "choices": stated_choices(model.plan.model_dump(mode="json")),
        "extra": dict(model.file.extra),
        "findings": list(model.findings),
        "single_choice": model.single_choice,
        "preprocessing": {
            "windows": [list(one) for one in model.windows],
            "windows_of": "the job" if wanted.windows else "site files by default; sites may have had their own",
            "fov_mm": wanted.fov_mm,
            "size": network.size,
            "dims": network.dims,
            "neighbours": wanted.neighbours,
            "resampling": "bilinear with antialiasing, without stretching, the border -1000 HU",
            "orientation": "rows to the back, columns to the left, slices upwards",
        },
        "pooling": None if model.masks or network.dims == 3 else model.pooling,
        "calibration": model.calibration.model_dump(mode="json"),
        "training": _training(model.record) if model.record else None,
    }


def _input(model: FinishedModel, edge: list[int]) -> dict[str, Any]:
    channels = model.choices.network.channels
    return {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": channels,
        "spatial_shape": edge,
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": dict(enumerate(_channel_names(model))),
    }


def _channel_names(model: FinishedModel) -> list[str]:
    near = model.choices.wanted.neighbours
    names = [f"window {level:g}/{width:g} HU" for level, width in model.windows]
    return [f"{name}, slice {at:+d}" if near else name for at in range(-near, near + 1) for name in names]


def _output(model: FinishedModel, edge: list[int], findings: Mapping[int, str]) -> dict[str, Any]:
    return {
        "type": "image" if model.masks else "probabilities",
        "format": "segmentation" if model.masks else "classes",
        "num_channels": len(findings),
        "spatial_shape": edge if model.masks else [1, len(findings)],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": dict(findings),
    }


def _scores(record: RunRecord) -> dict[str, float]:
    """Means over the sites of the test folds' headline numbers."""
    found: dict[str, list[float]] = {}
    for scores in record.test.values():
        for name, value in record.workload.headline(scores).items():
            found.setdefault(name, []).extend([] if value is None else [value])
    return {name: round(sum(values) / len(values), 4) for name, values in found.items() if values}


def _training(record: RunRecord) -> dict[str, Any]:
    """What the run was, without the names and the counts of single sites."""
    counts = {fold: sum(record.samples(site, fold) for site in record.sites) for fold in ("train", "valid", "test")}
    return {
        "scheme": record.scheme,
        "arguments": dict(record.arguments),
        "rounds": len(record.rounds),
        "seed": record.seed,
        "sites": len(record.sites),
        "samples": counts,
        "way": record.way,
        "package": record.package,
        "versions": dict(record.versions),
        "record_sha256": hashlib.sha256(record.model_dump_json().encode()).hexdigest(),
    }


def _installed(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        raise Refused(
            f"a bundle states the version of {package}, which is not installed: pip install '.[export]'"
        ) from None
