"""configs/inference.json: a DICOM series in, one answer a study out, with MONAI's own parts alone.

The transforms do what brainct.ct.read and brainct.ct.preprocess do with a plain axial series, number for number.
"""

from collections.abc import Sequence
from typing import Any

from brainct.ct.preprocess import AIR
from brainct.deliver.components import gives_several, network_def
from brainct.deliver.finished_model import FinishedModel
from brainct.segment.config import SegmentChoices
from brainct.segment.learner import OVERLAP
from brainct.training.batch_norm import RULE

POOLED = {"max": "x.amax(0)", "mean": "x.mean(0)", "noisy_or": "1 - torch.prod(1 - x, 0)"}
LOWEST = -1024


def inference(model: FinishedModel) -> dict[str, Any]:
    """The configuration; run by `python -m monai.bundle run`."""
    return {
        "imports": [f"$import {name}" for name in ("collections", "glob", "os", "torch", "monai")],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "$@bundle_root + '/data'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "series": "$sorted(glob.glob(os.path.join(@dataset_dir, '*', ''))) or [@dataset_dir]",
        "network_def": network_def(model),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _transforms(model)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': one.rstrip(os.sep)} for one in @series]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": _inferer(model),
        "postprocessing": {"_target_": "Compose", "transforms": _answers(model)},
        "handlers": [_loader(model), *_savers(model)],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def _transforms(model: FinishedModel) -> list[dict[str, Any]]:
    """From a folder with one series to (D, C, H, W), a row a slice, or to a volume (C, H, W, D)."""
    network, wanted = model.choices.network, model.choices.wanted
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image", "reader": "PydicomReader"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "PLS", "labels": None},
        _each("image", f"torch.where(x < {LOWEST}, {AIR}, x.float())"),
        _each("image", resize(network.size, network.dims, wanted.fov_mm)),
        _each("image", _pad(network.size, network.dims)),
        *_windows(model.windows),
    ]
    if wanted.steps:
        made = [each for step in wanted.steps for each in _step(step.transform, step.arguments)]
        steps.append({"_target_": "Lambdad", "keys": "image", "func": {"_target_": "Compose", "transforms": made}})
    if wanted.neighbours:
        steps.append(_each("image", _neighbours(wanted.neighbours)))
    if network.dims == 2:
        steps.append(_each("image", "x.permute(3, 0, 1, 2)"))
    return steps


def _each(key: str, expression: str) -> dict[str, Any]:
    return {"_target_": "Lambdad", "keys": key, "func": f"$lambda x: {expression}", "track_meta": True}


def resize(size: int, dims: int, fov_mm: float | None) -> str:
    """An expression of ct.preprocess.letterbox's scaling of x (1, H, W, D), without stretching."""
    extent = str(fov_mm) if fov_mm else f"max(n * float(s) for n, s in zip(x.shape[1:{1 + dims}], x.pixdim[:{dims}]))"
    lengths = (
        f"[max(1, round(n * float(s) * ({size} / {extent}))) for n, s in zip(x.shape[1:{1 + dims}], x.pixdim[:{dims}])]"
    )
    if dims == 2:
        return (
            f"torch.nn.functional.interpolate(x.permute(3, 0, 1, 2), size={lengths}, mode='bilinear', "
            "align_corners=False, antialias=True).permute(1, 2, 3, 0)"
        )
    # torch has no antialiased resampling of three axes: two of them first, then the third
    return (
        "(lambda n: torch.nn.functional.interpolate(torch.nn.functional.interpolate(x.permute(3, 0, 1, 2), "
        "size=n[:2], mode='bilinear', align_corners=False, antialias=True).permute(1, 2, 3, 0), "
        f"size=[n[1], n[2]], mode='bilinear', align_corners=False, antialias=True))({lengths})"
    )


def _pad(size: int, dims: int) -> str:
    sides = [f"({size} - x.shape[{axis}]) // 2, ({size} - x.shape[{axis}] + 1) // 2" for axis in range(dims, 0, -1)]
    return f"torch.nn.functional.pad(x, [{', '.join(['0, 0'] * (dims == 2) + sides)}], value={AIR})"


def _windows(windows: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """A channel for each window."""
    names = [f"window_{number}" for number in range(len(windows))]
    scaled = [
        {"_target_": "ScaleIntensityRanged", "keys": name, "a_min": level - width / 2, "a_max": level + width / 2,
         "b_min": 0.0, "b_max": 1.0, "clip": True}
        for name, (level, width) in zip(names, windows, strict=True)
    ]  # fmt: skip
    return [
        {"_target_": "CopyItemsd", "keys": "image", "times": len(names), "names": names},
        *scaled,
        {"_target_": "ConcatItemsd", "keys": names, "name": "image", "dim": 0},
        {"_target_": "DeleteItemsd", "keys": names},
    ]


def _step(name: str, arguments: Any) -> list[dict[str, Any]]:
    """A job's further transform, and the clipping after it."""
    clipped = {"_target_": "Lambda", "func": "$lambda x: x.clamp(0, 1)"}
    return [{"_target_": name, **{key: _whole(value) for key, value in arguments.items()}}, clipped]


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _neighbours(count: int) -> str:
    places = "(torch.arange(x.shape[-1]) + k).clamp(0, x.shape[-1] - 1)"
    return f"torch.cat([x[..., {places}] for k in range(-{count}, {count + 1})])"


def _inferer(model: FinishedModel) -> Any:
    network = model.choices.network
    first = "[0]" if gives_several(model) else ""
    patch = network.patch if isinstance(model.choices, SegmentChoices) else None  # type: ignore[union-attr]
    if patch is not None and patch != network.size:
        made = f"monai.inferers.sliding_window_inference(x, ({patch},) * {network.dims}, 4, network, {OVERLAP}, "
        one = f"{made}mode='gaussian')"
    else:
        one = f"network(x){first}"
    if network.dims == 2:
        return f"$lambda inputs, network: torch.stack([{one} for x in inputs.as_tensor()])"
    return f"$lambda inputs, network: [{one} for x in [inputs.as_tensor()]][0]"


def _answers(model: FinishedModel) -> list[dict[str, Any]]:
    """Logits (D, F) or (F,) to one probability a finding; of masks, (D, F, H, W) or (F, H, W, D) to one a voxel."""
    volume = model.choices.network.dims == 3
    cooled = model.calibration.temperatures(model.findings)
    shape = [*[1] * (not volume), len(cooled), *[1] * (model.masks * (2 + volume))]
    steps = []
    if any(one != 1 for one in cooled):
        steps.append(_answer(f"x / torch.tensor({cooled}, device=x.device).view({shape})"))
    steps.append(_answer(f"torch.softmax(x, {int(not volume)})" if model.single_choice else "torch.sigmoid(x)"))
    if model.masks:
        return [*steps, *([] if volume else [_answer("x.permute(1, 2, 3, 0)")]), _SAVE]
    return steps if volume else [*steps, _answer(POOLED[model.pooling])]


_SAVE = {
    "_target_": "SaveImaged",
    "keys": "pred",
    "output_dir": "@output_dir",
    "output_postfix": "probabilities",
    "resample": False,
}


def _answer(expression: str) -> dict[str, Any]:
    return {"_target_": "Lambdad", "keys": "pred", "func": f"$lambda x: {expression}"}


def _loader(model: FinishedModel) -> dict[str, Any]:
    loader = {
        "_target_": "CheckpointLoader",
        "load_path": "$@bundle_root + '/models/model.pt'",
        "load_dict": {"model": "@network"},
        "map_location": "@device",
    }
    frozen = model.choices.network.options.get(RULE) == "frozen"
    return {**loader, "strict": False} if frozen else loader


def _savers(model: FinishedModel) -> list[dict[str, Any]]:
    if model.masks:
        return []
    return [
        {
            "_target_": "ClassificationSaver",
            "output_dir": "@output_dir",
            "filename": "predictions.csv",
            "batch_transform": "$lambda batch: [one['image'].meta for one in batch]",
            "output_transform": "$lambda output: [one['pred'] for one in output]",
        }
    ]
