"""Collect every wheel that brainct needs, with hashes, for machines without an index.

`python provisioning/wheelhouse.py wheelhouse --torch 2.13.0+cpu`, on a machine with an index and the same system and
Python as the others. The build of torch is named, not left to an index: `+cpu`, or one for CUDA such as `+cu126`.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
INDEX = "https://download.pytorch.org/whl/{}"


def main() -> None:
    """Build the package's wheel, collect the others, and write requirements.txt."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("out", type=Path, help="folder for the wheels, new or empty")
    words.add_argument("--torch", required=True, help="version and build, such as 2.13.0+cpu")
    words.add_argument("--extras", default="report,table", help="extras of the package, joined by commas")
    words.add_argument("--index", help="index of the build of torch (default: PyTorch's own)")
    chosen = words.parse_args()
    if "+" not in chosen.torch:
        sys.exit(f"--torch is {chosen.torch}; wanted a build as well, such as {chosen.torch}+cpu")
    if chosen.out.exists() and any(chosen.out.iterdir()):
        sys.exit(f"{chosen.out} is not empty; name a new folder, so that nothing else gets into the list")
    chosen.out.mkdir(parents=True, exist_ok=True)
    collect(chosen.out, chosen.torch, chosen.extras, chosen.index or INDEX.format(chosen.torch.partition("+")[2]))
    lines = requirements(chosen.out)
    (chosen.out / "requirements.txt").write_text("\n".join(lines) + "\n")
    size = sum(wheel.stat().st_size for wheel in chosen.out.glob("*.whl")) / 1e6
    print(f"{len(lines)} wheels, {size:.0f} MB, in {chosen.out}; install: see provisioning/offline.md")


def collect(out: Path, torch: str, extras: str, index: str) -> None:
    """Wheels of the package and of everything that it needs; what an index has as sources alone is built."""
    fetch_torch(out, torch, index)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", out, ROOT], check=True)
    (package,) = out.glob("flare_brainct-*.whl")
    wanted = [f"{package.resolve()}[{extras}]" if extras else str(package.resolve()), f"torch=={torch}"]
    more = [] if torch.endswith("+cpu") else ["--extra-index-url", index]  # a GPU build has parts there
    command = [sys.executable, "-m", "pip", "wheel", "--prefer-binary", "--find-links", out, *more, "-w", out, *wanted]
    subprocess.run(command, check=True)


def fetch_torch(out: Path, torch: str, index: str) -> None:
    """The build of torch first: pip would try an index that can't be reached anew for every other package."""
    where = ["--no-deps", "--index-url", index, "--retries", "1", "-w", out, f"torch=={torch}"]
    if subprocess.run([sys.executable, "-m", "pip", "wheel", *where]).returncode:
        sys.exit(f"torch {torch} did not come from {index}; is it reachable, does it have this build? See --index")


def requirements(folder: Path) -> list[str]:
    """`name==version --hash=sha256:...` of every wheel in a folder."""
    lines = []
    for wheel in sorted(folder.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
    return lines


if __name__ == "__main__":
    main()
