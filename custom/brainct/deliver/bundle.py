"""A MONAI bundle of a trained model, which MONAI runs without brainct and `brainct model import` reads again."""

import io
import json
from pathlib import Path
from typing import Any

import torch

from brainct.core import serialization
from brainct.deliver import card
from brainct.deliver.bundle_config import inference
from brainct.deliver.finished_model import FinishedModel, check_static
from brainct.deliver.metadata import metadata
from brainct.errors import Refused

CLOSE = 1e-5
"""How far MONAI's outputs may be from brainct's; sums in another order stay far below."""


def write_bundle(model: FinishedModel, out: Path, licence: str = card.NO_LICENCE) -> None:
    """Write the bundle into a new folder, once MONAI has built the same network from its configuration."""
    check_static(model)
    config, stated = inference(model), metadata(model)
    _check_same(model, config)
    content = io.BytesIO()
    torch.save({key: value.contiguous() for key, value in model.weights.items()}, content)
    for name, text in (("inference.json", config), ("metadata.json", stated)):
        serialization.write(out / "configs" / name, (json.dumps(text, indent=2) + "\n").encode())
    serialization.write(out / "models" / "model.pt", content.getvalue())
    serialization.write(out / "docs" / "README.md", card.readme(stated, "bundle").encode())
    serialization.write(out / "LICENSE", licence.encode())


def _check_same(model: FinishedModel, config: dict[str, Any]) -> None:
    """Refuse to write a configuration from which MONAI builds another network."""
    from monai.bundle import ConfigParser

    parser = ConfigParser({key: config[key] for key in ("imports", "network_def")})
    built = parser.get_parsed_content("network_def").eval()
    network = model.choices.network
    strict = config["handlers"][0].get("strict", True)
    try:
        built.load_state_dict(dict(model.weights), strict=strict)
    except RuntimeError as error:
        raise Refused(f"MONAI builds another network of it: {str(error).partition(chr(10))[0]}") from None
    images = torch.rand(
        (2, network.channels, *(network.size,) * network.dims), generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        found, wanted = built(images), model.module()(images)
    found = found[0] if isinstance(found, tuple) else found
    if (apart := float((found - wanted).abs().max())) > CLOSE:
        raise Refused(f"MONAI's network gives logits that are {apart:.2g} from brainct's; nothing is written")
