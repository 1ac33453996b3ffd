"""PNG and JPEG images of scans: 8-bit grey in an unknown window."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from brainct.ct.preprocess import Pixels
from brainct.ct.read.pixel_limits import SLICE, check_pixel_count
from brainct.errors import Refused
from brainct.training.site_files import decoding, open_file

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_image(path: Path, name: str, root: Path | None = None) -> Pixels:
    """Grey 0..255, upright as EXIF says, transparency on black; Refused if the file is damaged, too large or not 8-bit.

    root: see `open_file`.
    """
    with (
        open_file(path, name, root) as file,
        decoding(name, "unreadable or truncated image"),
        Image.open(file, formats=("PNG", "JPEG")) as picture,
    ):
        check_pixel_count(picture.width * picture.height, SLICE, name)
        if picture.mode.startswith(("I", "F")) or _bits(file) > 8:
            raise Refused(f"{name}: 16-bit pixels, wanted 8-bit grey or colour: export 8 bits, or give the DICOM file")
        picture.load()
        flat = _flattened(ImageOps.exif_transpose(picture))
    return Pixels(np.asarray(flat, np.float32), hu=False)


def _bits(file: BinaryIO) -> int:
    """Bits of a channel, which Pillow cuts to 8 in a PNG of more than one channel without a word; 8 for JPEG."""
    at = file.tell()
    file.seek(0)
    first = file.read(25)
    file.seek(at)
    return first[24] if first[:4] == b"\x89PNG" and len(first) == 25 else 8


def _flattened(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, picture.convert("RGBA")).convert("L")
    return picture.convert("RGB").convert("L") if picture.mode == "P" else picture.convert("L")
