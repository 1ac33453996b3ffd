"""PNG and JPEG pictures of scans: 8-bit grey in a window that nobody wrote down."""

from pathlib import Path

import numpy as np
from PIL import Image

from brainct.ct.pixels import Pixels
from brainct.errors import Refused

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_picture(path: Path, name: str) -> Pixels:
    """Grey 0..255, transparency flattened on black; Refused names `name` when it is broken or not 8-bit."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            picture.load()
            mode, flat = picture.mode, _flattened(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Refused(f"{name}: unreadable or truncated picture ({type(error).__name__}): copy it again") from None
    if mode.startswith(("I", "F")):
        raise Refused(f"{name}: {mode} pixels, wanted 8-bit grey or colour: export 8 bits, or give the DICOM file")
    return Pixels(np.asarray(flat, np.float32), hu=False)


def _flattened(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, picture.convert("RGBA")).convert("L")
    return picture.convert("RGB").convert("L") if picture.mode == "P" else picture.convert("L")
