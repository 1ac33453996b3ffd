"""Small PNG, NIfTI and DICOM files for the readers' tests: a drawn head, nobody's."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
import yaml
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from brainct.ct.dataset import open_site
from brainct.ct.site_config import read_site_file
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused
from brainct.training.data import FOLDS, Dataset


def head(seed: int, height: int = 40, width: int = 32) -> np.ndarray:
    """HU (H, W): air, an oval skull of 900, a brain of coarse random texture that no two seeds share."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    radius = np.hypot(x / 0.9, y / 0.95)
    texture = np.kron(rng.uniform(0, 80, (-(-height // 4), -(-width // 4))), np.ones((4, 4)))[:height, :width]
    return np.select([radius < 0.85, radius < 1], [texture, 900.0], -1000.0).astype(np.float32)


def grey(seed: int, height: int = 40, width: int = 32) -> np.ndarray:
    """The same head as an 8-bit picture in the brain window."""
    return (np.clip(head(seed, height, width) / 80, 0, 1) * 255).astype(np.uint8)


def write_png(path: Path, seed: int, **size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey(seed, **size)).save(path)


def write_nifti(path: Path, volume: np.ndarray, affine: np.ndarray | None = None) -> None:
    nib.save(nib.Nifti1Image(volume, np.diag([1.0, 1.0, 5.0, 1.0]) if affine is None else affine), path)


def write_dicom(path: Path, hu: np.ndarray, z: float = 0.0, **tags: object) -> None:
    """An axial CT slice at height z mm, stored with intercept -1024; `tags` overwrite or, as None, remove elements."""
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = CTImageStorage
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.Modality, header.ImageType, header.SeriesInstanceUID = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "1.2.3"
    header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
    header.PixelSpacing, header.RescaleSlope, header.RescaleIntercept = [1, 1], 1, -1024
    header.Rows, header.Columns, header.SamplesPerPixel = *hu.shape, 1
    header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 1
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelData = (np.round(hu) + 1024).astype("<i2").tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(header, name)
        else:
            setattr(header, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)


def write_series(folder: Path, slices: int = 4, gap: float = 5.0) -> None:
    """Slices of one head, file names in the opposite order of their heights."""
    for at in range(slices):
        write_dicom(folder / f"{slices - at}.dcm", head(at), z=at * gap)


def pydicom_study(number: str) -> Path:
    """A head CT study out of pydicom's own test files, such as `77654033/CT2`."""
    found = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(found, str)
    return Path(found).parent / "dicomdirtests" / number


def site_file(folder: Path, **choices: object) -> Path:
    path = folder / "brainct.yaml"
    path.write_text(yaml.safe_dump(choices))
    return path


def opened(folder: Path, size: int = 32, dims: int = 2, job: Wanted = DEFAULT, **choices: object) -> Dataset:
    """Write the site file and open it as site `hospital-a`; its root is folder/scans."""
    choices = {"root": "scans", "device": "cpu", **choices}
    return open_site(read_site_file(site_file(folder, **choices)), "hospital-a", ["hospital-a"], size, dims, job)


def everything(data: Dataset) -> list[np.ndarray]:
    """All images of the data set, whatever their fold, as numpy (C, H, W[, D])."""
    return [image.numpy() for fold in data.folds.values() for image in fold.inputs]


def png_set(folder: Path, ids: range = range(20), header: str = "id, hemorrhage") -> None:
    """folder/scans with labels.csv and one PNG an id: the first half positive, as in the public Head CT set."""
    for number in ids:
        write_png(folder / "scans" / "head_ct" / f"{number:03d}.png", number)
    rows = [f"{number},{int(number < len(ids) / 2)}" for number in ids]
    (folder / "scans" / "labels.csv").write_text("\n".join([header, *rows]) + "\n", "utf-8")


PNG = {"kind": "png_csv", "images": "head_ct/{id:03d}.png", "columns": {"any": "hemorrhage"}}
"""The choices that fit `png_set`."""


def manifest(folder: Path, *rows: str, header: str = "image,any,patient_id") -> None:
    (folder / "scans").mkdir(exist_ok=True)
    (folder / "scans" / "labels.csv").write_text("\n".join([header, *rows]) + "\n", "utf-8")


def refused(folder: Path, **choices: object) -> str:
    with pytest.raises(Refused) as refusal:
        opened(folder, **choices)
    assert str(refusal.value).startswith("hospital-a: ")
    return str(refusal.value)


def labels_of(data: Dataset) -> np.ndarray:
    return torch.cat([data.folds[fold].labels for fold in FOLDS]).numpy()


def lines(folder: Path, old: str, new: str) -> None:
    path = folder / "scans" / "labels.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
