"""A bundle's preprocessing, transform by transform: what it is here, or why it is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brainct.ct.bundle.config import Config
from brainct.errors import Refused

PLACES = (
    "preprocessing",
    "train#deterministic_transforms",
    "train#preprocessing",
    "train_preprocessing",
    "validate#preprocessing",
)
"""Where bundles have their transforms, the plainest first."""

SITES_OWN = {
    "LoadImage": "the site reads its scans",
    "LoadNifti": "the site reads its scans",
    "ConvertToChannelsFirst": "scans here have their channels first",
    "EnsureChannelFirst": "scans here have their channels first",
    "AddChannel": "scans here have their channels first",
    "Orientation": "scans here have one orientation",
    "EnsureType": "scans here are float32 tensors",
    "CastToType": "scans here are float32 tensors",
    "ToTensor": "scans here are float32 tensors",
    "ScaleIntensity": "windows already scale to [0, 1]",
    "CropForeground": "scans here are fitted to the network's size",
}
"""Transforms that the site does anyway, with the reason."""


@dataclass
class Preprocessing:
    """windows: (level, width) in HU, one a channel. spacing: mm a pixel. size: the edge that images are resized to."""

    windows: list[tuple[float, float]] = field(default_factory=list)
    spacing: list[float] = field(default_factory=list)
    size: int | None = None
    mapped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def preprocessing_of(config: Config, metadata: Mapping[str, Any]) -> Preprocessing:
    """What the transforms of a configuration are here; one that can't be read is left out by name."""
    found = Preprocessing()
    place = next((place for place in PLACES if config.raw(place) is not None), None)
    if place is None:
        found.dropped.append("preprocessing: the bundle states none")
        return found
    for raw in _listed(config.raw(place)):
        _add(found, config, raw)
    return found


def _listed(raw: Any) -> list[Any]:
    inner = raw.get("transforms", raw) if isinstance(raw, Mapping) else raw
    return inner if isinstance(inner, list) else [inner]


def _add(found: Preprocessing, config: Config, raw: Any) -> None:
    target = raw.get("_target_") if isinstance(raw, Mapping) else None
    if not isinstance(target, str):
        found.dropped.append(f"preprocessing: {raw!r:.60} is no transform by name")
        return
    name = target.rpartition(".")[2].removesuffix("d").removesuffix("Dict")
    if name in SITES_OWN:
        found.mapped.append(f"{target}: {SITES_OWN[name]}")
        return
    if name.startswith("Rand"):
        found.dropped.append(f"{target}: augmentation; choose the job's own `fit.augment`")
        return
    try:
        arguments = config.resolved(raw)
        found.mapped.append(f"{target}: {_KNOWN[name](found, arguments)}")
    except KeyError:
        found.dropped.append(f"{target}: has no counterpart here")
    except (Refused, TypeError, ValueError) as error:
        found.dropped.append(f"{target}: {error}")


def _window(found: Preprocessing, arguments: Mapping[str, Any]) -> str:
    low, high = float(arguments["a_min"]), float(arguments["a_max"])
    if not high > low:
        raise Refused(f"a_min {low:g} and a_max {high:g} are no window")
    found.windows.append(((low + high) / 2, high - low))
    return f"HU window, level {(low + high) / 2:g}, width {high - low:g}"


def _spacing(found: Preprocessing, arguments: Mapping[str, Any]) -> str:
    given = arguments["pixdim"]
    found.spacing = [float(one) for one in (given if isinstance(given, list) else [given])]
    return f"spacing {found.spacing} mm; with `fov_mm` of the site file scans have one scale"


def _resize(found: Preprocessing, arguments: Mapping[str, Any]) -> str:
    given = arguments["spatial_size"]
    parts = given if isinstance(given, list) else [given]
    if not parts or not all(isinstance(one, int) and one > 0 for one in parts):
        raise Refused(f"spatial_size {parts} is no size")
    found.size = max(parts)
    return f"size {found.size}; images are fitted to it without distortion"


_KNOWN = {
    "ScaleIntensityRange": _window,
    "Spacing": _spacing,
    "Resize": _resize,
    "ResizeWithPadOrCrop": _resize,
    "SpatialPad": _resize,
    "CenterSpatialCrop": _resize,
}
