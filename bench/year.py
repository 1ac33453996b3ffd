"""A year of a federation on this machine: `python bench/year.py FOLDER`, real processes, mutual TLS, some ten minutes.

Four hospitals train the same small job again and again while the federation is operated: one joins and leaves,
certificates are renewed and revoked, the server moves to another folder from its backup in the middle of a run, a
site is restored, a disk is full, logs rotate, and all machines are upgraded. Where nothing was lost for good, the final
model is bit-identical to that of an undisturbed rehearsal; each line says so, the table at the end, and the exit code.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import ROOT
from tests.support.faults import HOSPITALS, LEAD, Seen, Theatre, ready, theatre

from brainct.errors import Refused
from brainct.flare.local_federation import flare
from brainct.flare.provisioning import renew
from brainct.job import folders
from brainct.kit import authority, backup, kit_update, policy_files
from brainct.run.rehearse import rehearse

PLAN = {"rounds": 4, "quorum": 4, "deadline": 300.0}
NEXT = "0.3.0"


class Year:
    """One federation and what became of it so far."""

    def __init__(self, folder: Path, stage: Theatre):
        self.folder, self.stage, self.federation = folder, stage, stage.federation
        self.provisioned, self.project = folder / "f" / "kits", folder / "f" / "project.yml"
        self.state = self.provisioned / "brainct" / "state"
        self.began, self.failures = time.monotonic(), list[str]()
        self.steps = list[tuple[str, str, float, str]]()
        self.choose()
        self.calm = stage.calm()

    def choose(self, **changes: object) -> None:
        self.stage.choose("feddc", {**PLAN, **changes})
        if "quorum" not in changes:  # wait for a process however slowly it starts
            file = self.stage.job / "app" / "config" / "config_fed_server.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "dead_client_grace_period": 300}))

    def note(self, what: str, good: bool, said: str, sha256: str = "") -> None:
        self.failures += [] if good else [what]
        seconds = time.monotonic() - self.began - sum(row[2] for row in self.steps)
        self.steps.append((what, "ok" if good else "FAIL", seconds, sha256[:16] or "-"))
        print(f"{time.monotonic() - self.began:5.0f} s  {'ok  ' if good else 'FAIL'}  {what}: {said}", flush=True)

    def same(self, what: str, seen: Seen, calm: str = "", resumed: bool = False) -> None:
        """Note a job that must end with the undisturbed model and no report missing; a resumed one, in round 2 or 3."""
        good = seen.status == "FINISHED:COMPLETED" and seen.sha256 == (calm or self.calm) and not seen.missed
        good = good and (seen.resumed in (2, 3) if resumed else seen.resumed is None)
        after = f", resumed at round {seen.resumed}" if seen.resumed is not None else ""
        word = "the undisturbed model" if good else f"{seen.status}, missed {seen.missed}, model"
        self.note(what, good, f"{word} {seen.sha256[:16]}{after}, {seen.seconds:.0f} s", seen.sha256)

    def table(self) -> str:
        """All steps: seconds since the one before, restarts and backups included, and the hash of the model."""
        rows = [f"| {what} | {word} | {seconds:.0f} | {sha256} |" for what, word, seconds, sha256 in self.steps]
        return "\n".join(["| step | | s | model sha256 |", "|---|---|---|---|", *rows])

    def kit(self, name: str) -> Path:
        return self.federation.kits[name]

    def restart(self, *names: str) -> None:
        for name in names:
            self.federation.kill(name)
        self.start(*names)

    def start(self, *names: str) -> None:
        """Start kits and wait until their sites have registered anew: FLARE lists a killed one for another 30 s."""
        before = {name: self.registered(name) for name in names if name != "server"}
        for name in names:
            self.federation.start(name)
        ready(self.federation)
        self.until(lambda: all(self.registered(name) > number for name, number in before.items()), 300)

    def registered(self, name: str) -> int:
        log = self.kit("server") / "log.txt"
        return log.read_text().count(f"New client {name}@") if log.is_file() else 0

    def clients(self) -> list[str]:
        with self.federation.session(LEAD) as session:
            return sorted(client.name for client in session.get_system_info().client_info)

    def until(self, wanted: Callable[[], bool], seconds: float = 120) -> bool:
        end = time.monotonic() + seconds
        while not (found := wanted()) and time.monotonic() < end:
            time.sleep(0.5)
        return found

    def reason(self) -> str:
        """Why the last job ended, in the words of its log at the server."""
        logs = [path.read_text() for path in (self.folder / "results").glob(f"{self.stage.job_id}*/workspace/log.txt")]
        lines = [line for line in "\n".join(logs).splitlines() if "brainct: " in line]
        return lines[0].partition("brainct: ")[2] if lines else ""


def join_and_leave(year: Year) -> None:
    """A fifth hospital joins while the server runs, takes part, and leaves for good."""
    entry = year.folder / "hospital-e.yml"
    entry.write_text("name: hospital-e\ntype: client\norg: hospital_e\n")
    words = ("provision", "-p", str(year.project), "-w", str(year.provisioned), "--add-client", str(entry), "--force")
    flare(*words, home=year.folder / "home")
    made = year.provisioned / "brainct" / "prod_01" / "hospital-e"
    shutil.copytree(made, year.folder / "at" / "hospital-e")
    shutil.rmtree(made.parent)
    policy_files.install_policy(year.folder / "at" / "hospital-e", privacy="open")
    year.federation.kits["hospital-e"] = (year.folder / "at" / "hospital-e").resolve()
    year.federation.start("hospital-e")
    ready(year.federation)
    five = rehearse(
        folders.read(year.stage.job), [*HOSPITALS, "hospital-e"], year.folder / "five", log=lambda line: None
    )
    year.same("join: five hospitals, the server not restarted", year.stage.play(), five.content["model_sha256"])
    revoke(year, "hospital-e")
    gone = year.until(lambda: "hospital-e" not in year.clients())
    year.federation.kill("hospital-e")
    year.note("leave: hospital-e is revoked and gone", gone, f"connected: {', '.join(year.clients())}")
    year.same("leave: four hospitals again", year.stage.play())


def revoke(year: Year, *whom: str, former: bool = False) -> None:
    file, _ = authority.revoke(authority.authority_in(year.state), whom, former)
    shutil.copy(file, year.kit("server") / "local" / f"{authority.REVOKED}.new")
    os.replace(
        year.kit("server") / "local" / f"{authority.REVOKED}.new", year.kit("server") / "local" / authority.REVOKED
    )


def renewing(year: Year) -> None:
    """One site's certificate is renewed, its former one revoked; then everybody's."""
    others = {
        name: (year.kit(name) / "startup" / "client.crt").read_bytes() for name in HOSPITALS if name != "hospital-b"
    }
    renewed(year, "hospital-b")
    revoke(year, "hospital-b", former=True)
    untouched = all((year.kit(name) / "startup" / "client.crt").read_bytes() == own for name, own in others.items())
    year.restart("hospital-b")
    year.note("renew: one site, its former certificate revoked", untouched, "no other kit changed")
    year.same("renew: one site", year.stage.play())
    everybody = sorted(authority.authority_in(year.state).current())
    renewed(year, *(name for name in everybody if name != "hospital-e"))
    year.restart("server", *HOSPITALS)
    year.same("renew: everybody, the server too", year.stage.play())


def renewed(year: Year, *names: str) -> None:
    for archive in renew(year.project, year.provisioned, names, year.folder / "sent"):
        kit_update.update(year.kit(archive.name.removesuffix("-renewed.tgz")), archive)


def revoked_in_a_run(year: Year) -> None:
    """A hospital is revoked in round 2: it is refused from then on, and comes back with a new certificate."""
    year.choose(quorum=3)

    def in_force() -> None:
        revoke(year, "hospital-b")
        year.until(lambda: "hospital-b: its certificate was revoked" in (year.kit("server") / "log.txt").read_text())

    seen = year.stage.play(("before the reply", 2, in_force))
    good = seen.status == "FINISHED:COMPLETED" and seen.missed == {"hospital-b": [2, 3]}
    year.note("revoke: in round 2 of a running job", good, f"{seen.status}, missed {seen.missed}, {seen.seconds:.0f} s")
    year.federation.kill("hospital-b")
    year.federation.start("hospital-b")
    refused = "re-challenge"
    log = year.kit("hospital-b") / "log.txt"
    year.until(lambda: log.read_text().count(refused) > 3)
    year.note("revoke: restarted", "hospital-b" not in year.clients(), f"connected: {', '.join(year.clients())}")
    year.federation.kill("hospital-b")
    renewed(year, "hospital-b")
    year.start("hospital-b")
    year.choose()
    year.same("revoke: back with a new certificate", year.stage.play())


def rotation(year: Year) -> None:
    """Logs of 500 bytes instead of 20 MB: they rotate during a job, and no more than ten old ones stay."""
    file = year.kit("hospital-a") / "local" / "log_config.json"
    text = file.read_text()
    file.write_text(text.replace("20971520", "500"))
    year.restart("hospital-a")
    before = rotated(year)
    year.same("log rotation: during a job", year.stage.play(("before the reply", 2, lambda: rotate_audit(year))))
    after = rotated(year)
    moved = after.get("log.txt.1") not in (None, before.get("log.txt.1"))
    year.note("log rotation: files", moved and len(after) <= 10, f"log.txt, {', '.join(after)}")
    audit = sorted(path.name for path in year.kit("hospital-a").glob("audit.log?*"))
    if shutil.which("logrotate"):
        year.note("log rotation: audit.log, by logrotate", len(audit) == 1, f"audit.log, {', '.join(audit)}")
    file.write_text(text)
    year.restart("hospital-a")


def rotate_audit(year: Year) -> None:
    """audit.log, which FLARE never rotates, by the shipped file for logrotate."""
    if not shutil.which("logrotate"):
        print("           audit.log: not tried, there is no logrotate here", flush=True)
        return
    shipped = (ROOT / "provisioning" / "systemd" / "logrotate.conf").read_text()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    own = shipped.replace("/srv/brainct/*", str(year.kit("hospital-a"))).replace("brainct brainct", f"{user} {user}")
    (year.folder / "logrotate.conf").write_text(own)
    command = ["logrotate", "--force", "--state", str(year.folder / "rotated"), str(year.folder / "logrotate.conf")]
    subprocess.run(command, check=True)


def rotated(year: Year) -> dict[str, int]:
    """The old logs of a hospital, by name, each with its file's number on the disk."""
    return {path.name: path.stat().st_ino for path in sorted(year.kit("hospital-a").glob("log.txt.*"))}


def moved(year: Year) -> None:
    """Server and a site are lost in round 2; both are restored from backups into other folders, and the run resumed."""
    safe = year.folder / "safe"
    backup.back_up(year.kit("hospital-c"), safe / "hospital-c-early.tgz")

    def power_cut() -> None:
        year.federation.kill("server")
        year.federation.kill("hospital-c")

    year.stage.play(("after the reply", 2, power_cut))
    run = year.stage.job_id
    for name in ("server", "hospital-c"):
        backup.back_up(year.kit(name), safe / f"{name}.tgz")
        year.kit(name).rename(year.folder / f"lost-{name}")
    new = year.folder / "another-machine"
    restore(year, safe / "server.tgz", new / "server", "server", last=True)
    restore(year, safe / "hospital-c-early.tgz", new / "hospital-c-early", "hospital-c", last=False)
    ready(year.federation)
    again = year.stage.resume()
    year.note("restore: a site's older backup", not again.sha256, f"{again.status}: {year.reason()}")
    year.federation.kill("hospital-c")
    restore(year, safe / "hospital-c.tgz", new / "hospital-c", "hospital-c", last=True)
    ready(year.federation)
    year.stage.job_id = run
    year.same("server moved and site restored: resumed", year.stage.resume(), resumed=True)


def restore(year: Year, archive: Path, kit: Path, name: str, last: bool) -> None:
    for line in backup.restore(archive, kit, last):
        print(f"           {line}", flush=True)
    year.federation.kits[name] = kit.resolve()
    year.start(name)


def disk_full(year: Year) -> None:
    """The server's disk is full in round 2; after somebody made room, the run is resumed."""
    place = year.kit("server") / "brainct"
    place.mkdir(exist_ok=True)
    small = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    done = subprocess.run(small, capture_output=True, text=True)
    if done.returncode:
        print(f"           disk full: not tried, no small disk could be mounted: {done.stderr.strip()}", flush=True)
        return
    try:
        filler = place / "filler"

        def fill() -> None:
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)

        seen = year.stage.play(("before the reply", 2, fill))
        year.note("disk full: the job", seen.status != "FINISHED:COMPLETED", f"{seen.status}: {year.reason()}")
        filler.unlink(missing_ok=True)
        year.same("disk full: resumed after room was made", year.stage.resume(), resumed=True)
    finally:
        year.federation.kill("server")
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        year.federation.start("server")
        ready(year.federation)


def upgraded(year: Year) -> None:
    """Server first, then the sites in any order; a run that spans the upgrade and a mixed federation are refused."""
    year.stage.play(("after the reply", 2, lambda: year.federation.kill("server")))
    new = year.folder / "next"
    shutil.copytree(ROOT / "custom" / "brainct", new / "brainct", ignore=shutil.ignore_patterns("__pycache__"))
    file = new / "brainct" / "core" / "version.py"
    from brainct.core.version import VERSION

    file.write_text(file.read_text().replace(f'VERSION = "{VERSION}"', f'VERSION = "{NEXT}"'))
    year.federation._extra["PYTHONPATH"] = f"{new}{os.pathsep}{year.federation._extra['PYTHONPATH']}"
    year.federation.start("server")
    ready(year.federation)
    seen = year.stage.resume()
    year.note("upgrade: a run that spans it", not seen.sha256, year.reason())
    for name in ("hospital-d", "hospital-a"):
        year.restart(name)
    seen = year.stage.play()
    year.note("upgrade: a mixed federation", not seen.sha256, year.reason())
    for name in ("hospital-c", "hospital-b"):
        year.restart(name)
    year.same(f"upgrade: all on {NEXT}, a new run", year.stage.play())


SCENES = (join_and_leave, renewing, revoked_in_a_run, rotation, moved, disk_full, upgraded)


def main(folder: Path, *chosen: str) -> int:
    """Play the year, or the named scenes; return the number of failures."""
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"{folder} is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["BRAINCT_SITE"] = str(folder.resolve() / "site.yaml")
    with theatre(folder.resolve()) as stage:
        year = Year(folder.resolve(), stage)
        if not chosen:
            year.same("January: four hospitals", stage.play())
        known = {scene.__name__: scene for scene in SCENES}
        for name in chosen or known:
            known[name](year)
    print(year.table())
    print(
        f"{len(year.failures)} failed{': ' if year.failures else ''}{', '.join(year.failures)}; undisturbed {year.calm}"
    )
    return len(year.failures)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
