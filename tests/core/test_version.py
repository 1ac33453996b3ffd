"""What a record says of the software and the machine that computed it."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from brainct.core.version import cpu_name, versions

SAY = "from brainct.core.version import versions; print(versions()['cpu_capability'])"


def test_the_versions_name_the_cpu_and_what_pytorch_uses_of_it():
    found = versions()
    assert found["cpu"] == cpu_name()
    if Path("/proc/cpuinfo").exists() and "model name" in Path("/proc/cpuinfo").read_text():
        assert found["cpu"] in Path("/proc/cpuinfo").read_text()
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()


def test_the_cpu_capability_is_the_one_that_was_chosen():
    chosen = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    said = subprocess.run([sys.executable, "-c", SAY], env=chosen, check=True, capture_output=True, text=True).stdout
    assert said.strip() == "DEFAULT"
