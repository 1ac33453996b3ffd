"""PNG and JPEG pictures of scans: 8-bit grey in a window that nobody wrote down."""

from pathlib import Path

import numpy as np
from PIL import Image

from brainct.ct.preprocess import Pixels
from brainct.ct.read.opened import SLICE, decoding, few_pixels, opened
from brainct.errors import Refused

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_picture(path: Path, name: str, root: Path | None = None) -> Pixels:
    """Grey 0..255, transparency flattened on black; Refused names `name` when it is broken, too large or not 8-bit.

    root: see `opened`.
    """
    with (
        opened(path, name, root) as file,
        decoding(name, "unreadable or truncated picture"),
        Image.open(file, formats=("PNG", "JPEG")) as picture,
    ):
        few_pixels(picture.width * picture.height, SLICE, name)
        picture.load()
        mode, flat = picture.mode, _flattened(picture)
    if mode.startswith(("I", "F")):
        raise Refused(f"{name}: {mode} pixels, wanted 8-bit grey or colour: export 8 bits, or give the DICOM file")
    return Pixels(np.asarray(flat, np.float32), hu=False)


def _flattened(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, picture.convert("RGBA")).convert("L")
    return picture.convert("RGB").convert("L") if picture.mode == "P" else picture.convert("L")
