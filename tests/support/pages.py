"""The pages of provisioning/, followed on one machine."""

import os
import re
import secrets
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from brainct.flare.local_federation import environment, free_port
from brainct.flare.processes import VARIABLE, end_processes
from tests.conftest import ROOT
from tests.support.simulator import small_job

BLOCK = re.compile(r"^```sh (\d+) ?(.*?)\n(.*?)^```$", re.M | re.S)


LISTED = {"architecture": "cnn", "size": 32}
"""A network as the hospitals' standard policy lists it: small, with default options."""


UP = 120.0
"""Seconds in which a started server should listen."""


def blocks(*pages: str):
    """(number, for whom, commands) of every numbered block of the pages, in the order of their numbers."""
    found = []
    for page in pages:
        text = (ROOT / "provisioning" / page).read_text()
        assert text.count("```sh") == len(BLOCK.findall(text)), f"{page} has a block without a number"
        found += [(int(number), whom, commands) for number, whom, commands in BLOCK.findall(text)]
    assert len({number for number, _, _ in found}) == len(found), "two blocks with one number"
    return sorted(found)


class Desktop:
    """A folder with what a clone has, on a port of its own; `follow` runs a block and returns what it printed."""

    def __init__(self, folder: Path):
        self.folder, self.mark, self.port = folder, secrets.token_hex(8), str(free_port())
        self.blocks = 0
        for part in ("provisioning", "poc/sites"):
            shutil.copytree(ROOT / part, folder / part)
        for file in (folder / "provisioning" / "project.yml", folder / "provisioning" / "distributed" / "profile.yml"):
            assert "8002" in file.read_text()
            file.write_text(file.read_text().replace("8002", self.port))
        phantom = folder / "poc" / "sites" / "phantom.yaml"
        phantom.write_text(phantom.read_text().replace("scans: 80 ", "scans: 16 "))
        small_job(folder / "jobs", "fedavg", rounds=2, network=LISTED)

    def follow(self, commands: str, **variables: str) -> str:
        """Output goes to a file of its own, which what a block leaves running keeps open."""
        self.blocks += 1
        log = self.folder / f"printed-{self.blocks}.txt"
        home = environment(self.folder / "home")
        with log.open("w") as printed:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=self.folder,
                env={**home, "COLUMNS": "100", VARIABLE: f"{self.mark}:page", **variables},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                timeout=540,
            )
        text = log.read_text()
        if client_state := os.environ.get("BRAINCT_TRANSCRIPT"):
            with Path(client_state).open("a") as transcript:
                transcript.write(f"$ {commands}\n{text}\n")
        assert done.returncode == 0, f"{commands}\n{text}"
        return text

    def follow_once_up(self, commands: str, **variables: str) -> str:
        """The same for commands that ask a server that is only just starting; people are slower than this test."""
        until = time.monotonic() + UP
        while True:
            try:
                return self.follow(commands, **variables)
            except AssertionError as failure:
                if "Connection refused" not in str(failure) or time.monotonic() > until:
                    raise
                time.sleep(2)


@contextmanager
def desktop(folder: Path):
    """Whatever a page leaves running is ended with the test."""
    (folder / "home").mkdir(parents=True)
    place = Desktop(folder)
    try:
        yield place
    finally:
        end_processes(place.mark)
