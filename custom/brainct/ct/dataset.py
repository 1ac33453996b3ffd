"""Opens a site's scans: reads them, splits them into folds, and checks the folds."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from brainct.core.determinism import same_bits_on_a_gpu
from brainct.ct.cache import fold_images
from brainct.ct.folds import strata
from brainct.ct.partition import PUBLIC, partition_scans
from brainct.ct.public import public_of, public_phantom_of
from brainct.ct.scans import Scans, draw_scans, read_scans
from brainct.ct.shared_views import shared_views
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.ct.split import Floats, Ints, split_folds
from brainct.ct.wanted import DEFAULT, Wanted
from brainct.errors import Refused
from brainct.training.data import FOLDS, Dataset, Fold

COMMON = ("", "public")
"""The key of the images that a partition sets aside as public, among those by site and fold."""


def open_site(
    file: SiteFile | None, site: str, sites: Sequence[str], size: int = 96, dims: int = 2, job: Wanted = DEFAULT
) -> Dataset:
    """The scans of one site; without a site file, the synthetic phantom.

    sites: all names of the federation, sorted; used only by `partition` in a simulation.
    size: side of the images in pixels. dims: 2 slices, 3 volumes. job: what it wants of the scans. Raises Refused,
    beginning with the site's name.
    """
    return with_earlier(open_sites(file, sites, size, dims, site, job)[site], file, site, sites, size, dims, job)


def with_earlier(
    data: Dataset, file: SiteFile | None, site: str, sites: Sequence[str], size: int, dims: int, job: Wanted
) -> Dataset:
    """The data with the training fold of the site's earlier scans, if its site file names any."""
    if file is None or file.earlier is None:
        return data
    then = read_site_file(file.earlier)
    if then.earlier is not None:
        raise Refused(f"{site}: the site file of `earlier` scans names earlier ones itself; put them into one")
    before = open_site(then, site, sites, size, dims, job)
    both = hashlib.sha256(f"{data.fingerprint}{before.fingerprint}".encode()).hexdigest()
    note = f"{len(before.folds['train'])} earlier scans, which a job may replay"
    return replace(data, earlier=before.folds["train"], fingerprint=both, notes=(*data.notes, note))


def open_sites(
    file: SiteFile | None,
    sites: Sequence[str],
    size: int = 96,
    dims: int = 2,
    only: str | None = None,
    job: Wanted = DEFAULT,
) -> dict[str, Dataset]:
    """The data set of every site, with each image decoded once, for a simulation in one process. only: one site."""
    wanted = [only] if only is not None else list(sites)
    try:
        if file is None or file.kind == "phantom":
            return {site: _phantom(file, site, size, dims, job) for site in wanted}
        device = device_of(file.device)
        scans = read_scans(file, size, dims, job)
        folds = {site: _fold_of_each(scans, file, site, sites, job) for site in wanted}
        set_aside = _public_in_order(scans, next(iter(folds.values())))
        images = _images(scans, folds, set_aside)
        digests = [scans.digests[at] for at in set_aside]
        public = public_of(file, scans, size, dims, digests, images[COMMON], job)
        return {
            site: replace(_dataset(scans, folds[site], file, device, _of_site(images, site), job), public=public)
            for site in wanted
        }
    except Refused as refusal:
        raise Refused(f"{only or 'site file'}: {refusal}") from None


def every_scan(
    file: SiteFile | None, site: str, size: int, dims: int, job: Wanted = DEFAULT
) -> tuple[tuple[str, ...], Dataset]:
    """The names of a site's scans, and a data set whose folds `train` and `test` both have all of them in that order.

    A name is a path relative to root, followed by # and the slice if the label file gives one. Labels may be missing,
    and patients unknown.
    """
    job = replace(job, labelled=False)
    try:
        on_disk = file is not None and file.kind != "phantom"
        scans = read_scans(file, size, dims, job) if file and on_disk else draw_scans(file, site, size, dims, job)
        file = file or SiteFile(kind="phantom")
        studies = None if scans.studies is None else torch.from_numpy(scans.studies)
        whole = Fold(scans.images, torch.from_numpy(scans.labels), None, studies)
        everything = np.zeros(len(whole), dtype=np.int64)
        fingerprint, device = _fingerprint(scans, everything), device_of(file.device)
        folds = {"train": whole, "test": whole}
        known = Dataset(file.kind, folds, fingerprint, scans.notes, file.batch_size, device, outputs=job.findings)
        return scans.names, known
    except Refused as refusal:
        raise Refused(f"{site}: {refusal}") from None


def device_of(choice: str) -> str:
    """The torch device of a site file's `device`; Refused if this machine does not have it.

    For `auto` the GPU with the most free memory, since other sites may train on the same machine; else the CPU. The GPU
    is then told to compute the same bits each time.
    """
    if choice == "auto":
        free = [torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count())]
        choice = f"cuda:{free.index(max(free))}" if free else "cpu"
    number = int(choice.partition(":")[2] or 0)
    if choice != "cpu" and number >= torch.cuda.device_count():
        raise Refused(f"`device`: {choice}, but torch sees {torch.cuda.device_count()} CUDA devices: set cpu or auto")
    if choice != "cpu":
        same_bits_on_a_gpu()
    return choice


def _phantom(file: SiteFile | None, site: str, size: int, dims: int, job: Wanted) -> Dataset:
    scans = draw_scans(file, site, size, dims, job)
    file = file or SiteFile(kind="phantom")
    fold_of = split_folds(_strata(scans, job), scans.groups, file.split.fractions, file.split.seed)
    images = {fold: scans.images[np.flatnonzero(fold_of == at)] for at, fold in enumerate(FOLDS)}
    found = _dataset(scans, fold_of, file, device_of(file.device), images, job)
    return replace(found, public=public_phantom_of(file, size, dims, job))


def _strata(scans: Scans, job: Wanted) -> Floats:
    return strata(scans.labels, job.findings, job.single)


def _fold_of_each(scans: Scans, file: SiteFile, site: str, sites: Sequence[str], job: Wanted) -> Ints:
    """(N,) index into FOLDS of each scan at this site; negative for scans that are not in a fold of it."""
    labels = _strata(scans, job)
    if scans.given[0] is not None:
        if file.partition:
            raise Refused("`partition` cannot be used if the manifest gives a `split`: remove one of the two")
        return np.array([FOLDS.index(str(each)) for each in scans.given])
    if file.partition is None:
        return split_folds(labels, scans.groups, file.split.fractions, file.split.seed)
    ordered = sorted(sites)
    if site not in ordered:
        raise Refused(f"site {site} is not among the sites {', '.join(ordered)}: `partition` has no share for it")
    shares = partition_scans(labels, scans.groups, file.split.fractions, file.partition, len(ordered))
    return shares[ordered.index(site)]


def _public_in_order(scans: Scans, fold_of: Ints) -> Ints:
    """The scans that the partition set aside as public, in the order of their digests."""
    set_aside = np.flatnonzero(fold_of == PUBLIC).tolist()
    return np.array(sorted(set_aside, key=lambda at: scans.digests[at]), np.int64)


def _images(scans: Scans, folds: Mapping[str, Ints], set_aside: Ints) -> dict[tuple[str, str], Tensor]:
    """The images of each (site, fold), and of the public scans under COMMON."""
    sets = {
        (site, fold): np.flatnonzero(fold_of == at) for site, fold_of in folds.items() for at, fold in enumerate(FOLDS)
    } | {COMMON: set_aside}
    if len(folds) > 1:
        return shared_views(scans.images, sets)
    return {key: fold_images(scans.images, which, scans.folder) for key, which in sets.items()}


def _of_site(images: Mapping[tuple[str, str], Tensor], site: str) -> dict[str, Tensor]:
    return {fold: images[site, fold] for fold in FOLDS}


def _dataset(
    scans: Scans, fold_of: Ints, file: SiteFile, device: str, images: Mapping[str, Tensor], job: Wanted
) -> Dataset:
    if not (fold_of == 0).any():
        raise Refused("no training scans: mark some as `train` in `split`, or raise `split.train`")
    folds = {fold: _fold(scans, np.flatnonzero(fold_of == at), images[fold]) for at, fold in enumerate(FOLDS)}
    notes = (*scans.notes, *_duplicate_notes(scans.pairs, fold_of), *_label_notes(folds, job.findings))
    return Dataset(file.kind, folds, _fingerprint(scans, fold_of), notes, file.batch_size, device, outputs=job.findings)


def _fold(scans: Scans, which: Ints, images: Tensor) -> Fold:
    patients = None if scans.patients is None else torch.from_numpy(scans.patients[which])
    studies = None if scans.studies is None else torch.from_numpy(scans.studies[which])
    return Fold(images, torch.from_numpy(scans.labels[which]), patients, studies)


def _duplicate_notes(pairs: Sequence[tuple[int, int]], fold_of: Ints) -> list[str]:
    own = [(one, other) for one, other in pairs if fold_of[one] >= 0 and fold_of[other] >= 0]
    across = sum(int(fold_of[one] != fold_of[other]) for one, other in own)
    if across:
        return [f"{len(own)} pairs of near duplicates, {across} of them in two folds: correct `split` in the manifest"]
    return [f"{len(own)} pairs of near duplicates, each in one fold"] * bool(own)


def _label_notes(folds: Mapping[str, Fold], findings: Sequence[str]) -> list[str]:
    """A warning for each fold that has no positive, or no negative, of a finding that the site labels."""
    every = torch.cat([fold.labels for fold in folds.values()])
    labelled = [at for at in range(len(findings)) if not every[:, at].isnan().all()]
    notes = [] if labelled else ["no scan has a label: this site can neither train nor be evaluated"]
    for name, fold in folds.items():
        for value, word in ((1.0, "positive"), (0.0, "negative")):
            missing = [findings[at] for at in labelled if not (fold.labels[:, at] == value).any()]
            if missing and len(fold):
                notes.append(f"fold {name} ({len(fold)} scans) has no {word} scan of: {', '.join(missing)}")
    return notes


def _fingerprint(scans: Scans, fold_of: Ints) -> str:
    """SHA-256 over the sorted digests of (decoded pixels, labels, fold); contains no path and no patient."""
    codes = np.where(np.isnan(scans.labels), -1, scans.labels).astype(np.int8)
    each = [
        hashlib.sha256(digest + code.tobytes() + FOLDS[fold].encode()).digest()
        for digest, code, fold in zip(scans.digests, codes, fold_of, strict=True)
        if fold >= 0
    ]
    return hashlib.sha256(b"".join(sorted(each))).hexdigest()
