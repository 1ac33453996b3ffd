"""What of a MONAI bundle a job can use: network, preprocessing and weights, and why the rest can't be used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from brainct.core.sentences import sentences
from brainct.core.weights import Weights
from brainct.ct import class_paths
from brainct.ct.bundle.config import Config, find, read_metadata
from brainct.ct.bundle.mmar import is_mmar, read_mmar
from brainct.ct.bundle.preprocessing import Preprocessing, preprocessing_of
from brainct.ct.bundle.weights import Fitted, fitted, read_weights
from brainct.ct.class_paths import DIMENSIONS, INPUTS, OUTPUTS, PRETRAINED
from brainct.ct.config import Network
from brainct.ct.folds import FINDINGS
from brainct.ct.model import network_of
from brainct.errors import Refused

NETS = "monai.networks.nets"
KEYS = ("_target_", "_desc_", "_requires_", "_disabled_", "_mode_")
"""What MONAI's configuration says of a component besides its arguments."""

EDGE = 96
"""The edge of the input where a bundle does not state one."""


@dataclass(frozen=True)
class Imported:
    """What a bundle gives a job.

    network: the job's model section. preprocessing: what its transforms are here. weights: of the whole network; None
    where the bundle has none. mapped, dropped: sentences of what was used, and of what was not, with the reason.
    masks: whether it marks pixels, so that its job is of workload segment.
    """

    network: Network
    preprocessing: Preprocessing
    weights: Weights | None
    mapped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    masks: bool = False

    @property
    def choices(self) -> dict[str, Any]:
        """A job's keys: its network and, of one that marks pixels, the workload."""
        return {**({"workload": "segment"} if self.masks else {}), "network": self.network.model_dump(mode="json")}


def import_bundle(folder: Path, batch_norm: str = "refuse", size: int | None = None) -> Imported:
    """Read a bundle, or an MMAR of Clara Train; nothing of it is run. The network is built, and reads an empty scan.

    batch_norm: see training.batch_norm. size: the edge of the input, by default what the bundle states. Refused where
    the network is not one of MONAI's own, where its arguments need more than the grammar of expressions, and where it
    gives neither one number for each output nor one for each output and pixel.
    """
    if not folder.is_dir():
        raise Refused(f"{folder} is not a folder; wanted a MONAI bundle, unpacked")
    config, metadata = read_mmar(folder) if is_mmar(folder) else find(folder), read_metadata(folder)
    steps = preprocessing_of(config, metadata)
    path, arguments, mapped = _network_of(config)
    network, ignored = _section(path, arguments, metadata, steps, batch_norm, size)
    module, masks = _built(network)
    kind = "masks" if masks else "findings"
    mapped.append(f"network: {path}, {sum(one.numel() for one in module.parameters()):,} weights, for {kind}")
    found, weights = read_weights(folder), None
    dropped = [*ignored, *steps.dropped]
    if found is None:
        dropped.append("weights: the bundle has no models/model.pt and no models/model.safetensors")
    else:
        fit: Fitted = fitted(found.weights, module.state_dict(), found.name)
        weights, more = fit.weights, fit.notes
        mapped.append(f"weights: {fit.taken} of {len(module.state_dict())} tensors of {found.name}")
        dropped += more
    return Imported(network, steps, weights, [*mapped, *steps.mapped], dropped, masks)


def _built(network: Network) -> tuple[nn.Module, bool]:
    """The network, and whether it marks pixels; its outputs say so."""
    try:
        return network_of(network, 0), False
    except Refused as refusal:
        if "one logit for each finding" not in str(refusal):
            raise
    shape = network.channels, network.size, network.dims, 0
    made = class_paths.build(network.architecture, *shape, outputs=len(FINDINGS), options=network.options, masks=True)
    return made, True


def _network_of(config: Config) -> tuple[str, dict[str, Any], list[str]]:
    """The class path, its arguments, and a first sentence."""
    raw = config.raw("network_def")
    if isinstance(raw, str) and raw.startswith("$"):
        raise Refused(f"{config.name}: network_def is the expression {raw!r:.80}; wanted a _target_ with its arguments")
    found = config.get("network_def")
    if not isinstance(found, Mapping) or not isinstance(found.get("_target_"), str):
        raise Refused(f"{config.name}: network_def has no _target_; wanted a network of {NETS} and its arguments")
    target = found["_target_"]
    path = target if "." in target else f"{NETS}.{target}"
    module, _, name = path.rpartition(".")
    if module.startswith(f"{NETS}."):  # such as monai.networks.nets.densenet.DenseNet121
        path, module = f"{NETS}.{name}", NETS
    if module != NETS:
        own = (config.folder.parent / module.partition(".")[0]).exists()
        why = "the bundle's own Python is not run" if own else f"wanted a network of {NETS}"
        raise Refused(f"{config.name}: network {target:.80}: {why}")
    return path, {key: value for key, value in found.items() if key not in KEYS}, [f"configuration: {config.name}"]


def _section(
    path: str,
    arguments: Mapping[str, Any],
    metadata: Mapping[str, Any],
    steps: Preprocessing,
    batch_norm: str,
    size: int | None,
) -> tuple[Network, list[str]]:
    """The job's model section, and what of the arguments it leaves out."""
    arguments = dict(arguments)
    if shape := arguments.pop("in_shape", None):
        arguments |= {"in_channels": shape[0], "spatial_dims": len(shape) - 1, "img_size": shape[1:]}
    dims = next((arguments.pop(name) for name in DIMENSIONS if name in arguments), 2)
    channels = next((arguments.pop(name) for name in INPUTS if name in arguments), 1)
    outputs = next((arguments.pop(name) for name in OUTPUTS if name in arguments), None)
    edges = next((arguments.pop(name) for name in ("img_size", "image_size") if name in arguments), None)
    notes = [f"{name}: weights are not fetched" for name in PRETRAINED if arguments.pop(name, None)]
    if outputs is not None and outputs != len(FINDINGS):
        notes.append(f"outputs: {outputs} in the bundle, {len(FINDINGS)} findings here; the head is trained anew")
    for name in [name for name, value in arguments.items() if isinstance(value, Mapping) and "_target_" in value]:
        raise Refused(f"network argument {name} is an object of {arguments[name]['_target_']:.80}; wanted plain values")
    edge = size or _edge(edges) or steps.size or _edge(_stated_shape(metadata)) or EDGE
    options = {**arguments, **({"batch_norm": batch_norm} if batch_norm != "refuse" else {})}
    try:
        return Network(architecture=path, size=edge, dims=dims, channels=channels, options=options), notes
    except ValidationError as error:
        raise Refused(f"the bundle's network: {sentences(error)}") from None


def _stated_shape(metadata: Mapping[str, Any]) -> Any:
    found: Any = metadata
    for key in ("network_data_format", "inputs", "image", "spatial_shape"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _edge(shape: Any) -> int | None:
    """The largest whole edge of a stated shape; None for `*`, patches and anything else."""
    parts = shape if isinstance(shape, list | tuple) else [shape]
    known = [one for one in parts if isinstance(one, int) and not isinstance(one, bool) and one > 0]
    return max(known) if known and len(known) == len(parts) else None
