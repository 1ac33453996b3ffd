"""One study as a model reads it: the plain brain series of a DICOM folder, a DICOM file, or a NIfTI volume."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainct.ct.preprocess import Pixels
from brainct.ct.read import dicom, nifti
from brainct.ct.read.choices import ReadChoices
from brainct.ct.read.decode import check_plausible
from brainct.ct.read.dicom_tree import find_series
from brainct.ct.read.series_rule import Series
from brainct.ct.rendered import rendered
from brainct.ct.site_choices import SeriesRule
from brainct.ct.site_config import SiteFile
from brainct.deliver.finished_model import FinishedModel
from brainct.errors import Refused


@dataclass(frozen=True)
class Study:
    """name: of the folder or file. images: (N, C, H, W), a row a slice from the lowest up, or (1, C, H, W, D).

    volume: HU (H, W, D). files: of the DICOM series, () of a NIfTI. notes: of the reader, counted and without names.
    """

    name: str
    images: Tensor
    volume: Pixels
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    @property
    def slices(self) -> int:
        """Slices of the series."""
        return int(self.volume.values.shape[2])


def studies_in(folder: Path) -> list[Path]:
    """The studies of a folder, by name: each folder in it, and each NIfTI volume."""
    if not folder.is_dir():
        raise Refused(f"{folder} is not a folder; wanted one with a folder or a NIfTI file for each study")
    found = [one for one in sorted(folder.iterdir()) if one.is_dir() or _is_nifti(one)]
    if not found:
        raise Refused(f"{folder} holds neither folders nor NIfTI files; wanted one of these for each study")
    return found


def read_study(path: Path, model: FinishedModel, site: SiteFile | None = None) -> Study:
    """The study's series, rendered for the model. site: how to read it; its series rule, windows and field of view."""
    if not path.exists():
        raise Refused(f"{path} does not exist; wanted a folder with a DICOM study, or a NIfTI volume")
    file = (site or _plain_choices(path, model)).for_job(model.choices.wanted)
    volume, files, notes = _volume(path, file, model.choices.network.dims)
    flat = check_plausible(volume, path.name)
    return Study(path.name, _images(volume, model, file), volume, files, tuple(dict.fromkeys([*notes, *flat])))


def _plain_choices(path: Path, model: FinishedModel) -> SiteFile:
    least = 1 if model.choices.network.dims == 2 else 3
    return SiteFile(kind="dicom", root=path if path.is_dir() else path.parent, series=SeriesRule(least_slices=least))


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(nifti.SUFFIXES)


def _volume(path: Path, file: SiteFile, dims: int) -> tuple[Pixels, tuple[Path, ...], list[str]]:
    tilt = file.gantry_tilt
    if _is_nifti(path):
        volume, notes = nifti.read_nifti(path, path.name, False, path.parent, ReadChoices(tilt, file.nifti_axes))
        return volume, (), notes
    if path.is_dir():
        one, aside = _chosen(path, file)
        files = tuple(each.path for each in one.files)
    else:
        files, aside = (path,), []
    volume, notes = dicom.read_slices(files, path.name, path if path.is_dir() else path.parent, tilt, dims == 3)
    return volume, files, [*notes, *aside]


def _chosen(path: Path, file: SiteFile) -> tuple[Series, list[str]]:
    found, notes = find_series(file.model_copy(update={"root": path, "index": None, "cache": None}), path)
    chosen = [one for one in found if one.chosen]
    if not chosen:
        reasons = "; ".join(dict.fromkeys(one.reason for one in found)) or "no DICOM file"
        raise Refused(f"{path.name}: no brain series: {reasons}")
    if len(chosen) > 1:
        raise Refused(
            f"{path.name}: {len(chosen)} studies, wanted one: give `--folder` a folder with one for each study"
        )
    return chosen[0], notes


def _images(volume: Pixels, model: FinishedModel, file: SiteFile) -> Tensor:
    network = model.choices.network
    if network.dims == 3:
        found = [rendered(volume, network.size, file)[0]]
    else:
        found = [rendered(one, network.size, file)[0] for one in _samples(volume, file.job.neighbours)]
    images = torch.stack(found)
    if images.shape[1] != network.channels:
        raise Refused(
            f"the scans have {images.shape[1]} channels by their HU windows; the network has {network.channels}"
        )
    return images


def _samples(volume: Pixels, neighbours: int) -> Sequence[Pixels]:
    """Each slice, or the stack of each slice with its neighbours; the first and the last stand in beyond the ends."""
    deep = volume.values.shape[2]
    flat = volume.spacing and volume.spacing[:2]
    if not neighbours:
        return [replace(volume, values=volume.values[:, :, at], spacing=flat) for at in range(deep)]
    places = [np.clip(np.arange(at - neighbours, at + neighbours + 1), 0, deep - 1) for at in range(deep)]
    return [replace(volume, values=volume.values[:, :, near]) for near in places]
