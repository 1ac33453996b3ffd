"""What a file is, by its name and its first bytes: files that accompany scans, and formats that are not read."""

from pathlib import Path

from brainct.training.site_files import open_file

_COMPANIONS = {".ds_store", "thumbs.db", "desktop.ini", "version", "dicomdir", "dirfile", "lockfile", "autorun.inf"}
_FORMATS = (
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"BM", "a BMP image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"\x89PNG", "a PNG image under another name"),
    (0, b"\xff\xd8\xff", "a JPEG image under another name"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"NRRD", "an NRRD volume"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"%PDF", "a PDF document"),
)
_ENDINGS = {
    ".hdr": "an Analyze header",
    ".img": "Analyze voxels",
    ".mgz": "a FreeSurfer volume",
    ".mgh": "a FreeSurfer volume",
    ".nrrd": "an NRRD volume",
    ".mha": "a MetaImage volume",
    ".mhd": "a MetaImage header",
    ".zip": "a ZIP archive",
    ".rar": "a RAR archive",
}
UNREAD = (".bmp", ".tif", ".tiff", ".webp", ".gif")
"""Endings of pictures that are not read."""


def is_companion(path: Path) -> bool:
    """Whether a file's name says that an operating system or an export wrote it next to the scans."""
    name = path.name.lower()
    return name.startswith("._") or name in _COMPANIONS


def has_dicom_mark(path: Path, name: str, root: Path | None = None) -> bool:
    """Whether `DICM` stands behind the preamble, as in every DICOM file; an empty file counts as a damaged one."""
    with open_file(path, name, root) as file:
        first = file.read(132)
    return not first or first[128:] == b"DICM"


def other_format(path: Path, name: str, root: Path | None = None) -> str | None:
    """What a file is that is none of the formats which are read, such as `a TIFF image`; None if unknown."""
    with open_file(path, name, root, most=2**40) as file:
        first = file.read(16)
    for at, magic, word in _FORMATS:
        if first[at : at + len(magic)] == magic:
            return word
    return next((word for ending, word in _ENDINGS.items() if path.name.lower().endswith(ending)), None)
