"""The pages of provisioning/, followed literally on one machine: each numbered block is run as it stands."""

import json
import re
import zipfile
from pathlib import Path

import pytest

from brainct.flare.processes import marked_processes
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.support.pages import LISTED, Desktop, blocks, desktop
from tests.support.simulator import model_hash, small_job

pytestmark = pytest.mark.slow
HOSPITALS = ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
GONE = 'for i in $(seq 180); do [ -n "$(find . -name daemon_pid.fl)" ] || exit 0; sleep 0.5; done; exit 1'
"""Waits until every site's restarting script has ended."""

CHECK = 33
"""The site check, which the test runs at one hospital: it loads torch and MONAI and says the same at each."""


ROLES = ["project_admin.md", "org_admin.md", "lead.md", "member.md", "add_a_hospital.md"]


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
        assert marked_processes(place.mark) == []
    assert model_hash(printed[50]) == rehearsed(place, "fedavg", HOSPITALS, tmp_path / "four", monkeypatch)
    five = [*HOSPITALS, "hospital-e"]
    assert model_hash(printed[75]) == rehearsed(place, "fedavg", five, tmp_path / "five", monkeypatch)
    assert not list((place.folder / "jobs").rglob(".__nvfl*"))
    assert any(line.startswith(("PASS: ", "WARN: ")) for line in printed[20].splitlines())
    assert re.search(r"^PASS +package ", printed[33], re.M)
    assert re.search(r"job_id|Submitted job", printed[55])
    assert printed[80].count("FINISHED:COMPLETED") == len(records) + 1 == 3
    assert all(site in printed[56] for site in HOSPITALS)
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
        assert marked_processes(place.mark) == []
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
