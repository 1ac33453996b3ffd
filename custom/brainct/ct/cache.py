"""Decoded scans on disk, so that the second start of a site takes seconds; docs/data.md describes the files.

A cache holds scans and stays at the site: its folders are readable by their owner only.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.core.version import fingerprint
from brainct.ct.read.listing import ScanEntry
from brainct.ct.rendered import Rendered, ScanFacts, render_all
from brainct.ct.site_config import SiteFile
from brainct.ct.split import Ints, near_duplicates

KEPT = 4
"""Renderings (one for each size, windows, ...) that a cache keeps; of more, the one unused for longest is removed."""
ABANDONED = 86400.0
"""Seconds after which the files of a start that did not end are removed."""


def rendered(entries: Sequence[ScanEntry], file: SiteFile, size: int, dims: int) -> Rendered:
    """As `render_all`, but out of the site's cache if it has one and no scan, choice or package has changed."""
    job = file.job
    shown = job.windows_at(file.windows), job.fov_at(file.fov_mm), job.neighbours, job.steps
    choices = (size, dims, *shown, file.gantry_tilt, file.nifti_axes)
    scans = (((one.name, one.slice), one.files or (one.path,)) for one in entries)
    return through(file.cache, choices, scans, lambda folder: render_all(entries, file, size, dims, folder))


def through(
    cache: Path | None,
    choices: object,
    scans: Iterable[tuple[object, Sequence[Path]]],
    render: Callable[[Path | None], Rendered],
) -> Rendered:
    """What `render` gives, out of the cache if that has it; no cache: render(None).

    choices: those that change a rendering. scans: what each is called, and its files or folders. render: given a folder
    for files of its own, see `collect`.
    """
    if cache is None:
        return render(None)
    folder = cache / _key(choices, scans)
    if not (folder / "scans.json").exists():
        _render_into(folder, render)
    os.utime(folder)
    _remove_old(cache)
    return _load(folder)


def duplicate_pairs(found: Rendered, alike: float) -> list[tuple[int, int]]:
    """As `near_duplicates`, once for each rendering and threshold if there is a cache."""
    if found.folder is None:
        return near_duplicates(found.thumbnails, alike)
    path = found.folder / f"pairs-{alike:g}.npy"
    if not path.exists():
        _save(path, np.array(near_duplicates(found.thumbnails, alike), np.int64).reshape(-1, 2))
    return [(int(one), int(other)) for one, other in np.load(path)]


def fold_images(
    images: Tensor,
    which: Ints,
    folder: Path | None,
    ending: str = "",
    given: Callable[[Tensor], Tensor] = lambda found: found,
) -> Tensor:
    """images[which] float32; if they are in a cache, out of a file of their own that is memory-mapped.

    ending: of the file's name, where a fold has several. given: what becomes of the images, elementwise.
    """
    if folder is None or not len(which):
        return given(images[which])
    path = folder / f"fold-{hashlib.sha256(which.tobytes()).hexdigest()[:16]}{ending}.npy"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        shape = (len(which), *images.shape[1:])
        copy = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
        for to, at in enumerate(which.tolist()):
            copy[to] = given(images[at]).numpy()
        copy.flush()
        os.replace(part, path)
    return _mapped(path)


def _key(choices: object, scans: Iterable[tuple[object, Sequence[Path]]]) -> str:
    """64 hex digits over the package, the choices that change a rendering, and each file's name, size and time."""
    digest = hashlib.sha256(repr((fingerprint(), choices)).encode())
    known: dict[Path, list[tuple[str, int, int]]] = {}
    for scan, paths in scans:
        for path in paths:
            if path not in known:
                known[path] = [_state(each) for each in (sorted(path.iterdir()) if path.is_dir() else [path])]
        digest.update(repr((scan, [known[path] for path in paths])).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _state(path: Path) -> tuple[str, int, int]:
    with suppress(OSError):  # a scan that cannot be opened is refused where it is read
        found = path.stat()
        return path.name, found.st_size, found.st_mtime_ns
    return path.name, -1, -1


def _render_into(folder: Path, render: Callable[[Path | None], Rendered]) -> None:
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    try:
        found = render(part)
        _save(part / "thumbnails.npy", found.thumbnails)
        content = {"kept": found.kept, "failed": found.failed, "scans": [asdict(facts) for facts in found.facts]}
        (part / "scans.json").write_text(json.dumps(content))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _load(folder: Path) -> Rendered:
    content = json.loads((folder / "scans.json").read_text())
    kept, masks = tuple(content["kept"]), folder / "masks.npy"
    return Rendered(
        images=_mapped(folder / "images.npy")[: len(kept)],
        thumbnails=np.load(folder / "thumbnails.npy"),
        facts=tuple(map(_facts, content["scans"])),
        kept=kept,
        failed={int(at): why for at, why in content["failed"].items()},
        folder=folder,
        masks=_mapped(masks)[: len(kept)] if masks.exists() else None,
    )


def _facts(found: dict[str, Any]) -> ScanFacts:
    lists = {key: tuple(value) for key, value in found.items() if isinstance(value, list)}
    return ScanFacts(**{**found, **lists})


def _mapped(path: Path) -> Tensor:
    # "c": changes would stay in memory; torch warns of arrays that cannot be written
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _save(path: Path, values: NDArray[Any]) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, values)
    os.replace(part, path)


def _remove_old(cache: Path) -> None:
    folders = [path for path in cache.iterdir() if (path / "scans.json").exists()]
    begun = [path for path in cache.glob("*.part") if path.stat().st_mtime < time.time() - ABANDONED]
    for path in [*sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:], *begun]:
        shutil.rmtree(path, ignore_errors=True)
