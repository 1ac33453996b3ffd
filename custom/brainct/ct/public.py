"""The public scans of a federation: the same at all sites, used without labels."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial

import torch
from torch import Tensor

from brainct.ct.preprocess import Pixels, render_image
from brainct.ct.scans import Scans, read_scans
from brainct.ct.site_choices import PhantomChoices
from brainct.ct.site_config import SiteFile
from brainct.ct.transforms import applied
from brainct.ct.wanted import Wanted, Windows
from brainct.errors import Refused
from brainct.training.data import Public, no_public


def public_of(
    file: SiteFile, scans: Scans, size: int, dims: int, set_aside: Sequence[bytes], images: Tensor, job: Wanted
) -> Callable[[], Public]:
    """Return a function that gives the public scans: those of the partition, or the folder that the site file names.

    set_aside, images: digests and images of the scans that the partition set aside.
    """
    if set_aside:
        found = Public(images, _fingerprint(set_aside))
        return lambda: found
    return cache(partial(_public_folder, file, frozenset(scans.digests), size, dims, job)) if file.public else no_public


def public_phantom_of(file: SiteFile, size: int, dims: int, job: Wanted) -> Callable[[], Public]:
    """Return a function that draws the public scans of the phantom, the same for all sites."""
    common = file.phantom.model_copy(update={"scans": 1, "prevalence": None, "scanner": None})
    return partial(_drawn_public, common, job.windows_at(file.windows), size, dims, job)


def _public_folder(file: SiteFile, own: frozenset[bytes], size: int, dims: int, job: Wanted) -> Public:
    assert file.public is not None
    root, labels = file.public.root, file.public.labels
    as_site = SiteFile(kind="manifest", root=root, labels=labels, windows=file.windows, fov_mm=file.fov_mm)
    try:
        scans = read_scans(as_site, size, dims, job)
    except Refused as refusal:
        raise Refused(f"`public`: {refusal}") from None
    if both := len(own.intersection(scans.digests)):
        raise Refused(f"`public`: {both} scans are also this site's own: remove them from the site's manifest")
    return _sorted(scans.images, scans.digests)


@lru_cache(maxsize=1)  # all sites of a rehearsal share it
def _drawn_public(chosen: PhantomChoices, windows: Windows, size: int, dims: int, job: Wanted) -> Public:
    from brainct.ct.phantom import public_phantom

    if job.neighbours:
        raise Refused("the phantom's public scans are single slices, and the job takes their neighbours too")
    hu = public_phantom(chosen.public, chosen.seed, size, dims, chosen.difficulty)
    pixels = [Pixels(image, hu=True) for image in hu]
    images = torch.stack([applied(render_image(each, size, windows), job.steps) for each in pixels])
    return _sorted(images, [each.digest() for each in pixels])


def _sorted(images: Tensor, digests: Sequence[bytes]) -> Public:
    order = sorted(range(len(digests)), key=lambda at: digests[at])
    return Public(images[order], _fingerprint(digests))


def _fingerprint(digests: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()
