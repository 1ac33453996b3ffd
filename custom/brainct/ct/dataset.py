"""Opens a site's scans: read, checked, letterboxed, windowed, laid into folds; nothing decoded is written to disk."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from brainct.ct.folds import FINDINGS
from brainct.ct.partition import PUBLIC, dealt
from brainct.ct.preprocess import Pixels, rendered, thumbnail
from brainct.ct.read.decode import decoded
from brainct.ct.read.label_table import ANY, Labels
from brainct.ct.read.listing import listed
from brainct.ct.site_config import PhantomChoices, SiteFile
from brainct.ct.split import Ints, joined, near_duplicates, split, threshold
from brainct.errors import Refused
from brainct.training.data import FOLDS, Dataset, Fold, Public, no_public

PHANTOM = "SYNTHETIC PHANTOM scans, not patients"


@dataclass(frozen=True)
class _Scans:
    """All scans of one site file before they are laid into folds."""

    images: Tensor
    labels: Labels
    digests: tuple[bytes, ...]
    groups: Ints
    pairs: Sequence[tuple[int, int]]
    given: tuple[str | None, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...]
    patients: Ints | None = None


def open_site(file: SiteFile | None, site: str, sites: Sequence[str], size: int = 96, dims: int = 2) -> Dataset:
    """The scans of one site; without a site file, the synthetic phantom.

    sites: all names of the federation, sorted; only a simulation's `deal` looks at them.
    size: side of the images in pixels; dims: 2 slices, 3 volumes. Raises Refused, beginning with the site's name.
    """
    return open_sites(file, sites, size, dims, only=site)[site]


def open_sites(
    file: SiteFile | None, sites: Sequence[str], size: int = 96, dims: int = 2, only: str | None = None
) -> dict[str, Dataset]:
    """What `open_site` gives for every site, with each image decoded once: for a simulation in one process."""
    whose = [only] if only is not None else list(sites)
    try:
        if file is None or file.kind == "phantom":
            return {site: _phantom(file, site, size, dims) for site in whose}
        device = device_of(file.device)
        scans = _read(file, size, dims)
        share = {site: _folds(scans, file, site, sites) for site in whose}
        sets = [np.flatnonzero(fold_of == at) for fold_of in share.values() for at in range(len(FOLDS))]
        common = _in_order(scans, next(iter(share.values())))
        *parts, aside = _shared_out(scans, [*sets, common], len(whose) > 1)
        laid, public = iter(parts), _public(file, scans, size, dims, common, aside)
        return {site: replace(_laid_out(scans, share[site], file, device, laid), public=public) for site in whose}
    except Refused as refusal:
        raise Refused(f"{only or 'site file'}: {refusal}") from None


def _in_order(scans: _Scans, fold_of: Ints) -> Ints:
    """The scans set aside as public, in the order of their digests."""
    aside = np.flatnonzero(fold_of == PUBLIC).tolist()
    return np.array(sorted(aside, key=lambda at: scans.digests[at]), np.int64)


def _shared_out(scans: _Scans, sets: Sequence[Ints], several: bool) -> list[Tensor]:
    return shelved(scans.images, sets) if several else [scans.images[which] for which in sets]


def _public(file: SiteFile, scans: _Scans, size: int, dims: int, common: Ints, aside: Tensor) -> Callable[[], Public]:
    """What gives the public scans: those set aside by the deal, or the folder that the site file names."""
    if len(common):
        found = Public(aside, _joint([scans.digests[at] for at in common]))
        return lambda: found
    return cache(partial(_public_set, file, frozenset(scans.digests), size, dims)) if file.public else no_public


def _public_set(file: SiteFile, own: frozenset[bytes], size: int, dims: int) -> Public:
    assert file.public is not None
    root, labels = file.public.root, file.public.labels
    there = SiteFile(kind="manifest", root=root, labels=labels, windows=file.windows, fov_mm=file.fov_mm)
    try:
        scans = _read(there, size, dims)
    except Refused as refusal:
        raise Refused(f"`public`: {refusal}") from None
    if both := len(own.intersection(scans.digests)):
        raise Refused(f"`public`: {both} scans are this site's own too: leave them out of the site's manifest")
    return _sorted_public(scans.images, scans.digests)


@lru_cache(maxsize=1)
def _phantom_public(chosen: PhantomChoices, windows: tuple[tuple[float, float], ...], size: int, dims: int) -> Public:
    from brainct.ct.phantom import public_phantom

    hu = public_phantom(chosen.public, chosen.seed, size, dims, chosen.difficulty)
    pixels = [Pixels(image, hu=True) for image in hu]
    return _sorted_public(
        torch.stack([rendered(each, size, windows) for each in pixels]), [each.digest() for each in pixels]
    )


def _sorted_public(images: Tensor, digests: Sequence[bytes]) -> Public:
    order = sorted(range(len(digests)), key=lambda at: digests[at])
    return Public(images[order], _joint(digests))


def _joint(digests: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def device_of(choice: str) -> str:
    """`auto` as cuda or cpu, any other choice as it stands; Refused when that device is not there."""
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    number = int(choice.partition(":")[2] or 0)
    if choice != "cpu" and number >= torch.cuda.device_count():
        raise Refused(f"`device`: {choice}, but torch sees {torch.cuda.device_count()} CUDA devices: set cpu or auto")
    return choice


def every_scan(file: SiteFile | None, site: str, size: int, dims: int) -> tuple[tuple[str, ...], Dataset]:
    """The names of a site's scans, and a data set whose folds `train` and `test` both hold all of them in that order.

    A name is a path relative to root, followed by # and the slice where the label file names one. No label is needed.
    """
    try:
        drawn = file is None or file.kind == "phantom"
        scans = _drawn(file, site, size, dims) if file is None or drawn else _read(file, size, dims)
        file = file or SiteFile(kind="phantom")
        whole = Fold(scans.images, torch.from_numpy(scans.labels))
        everything = np.zeros(len(whole), dtype=np.int64)
        folds = {"train": whole, "test": whole}
        fingerprint, device = _fingerprint(scans, everything), device_of(file.device)
        return scans.names, Dataset(file.kind, folds, fingerprint, scans.notes, file.batch_size, device)
    except Refused as refusal:
        raise Refused(f"{site}: {refusal}") from None


def _phantom(file: SiteFile | None, site: str, size: int, dims: int) -> Dataset:
    scans = _drawn(file, site, size, dims)
    file = file or SiteFile(kind="phantom")
    fold_of = split(scans.labels[:, ANY], scans.groups, file.split.fractions, file.split.seed)
    laid = iter([scans.images[np.flatnonzero(fold_of == at)] for at in range(len(FOLDS))])
    common = (file.phantom or PhantomChoices()).model_copy(update={"scans": 1, "prevalence": None, "scanner": None})
    public = partial(_phantom_public, common, file.windows, size, dims)
    return replace(_laid_out(scans, fold_of, file, device_of(file.device), laid), public=public)


def _drawn(file: SiteFile | None, site: str, size: int, dims: int) -> _Scans:
    from brainct.ct.phantom import SCANNERS, phantom

    chosen = file.phantom if file else PhantomChoices()
    why = PHANTOM if file else f"no site file: {PHANTOM}; set BRAINCT_SITE to a site file to use your own"
    file = file or SiteFile(kind="phantom")
    scanner = next((scanner for scanner in SCANNERS if scanner.name == chosen.scanner), None)
    hu, labels = phantom(site, chosen.scans, chosen.seed, size, dims, chosen.difficulty, chosen.prevalence, scanner)
    pixels = [Pixels(np.asarray(image, np.float32), hu=True) for image in hu]
    return _Scans(
        images=torch.stack([rendered(each, size, file.windows) for each in pixels]),
        labels=np.asarray(labels, np.float32),
        digests=tuple(each.digest() for each in pixels),
        groups=np.arange(len(pixels)),
        pairs=(),
        given=(None,) * len(pixels),
        notes=(why,),
        names=tuple(f"phantom-{number}" for number in range(len(pixels))),
    )


def _read(file: SiteFile, size: int, dims: int) -> _Scans:
    entries, notes = listed(file)
    images, digests, thumbnails, seen, kinds = torch.empty(0), [], [], Counter[str](), Counter[bool]()
    for number, entry in enumerate(entries):
        pixels, said = decoded(entry, dims)
        if file.fov_mm and not pixels.spacing:
            raise Refused(f"{entry.name}: pixel size unknown, so `fov_mm` cannot be kept: remove `fov_mm`")
        image = rendered(pixels, size, file.windows, file.fov_mm)
        images = images if number else image.new_empty(len(entries), *image.shape)
        images[number] = image
        digests.append(pixels.digest())
        thumbnails.append(thumbnail(pixels))
        seen.update(said)
        kinds[pixels.hu] += 1
    if len(set(digests)) == 1 < len(digests):
        raise Refused(f"all {len(digests)} images are the same: the export has gone wrong, export them again")
    patients = [entry.patient for entry in entries]
    pairs = near_duplicates(np.stack(thumbnails), threshold(patients))
    together = joined(pairs, patients)
    notes += [f"{said}: {count} of {len(entries)} scans" for said, count in sorted(seen.items())]
    return _Scans(
        images=images,
        labels=np.stack([entry.labels for entry in entries]),
        digests=tuple(digests),
        groups=together,
        pairs=pairs,
        given=tuple(entry.fold for entry in entries),
        notes=(*notes, *_said(kinds, None in patients, together)),
        names=tuple(entry.name if entry.slice is None else f"{entry.name}#{entry.slice}" for entry in entries),
        patients=_numbered(patients),
    )


def _numbered(patients: Sequence[str | None]) -> Ints | None:
    """A number for each patient, and one of its own for each scan of nobody known; None where all are unknown.

    Not the groups of `joined`: these hold near duplicates together too, so that one more scan could join two patients
    into one, and what leaves would change by more than one patient's share.
    """
    if not any(patients):
        return None
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(who or at, len(numbers)) for at, who in enumerate(patients)], np.int64)


def _said(kinds: Counter[bool], strangers: bool, together: Ints) -> list[str]:
    notes = []
    if kinds[False]:
        notes.append(f"{kinds[False]} pictures without HU, in a window nobody knows: compare them with care")
    if kinds[True] and kinds[False]:
        notes.append(f"pictures are mixed with {kinds[True]} scans in HU: a network can tell them apart by that alone")
    notes += ["patients unknown: two scans of one patient may stand in two folds unless they look alike"] * strangers
    largest = int(np.bincount(together).max())
    notes += [f"{largest} of {len(together)} scans belong together"] * (largest > max(1, len(together) // 2))
    return notes


def _folds(scans: _Scans, file: SiteFile, site: str, sites: Sequence[str]) -> Ints:
    known = scans.labels[:, ANY]
    if scans.given[0] is not None:
        if file.deal:
            raise Refused("`deal` cannot deal scans whose `split` is given in the manifest: remove one of the two")
        return np.array([FOLDS.index(str(each)) for each in scans.given])
    if file.deal is None:
        return split(known, scans.groups, file.split.fractions, file.split.seed)
    ordered = sorted(sites)
    if site not in ordered:
        raise Refused(f"site {site} is not among the sites {', '.join(ordered)}: `deal` has no share for it")
    return dealt(known, scans.groups, file.split.fractions, file.deal, len(ordered))[ordered.index(site)]


def shelved(images: Tensor, sets: Sequence[Ints]) -> list[Tensor]:
    """images[which] for each of the index sets; sets that are disjoint or equal are views and cost no memory.

    The images are put in order in place, so what was given is used up: many sites' shares of one large data set then
    need it once, not twice.
    """
    order: list[int] = []
    found: dict[bytes, slice | Tensor] = {}
    for which in sets:
        if which.tobytes() in found:
            continue
        overlap = np.isin(which, order).any()
        found[which.tobytes()] = images[which] if overlap else slice(len(order), len(order) + len(which))
        order += [] if overlap else which.tolist()
    _reorder(images, [*order, *np.setdiff1d(np.arange(len(images)), order).tolist()])
    places = [found[which.tobytes()] for which in sets]
    return [images[place] if isinstance(place, slice) else place for place in places]


def _reorder(images: Tensor, order: Sequence[int]) -> None:
    """images[i] becomes what was images[order[i]], along the permutation's cycles, with one image held aside."""
    done = [False] * len(order)
    for start in range(len(order)):
        held, at = images[start].clone(), start
        while not done[at]:
            done[at], source = True, order[at]
            images[at] = held if source == start else images[source]
            at = source


def _laid_out(scans: _Scans, fold_of: Ints, file: SiteFile, device: str, laid: Iterator[Tensor]) -> Dataset:
    if not (fold_of == 0).any():
        raise Refused("no training scans: mark some as `train` in `split`, or raise `split.train`")
    folds = {name: _fold(scans, np.flatnonzero(fold_of == at), next(laid)) for at, name in enumerate(FOLDS)}
    notes = (*scans.notes, *_alike(scans.pairs, fold_of), *_absent(folds))
    return Dataset(file.kind, folds, _fingerprint(scans, fold_of), notes, file.batch_size, device)


def _fold(scans: _Scans, which: Ints, images: Tensor) -> Fold:
    patients = None if scans.patients is None else torch.from_numpy(scans.patients[which])
    return Fold(images, torch.from_numpy(scans.labels[which]), patients)


def _alike(pairs: Sequence[tuple[int, int]], fold_of: Ints) -> list[str]:
    own = [(one, other) for one, other in pairs if fold_of[one] >= 0 and fold_of[other] >= 0]
    apart = sum(int(fold_of[one] != fold_of[other]) for one, other in own)
    if apart:
        return [f"{len(own)} pairs of near duplicates, {apart} of them in two folds: correct `split` in the manifest"]
    return [f"{len(own)} pairs of near duplicates, each in one fold"] * bool(own)


def _absent(folds: dict[str, Fold]) -> list[str]:
    """A warning for each fold that has no positive, or no negative, of a finding that the site does label."""
    every = torch.cat([fold.labels for fold in folds.values()])
    labelled = [at for at in range(len(FINDINGS)) if not every[:, at].isnan().all()]
    notes = [] if labelled else ["no scan has a label of any finding: nothing can be trained, and no score be had"]
    for name, fold in folds.items():
        for value, word in ((1.0, "positive"), (0.0, "negative")):
            none = [FINDINGS[at] for at in labelled if not (fold.labels[:, at] == value).any()]
            if none and len(fold):
                notes.append(f"fold {name} ({len(fold)} scans) has no {word} scan of: {', '.join(none)}")
    return notes


def _fingerprint(scans: _Scans, fold_of: Ints) -> str:
    """SHA-256 over the sorted digests of (pixels as decoded, labels, fold): no path and no patient enters it."""
    codes = np.where(np.isnan(scans.labels), -1, scans.labels).astype(np.int8)
    each = [
        hashlib.sha256(digest + code.tobytes() + FOLDS[fold].encode()).digest()
        for digest, code, fold in zip(scans.digests, codes, fold_of, strict=True)
        if fold >= 0
    ]
    return hashlib.sha256(b"".join(sorted(each))).hexdigest()
