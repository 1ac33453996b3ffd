"""Checks of what the kit runs on: the installed package, disk, memory, GPU, and the site's scans."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.kit.certificates import common_name, own_certificate
from brainct.kit.verdict import CheckResult, Status

GIB = 2**30


def check_package(required: str | None) -> Iterator[CheckResult]:
    """Whether the installed package is the one on which the federation agreed."""
    own = fingerprint()
    if required is None:
        yield CheckResult("package", "WARN", f"brainct {own}; compare it with the other sites (--require)")
    elif required != own:
        yield CheckResult(
            "package", "FAIL", f"brainct {own}, but the federation agreed on {required}; install that one"
        )
    else:
        yield CheckResult("package", "PASS", f"brainct {own}, as the federation agreed")


def check_machine(kit: Path) -> Iterator[CheckResult]:
    """Free disk space and memory in GiB, and the GPU."""
    import torch  # the other checks do not need it, and it takes seconds to import

    yield _free("disk", shutil.disk_usage(kit).free / GIB, 1, 10)
    yield _free("memory", psutil.virtual_memory().available / GIB, 1, 4)
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield CheckResult("GPU", "PASS", f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free")
    else:
        yield CheckResult("GPU", "PASS", f"no GPU that torch can use: training runs on {os.cpu_count()} CPU cores")


def _free(subject: str, free: float, required: float, recommended: float) -> CheckResult:
    status: Status = "FAIL" if free < required else "WARN" if free < recommended else "PASS"
    advice = "" if status == "PASS" else f"; at least {recommended} GiB recommended"
    return CheckResult(subject, status, f"{free:.1f} GiB free{advice}")


def check_scans(kit: Path) -> Iterator[CheckResult]:
    """What a run would find in each fold of the site's scans."""
    from brainct.ct.dataset import open_site
    from brainct.ct.site_config import read_site_file
    from brainct.ct.workload import CT
    from brainct.site.data import site_file_of

    site, path = common_name(own_certificate(kit)), site_file_of(kit)
    if path is None and (misnamed := [each.name for each in (kit / "local").glob("brainct*.y*ml")]):
        raise Refused(f"local/{misnamed[0]} is ignored and the phantom would be used: rename it to brainct.yaml")
    about = CT.describe(open_site(read_site_file(path) if path else None, site, [site]))
    for fold, counts in about["folds"].items():
        labels = [
            f"{name} {counts['positives'][name]}+/{counts['negatives'][name]}-"
            for name in counts["positives"]
            if counts["positives"][name] + counts["negatives"][name]
        ]
        if_missing: Status = "FAIL" if fold == "train" else "WARN"
        status: Status = "PASS" if counts["scans"] and labels else if_missing
        yield CheckResult(f"scans, {fold}", status, f"{counts['scans']}; {', '.join(labels) or 'no label'}")
    yield from (CheckResult("scans", "WARN", note) for note in about["notes"])
