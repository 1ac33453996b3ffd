"""A trained model as one file with its computation in it: ONNX, or PyTorch's .pt2."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainct.core import serialization
from brainct.deliver import card
from brainct.deliver.finished_model import FinishedModel, check_static
from brainct.deliver.metadata import metadata
from brainct.errors import Refused

OUTPUTS = ("logits", "probabilities")
OPSET = 18


class Calibrated(nn.Module):
    """A network with its calibration: images to logits and probabilities, both (N, F) or (N, F, ...)."""

    temperatures: Tensor

    def __init__(self, network: nn.Module, temperatures: Tensor, single_choice: bool):
        super().__init__()
        self.network, self.single_choice = network, single_choice
        self.register_buffer("temperatures", temperatures)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as the network gives them; probabilities of logits over the temperatures."""
        logits = self.network(images)
        cooled = logits / self.temperatures
        return logits, torch.softmax(cooled, 1) if self.single_choice else torch.sigmoid(cooled)


def write_onnx(model: FinishedModel, out: Path, licence: str = card.NO_LICENCE) -> None:
    """model.onnx with any number of scans a batch, and its metadata in it and next to it."""
    import onnx

    with _quiet():
        program = torch.onnx.export(
            _exported(model),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=list(OUTPUTS),
            verbose=False,
        )
    assert program is not None
    made, stated = program.model_proto, metadata(model)
    onnx.helper.set_model_props(made, {"brainct": json.dumps(stated)})
    onnx.checker.check_model(made)
    _write(out, "model.onnx", made.SerializeToString(), stated, "onnx", licence)


def write_program(model: FinishedModel, out: Path, licence: str = card.NO_LICENCE) -> None:
    """model.pt2 with any number of scans a batch, and its metadata in it and next to it."""
    stated, content = metadata(model), io.BytesIO()
    with _quiet():
        torch.export.save(_exported(model), content, extra_files={"metadata.json": json.dumps(stated)})
    _write(out, "model.pt2", content.getvalue(), stated, "torch", licence)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's lines on libraries that this needs none of, and its warnings about itself."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _exported(model: FinishedModel) -> torch.export.ExportedProgram:
    check_static(model)
    network = model.choices.network
    temperatures = torch.tensor(model.calibration.temperatures(model.findings))
    shaped = temperatures.view(1, -1, *(1,) * (network.dims * model.masks))
    calibrated = Calibrated(model.module(), shaped, model.single_choice).eval()
    images = torch.zeros(2, network.channels, *(network.size,) * network.dims)
    free = {"images": {0: torch.export.Dim("batch", min=1)}}
    try:
        with torch.no_grad():
            return torch.export.export(calibrated, (images,), dynamic_shapes=free)
    except Exception as error:  # torch refuses what it can't trace in many ways
        kind = type(error).__name__
        raise Refused(f"torch.export can't trace {network.architecture} ({kind}); use --format bundle") from None


def _write(out: Path, name: str, content: bytes, stated: dict[str, Any], kind: str, licence: str) -> None:
    serialization.write(out / name, content)
    serialization.write(out / "metadata.json", (json.dumps(stated, indent=2) + "\n").encode())
    serialization.write(out / "README.md", card.readme(stated, kind).encode())
    serialization.write(out / "LICENSE", licence.encode())
