"""Which brainct is installed, and what with it: versions, and a hash over its sources, to compare between sites."""

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSION = "0.2.0"
"""The package's version, also in pyproject.toml."""
PACKAGES = ("flare-brainct", "nvflare", "torch", "monai", "numpy")


@cache
def fingerprint(folder: Path = Path(__file__).parents[1]) -> str:
    """VERSION-HASH; the hash (16 hex digits of SHA-256) is over each source file's path and bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        for part in (path.relative_to(folder).as_posix().encode(), path.read_bytes()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return f"{VERSION}-{digest.hexdigest()[:16]}"


def versions() -> dict[str, str]:
    """Versions of everything that a result depends on.

    cpu: its name. cpu_capability: the widest vector instructions that PyTorch uses on it, such as AVX2 or AVX512; the
    order of its additions follows from them, so the last bits of a model do too.
    """
    import torch  # not needed to say which brainct is installed

    found = {"python": platform.python_version(), "machine": platform.machine(), "cpu": cpu_name()}
    found["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def cpu_name() -> str:
    """What the system calls its CPU; the architecture where it does not say."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
