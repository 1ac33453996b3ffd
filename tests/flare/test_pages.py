"""The pages of provisioning/, followed literally on one machine: each numbered block is run as it stands."""

import json
import os
import re
import secrets
import shutil
import subprocess
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from brainct.flare.local_federation import environment, free_port
from brainct.flare.processes import VARIABLE, marked, sweep
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import ROOT
from tests.flare.test_simulator import model_hash, small_job

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"^```sh (\d+) ?(.*?)\n(.*?)^```$", re.M | re.S)
LISTED = {"architecture": "cnn", "size": 32}
"""A network as the hospitals' standard policy lists it: small, with default options."""
HOSPITALS = ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
GONE = 'for i in $(seq 180); do [ -n "$(find . -name daemon_pid.fl)" ] || exit 0; sleep 0.5; done; exit 1'
"""Waits until every site's restarting script has ended."""

CHECK = 33
"""The site check, which the test runs at one hospital: it loads torch and MONAI and says the same at each."""

UP = 120.0
"""Seconds in which a started server should listen."""

ROLES = ["project_admin.md", "org_admin.md", "lead.md", "member.md", "add_a_hospital.md"]


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
        sweep(place.mark)


def rehearsed(place: Desktop, job: str, sites: list[str], out: Path, monkeypatch) -> str:
    monkeypatch.setenv("BRAINCT_SITE", str(place.folder / "poc" / "sites" / "phantom.yaml"))
    plan = folders.read(place.folder / "jobs" / job)
    return rehearse(plan, sites, out, log=lambda line: None).content["model_sha256"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_role_follows_its_page_from_the_kits_to_the_end(tmp_path, monkeypatch):
    printed = {}
    with desktop(tmp_path / "clone") as place:
        kits = place.folder / "kits" / "brainct"
        for number, whom, commands in blocks(*ROLES):
            everyone = HOSPITALS[:1] if number == CHECK else HOSPITALS
            for site in everyone if whom == "each hospital" else [""]:
                follow = place.follow_once_up if number == CHECK else place.follow
                printed[number] = follow(commands, SITE=site)
            if number == 11:
                provisioned = {kit.name: contents(kit / "startup") for kit in (kits / "prod_00").iterdir()}
            if number == 70:
                for name, files in provisioned.items():
                    assert contents(kits / "prod_01" / name / "startup") == files
                    assert contents(kits / "prod_00" / name / "startup") == files
        records = [json.loads(file.read_text()) for file in (place.folder / "results").rglob("record.json")]
        place.follow(GONE)
        assert marked(place.mark) == []
    assert model_hash(printed[50]) == rehearsed(place, "fedavg", HOSPITALS, tmp_path / "four", monkeypatch)
    five = [*HOSPITALS, "hospital-e"]
    assert model_hash(printed[75]) == rehearsed(place, "fedavg", five, tmp_path / "five", monkeypatch)
    assert not list((place.folder / "jobs").rglob(".__nvfl*"))
    assert any(line.startswith(("PASS: ", "WARN: ")) for line in printed[20].splitlines())
    assert "PASS  package" in printed[33]
    assert "Submitted job" in printed[55]
    assert printed[80].count("FINISHED:COMPLETED") == len(records) + 1 == 3
    assert "Registered clients: 4" in printed[56]
    assert "Flare Server has been shutdown" in printed[90]
    assert [path.name for path in (kits / "prod_01").iterdir()] == ["hospital-e"]
    for record in records:
        assert record["sites"]["hospital-a"]["check"]["verdict"] in ("PASS", "WARN")
        assert record["sites"]["hospital-a"]["check"]["package"] == record["package"]


def test_a_federation_whose_private_keys_never_travel_ends_with_the_rehearsed_model(tmp_path, monkeypatch):
    printed = {}
    with desktop(tmp_path / "clone") as place:
        small_job(place.folder / "jobs", "feddc", rounds=2, network=LISTED)
        for number, whom, commands in blocks("distributed.md"):
            for name in whom.removeprefix("each of ").split() or [""]:
                printed[number] = place.follow(commands, NAME=name)
            if number == 40:
                check_that_keys_stay_with_their_owners(place.folder)
        place.follow(GONE)
        assert marked(place.mark) == []
    assert model_hash(printed[55]) == rehearsed(place, "feddc", HOSPITALS[:2], tmp_path / "two", monkeypatch)


def check_that_keys_stay_with_their_owners(folder: Path):
    """A participant's key is in his own folder and his kit, and neither in the mail nor anywhere else."""
    for own in (folder / "own").iterdir():
        (key,), kit = own.glob("*.key"), folder / f"kits-{own.name}"
        holders = [path for path in folder.rglob("*") if path.is_file() and key.read_bytes() in unpacked(path)]
        assert any(kit in path.parents for path in holders)
        assert [path for path in holders if not {own, kit} & set(path.parents)] == []


def unpacked(file: Path) -> bytes:
    """A file's bytes, or those of all that a zip holds."""
    if not zipfile.is_zipfile(file):
        return file.read_bytes()
    with zipfile.ZipFile(file) as packed:
        return b"".join(packed.read(name) for name in packed.namelist())


def test_a_page_that_fails_is_noticed(tmp_path):
    with desktop(tmp_path / "clone") as place, pytest.raises(AssertionError, match="no such kit"):
        place.follow("echo no such kit; false; true")
