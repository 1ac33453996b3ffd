"""How large an image may be, checked by its header before anything is decoded."""

from brainct.errors import Refused

SLICE = 2**24
"""Most pixels of one slice or image: 4,096 x 4,096."""
VOLUME = 2**28
"""Most voxels of one volume: 1,024 slices of 512 x 512."""
SLICE_FILE = 2**28
"""Most bytes of a file with a slice or image."""
VOLUME_FILE = 2**32
"""Most bytes of a file with a volume."""


def check_pixel_count(pixels: int, most: int, name: str) -> None:
    """Refuse more pixels than a slice or a volume may have, before any is decoded."""
    if not 0 < pixels <= most:
        raise Refused(f"{name}: {pixels:,} pixels by its header, wanted at most {most:,}: is it the right file?")
