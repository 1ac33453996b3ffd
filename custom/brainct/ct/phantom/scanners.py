"""Six scanners, each with its own patients, and the physics that turns a painted head into an image."""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from brainct.ct.phantom.anatomy import Head
from brainct.ct.phantom.shapes import Field


@dataclass(frozen=True)
class Scanner:
    """One hospital's scanner and patients.

    psf_mm: full width at half maximum of the point spread, in plane.
    noise_hu, grain_mm: SD of the noise in the brain, and the Gaussian width of its grain (a difference of Gaussians).
    offset_hu, gain: error of the HU scale at water, and factor on all HU above water.
    cupping_hu: how much darker the centre is than the rim because of beam hardening.
    pixel_mm: pixel size of an image 96 pixels wide; other sizes show the same field of view.
    tilt_deg: SD of the rotation in plane and of the gantry tilt.
    prevalence: share of scans with any bleeding. mix: weights of the five kinds in the order of FINDINGS.
    age: mean and SD of the patients' years; age brings wide sulci, large ventricles, old infarcts, calcifications.
    export_hu: lowest and highest HU in the export; values beyond are clipped.
    """

    name: str
    psf_mm: float
    noise_hu: float
    grain_mm: float
    offset_hu: float
    gain: float
    cupping_hu: float
    pixel_mm: float
    tilt_deg: float
    prevalence: float
    mix: tuple[float, float, float, float, float]
    age: tuple[float, float]
    export_hu: tuple[float, float] = (-1024.0, 3071.0)


SCANNERS: tuple[Scanner, ...] = (
    Scanner("trauma centre", 2.0, 2.4, 1.6, 0.0, 1.00, 2.0, 2.35, 5.0, 0.45, (4, 2, 1, 3, 4), (42, 17)),
    Scanner("stroke unit", 2.4, 2.0, 1.8, 1.5, 1.02, 3.0, 2.30, 3.0, 0.40, (1, 6, 4, 3, 1), (68, 11)),
    Scanner("low dose", 3.0, 4.2, 2.2, -1.5, 0.98, 3.0, 2.45, 4.0, 0.30, (2, 3, 2, 3, 3), (55, 16)),
    Scanner("old scanner", 4.0, 3.2, 2.6, -4.0, 1.05, 8.0, 2.50, 6.0, 0.35, (2, 3, 2, 2, 3), (60, 14)),
    Scanner("narrow export", 2.2, 2.8, 1.6, 3.0, 0.97, 2.5, 2.40, 4.0, 0.55, (2, 4, 3, 4, 2), (58, 15), (-20.0, 100.0)),
    Scanner("geriatric", 2.6, 2.6, 2.0, 0.5, 1.01, 4.0, 2.35, 7.0, 0.20, (1, 3, 1, 2, 6), (81, 7)),
)


def scanner_of(site: str) -> Scanner:
    """The scanner of a site: by the number at the end of its name ('site-3' has the third), else by the name's hash."""
    number = re.search(r"\d+$", site)
    place = int(number[0]) - 1 if number else int.from_bytes(hashlib.sha256(site.encode()).digest()[:8], "big")
    return SCANNERS[place % len(SCANNERS)]


def acquired(rng: np.random.Generator, scanner: Scanner, head: Head, hu: Field) -> Field:
    """The image of a painted head: blur, beam hardening, scale error, grain, and the range of the export."""
    frame = head.frame
    hu = gaussian_filter(hu, scanner.psf_mm / 2.355 / frame.pixel, axes=(0, 1))
    deep = np.clip(head.rim / 60, 0, 1)
    hu = hu - (head.rim > 0) * scanner.cupping_hu * (np.sqrt(deep) - 0.4)
    hu = np.where(hu > 0, hu * scanner.gain, hu)
    hu = hu + (scanner.offset_hu + rng.normal(0, 0.5)) * np.clip((hu + 1000) / 1000, 0, 1)
    white = rng.normal(size=hu.shape)
    wide = scanner.grain_mm / frame.pixel
    grain = gaussian_filter(white, 0.5 * wide, axes=(0, 1)) - gaussian_filter(white, 2.0 * wide, axes=(0, 1))
    grain *= scanner.noise_hu * rng.uniform(0.85, 1.15) / grain.std()
    return np.clip(np.rint(hu + grain * np.where(head.scalp > 0, 1.0, 0.4)), *scanner.export_hu)
