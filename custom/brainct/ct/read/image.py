"""PNG and JPEG images of scans: 8-bit grey in an unknown window."""

from pathlib import Path

import numpy as np
from PIL import Image

from brainct.ct.preprocess import Pixels
from brainct.ct.read.pixel_limits import SLICE, check_pixel_count
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_image(path: Path, name: str, root: Path | None = None) -> Pixels:
    """Grey 0..255, transparency on black; Refused if the file is damaged, too large or not 8-bit.

    root: see `open_file`.
    """
    with (
        open_file(path, name, root) as file,
        decoding(name, "unreadable or truncated image"),
        Image.open(file, formats=("PNG", "JPEG")) as picture,
    ):
        check_pixel_count(picture.width * picture.height, SLICE, name)
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
