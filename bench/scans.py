"""Seconds of a core and peak memory of a site's first and second start on generated slices of 512 x 512.

    python bench/scans.py --slices 1000 --folder /tmp/scans-1000
    python bench/scans.py --slices 1000 --folder /tmp/masks-1000 --masks

DICOM slices lie in series of 40, a study each, as a PACS exports them; with --masks they are NIfTI volumes of 40 slices
with a mask each, for segmentation. Every start is a process of its own. The folder stays: remove it afterwards (0.5 MB
a slice of DICOM). Prints one row of a table: slices, then of the first and of the second start the seconds of CPU, the
seconds, the peak in MiB with mapped files, and the peak without them.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

EDGE, SERIES = 512, 40
KINDS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")


def head(seed: int) -> np.ndarray:
    """Stored values (512, 512): air, skull, and brain of a coarse texture that no two seeds share."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[-1 : 1 : EDGE * 1j, -1 : 1 : EDGE * 1j]
    radius = np.hypot(x / 0.7, y / 0.85)
    texture = np.kron(rng.integers(0, 80, (32, 32)), np.ones((16, 16), np.int16))
    return (np.where(radius < 0.9, texture, np.where(radius < 1, 900, -1000)) + 1024).astype("<i2")


def header(at: int) -> pydicom.Dataset:
    study, slice_ = divmod(at, SERIES)
    one = pydicom.Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = CTImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{study}.{slice_}"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.PatientID = f"1.2.{study}", f"1.2.{study}.1", f"P{study}"
    one.Modality, one.ImageType, one.SeriesDescription = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "Head plain"
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, 4.0 * slice_], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.RescaleSlope, one.RescaleIntercept = [0.45, 0.45], 1, -1024
    one.Rows, one.Columns, one.SamplesPerPixel = EDGE, EDGE, 1
    one.PhotometricInterpretation, one.PixelRepresentation = "MONOCHROME2", 1
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
    return one


def make(folder: Path, slices: int) -> None:
    """The tree, its labels, and the site file; what is there already stays."""
    for at in range(slices):
        path = folder / "scans" / f"study{at // SERIES}" / f"{at % SERIES}.dcm"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            one = header(at)
            one.PixelData = head(at).tobytes()
            one.save_as(path, enforce_file_format=True)
    rows = [f"1.2.{study},{study % 2}" for study in range(-(-slices // SERIES))]
    (folder / "scans" / "labels.csv").write_text("\n".join(["StudyInstanceUID,any", *rows]))
    (folder / "site.yaml").write_text("kind: dicom\nroot: scans\nlabels: labels.csv\ncache: cache\ndevice: cpu\n")


def make_masks(folder: Path, slices: int) -> None:
    """The same heads as volumes, of which each slice has a lesion of one kind, and the site file of segmentation."""
    for part in ("data", "label"):
        (folder / "scans" / part).mkdir(parents=True, exist_ok=True)
    affine = np.diag([-0.45, -0.45, 4.0, 1.0])
    y, x = np.ogrid[:EDGE, :EDGE]
    for study in range(-(-slices // SERIES)):
        path = folder / "scans" / "label" / f"{study:04d}.nii.gz"
        if not path.is_file():
            places = range(study * SERIES, min(slices, (study + 1) * SERIES))
            volume = np.stack([head(at).T - 1024 for at in places], 2).astype(np.int16)
            discs = [np.hypot(x - 200 - at % 97, y - 200 - at % 89) < 10 + at % 31 for at in places]
            mask = np.stack(discs, 2).astype(np.uint8) * (1 + study % len(KINDS))
            nibabel.save(nibabel.Nifti1Image(volume, affine), folder / "scans" / "data" / path.name)
            nibabel.save(nibabel.Nifti1Image(mask, affine), path)
    values = ", ".join(f"{value}: {kind}" for value, kind in enumerate(KINDS, 1))
    (folder / "site.yaml").write_text(
        "kind: masks\nroot: scans\nimages: data/{id}.nii.gz\nmasks: label/{id}.nii.gz\ncache: cache\ndevice: cpu\n"
        f"mask_values: {{{values}}}\n"
    )


def start(folder: Path, masks: bool) -> dict[str, float]:
    """Open the site as a run does, read each training batch once, and say what it took."""
    from brainct.core.determinism import one_thread
    from brainct.ct.dataset import open_site
    from brainct.ct.site_config import read_site_file
    from brainct.segment.config import SegmentChoices
    from brainct.segment.dataset import open_site as open_masks

    one_thread()
    own = Own()
    own.start()
    began, cpu = time.monotonic(), time.process_time()
    if masks:
        data = open_masks(folder / "site.yaml", "site-1", SegmentChoices())
    else:
        data = open_site(read_site_file(folder / "site.yaml"), "site-1", ["site-1"], 96)
    opened, used = time.monotonic() - began, time.process_time() - cpu
    for values in (data.folds["train"].inputs, data.folds["train"].labels):
        for batch in values.split(256):
            batch.mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        "scans": sum(map(len, data.folds.values())),
        "seconds": opened,
        "cpu": used,
        "peak_mib": peak,
        "own_mib": own.peak(),
    }


class Own(threading.Thread):
    """The peak of the memory that is this process's alone: without pages of mapped files, which the system can drop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._most, self._done = 0.0, threading.Event()

    def run(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.05):
            found = process.memory_info()
            self._most = max(self._most, (found.rss - found.shared) / 2**20)

    def peak(self) -> float:
        self._done.set()
        self.join()
        return self._most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--masks", action="store_true", help="volumes with masks, for segmentation")
    parser.add_argument("--start", action="store_true", help="one start in this process, as JSON")
    given = parser.parse_args()
    if given.start:
        print(json.dumps(start(given.folder, given.masks)))
        return
    began = time.monotonic()
    (make_masks if given.masks else make)(given.folder, given.slices)
    print(f"made in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    again = [sys.executable, __file__, "--start", "--folder", str(given.folder), *["--masks"] * given.masks]
    cells = []
    for _ in range(2):
        found = json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        cells += [f"{found['cpu']:.1f}", f"{found['seconds']:.1f}"]
        cells += [f"{found['peak_mib']:.0f}", f"{found['own_mib']:.0f}"]
        print(found, file=sys.stderr, flush=True)
    print(f"| {given.slices:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
