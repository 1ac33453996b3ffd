"""FLARE's own simulator, started as a user starts it."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from brainct.job import folders
from tests.conftest import NETWORK_FOR, ROOT, TINY

AUGMENTED = ("fedavg", "sitenorm")
"""Jobs that augment: MONAI costs each process of a site seconds to import, and it is the same whatever the scheme."""


def small_job(folder: Path, name: str, **choices) -> Path:
    folders.render(folder)
    file = folder / name / "app" / "config" / "config_fed_server.json"
    content = json.loads(file.read_text())
    augment = {"scanner": 0.5} if name in AUGMENTED else None
    fit = {"optimizer": folders.JOBS[name]["fit"]["optimizer"], "rate": 0.003, "augment": augment}
    network = NETWORK_FOR.get(name, NETWORK_FOR.get(folders.JOBS[name]["scheme"], TINY))
    content["workflows"][0]["args"] |= {"rounds": 3, "network": network, "fit": fit, **choices}
    file.write_text(json.dumps(content))
    return folder / name


def simulate(job: Path, workspace: Path, sites: int, *options, watch=lambda process: None):
    """Exit code and everything printed."""
    nvflare = str(Path(sys.executable).parent / "nvflare")
    command = [nvflare, "simulator", str(job), "-w", str(workspace), "-n", str(sites), "-t", str(sites), *options]
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    watcher = threading.Thread(target=watch, args=(process,), daemon=True)
    watcher.start()
    try:
        text, _ = process.communicate(timeout=300)
    finally:
        for child in process.children(recursive=True) if process.is_running() else []:
            child.kill()
    return process.returncode, text


def model_hash(text: str) -> str:
    """The hash on the very last line."""
    return re.fullmatch(r"model sha256: ([0-9a-f]{64})", text.rstrip("\n").splitlines()[-1])[1]


def printed_hash(text: str) -> str:
    """The one hash printed, wherever it is: threads of FLARE that still wait for a killed site may log after it."""
    (found,) = re.findall(r"^model sha256: ([0-9a-f]{64})$", text, re.MULTILINE)
    return found
