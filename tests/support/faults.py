"""Faults for real: processes of a provisioned federation are killed or stopped at named moments of a round.

`python -m tests.support.faults OUT [PART ...]` measures the rows of docs/faults.md, all or some; a PART is a victim, or
a victim and a moment (`whole server, after the reply`), `back`, `pause`, or a scheme that is to be resumed.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Timer

import psutil
from nvflare.apis.fl_exception import FLCommunicationError

from brainct.flare.local_federation import Federation, free_port, provision
from brainct.job import copies, folders
from brainct.run.rehearse import rehearse
from tests.conftest import PHANTOM, ROOT
from tests.support.simulator import small_job

HOSPITALS = ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
LEAD = "lead@consortium.example"
SITE, ROUND = "hospital-b", 2
MOMENTS = ("before the reply", "during the reply", "after the reply", "closing the round")
SHORT, LONG = {"rounds": 6, "deadline": 180.0}, {"rounds": 34, "deadline": 180.0}
PACE = 6.0
"""Seconds that a site waits before each reply of the long job, so that its rounds outlast a site's return."""


def of_job(process: psutil.Process) -> bool:
    return any("worker_process" in word or "runner_process" in word for word in process.cmdline())


def of_trainer(process: psutil.Process) -> bool:
    return any("spawn_main" in word for word in process.cmdline())


VICTIMS: dict[str, tuple[str, Callable[[psutil.Process], bool]]] = {
    "trainer": (SITE, of_trainer),
    "site's job process": (SITE, of_job),
    "whole site": (SITE, lambda process: True),
    "server's job process": ("server", of_job),
    "server's parent process": ("server", lambda process: not of_job(process)),
    "whole server": ("server", lambda process: True),
}


@dataclass
class Seen:
    """What came of one fault.

    status: FLARE's word. sha256: the model's, if there is one. missed: who missed which rounds. seconds: in all.
    rounds: seconds of each round. resumed: the round at which the run went on, if it was resumed.
    """

    status: str
    sha256: str
    missed: dict[str, list[int]]
    seconds: float
    rounds: list[float]
    resumed: int | None


class Theatre:
    """One federation, up and ready, in which faults are played one after the other."""

    def __init__(self, folder: Path, federation: Federation):
        self.folder, self.federation, self.stops, self.number = folder, federation, folder / "stops", 0
        self.stops.mkdir()
        self.job_id = ""
        self.choose("feddc", SHORT)

    def choose(self, scheme: str, plan: dict, pace: float = 0.0) -> None:
        """What is played from now on."""
        self.job = small_job(self.folder / f"jobs-{scheme}-{plan['rounds']}", scheme, **plan)
        (self.stops / "pace").write_text(str(pace))

    def calm(self) -> str:
        """The hash of the run that nothing happens to."""
        self.number += 1
        record = rehearse(folders.read(self.job), HOSPITALS, self.folder / f"calm-{self.number}", log=lambda line: None)
        return str(record.content["model_sha256"])

    def play(self, *acts: tuple[str, int, Callable[[], None]], job: Path | None = None) -> Seen:
        """Run the job; at each act's moment of its round, while the process that got there stands still, act."""
        self.number += 1
        (self.stops / "reached").unlink(missing_ok=True)
        self.await_next(*acts[:1])
        with self.federation.session(LEAD) as session:
            began = time.monotonic()
            self.job_id = session.submit_job(str(job or self.job))
            for number, (moment, round, act) in enumerate(acts, 1):
                self.stand(f"{moment} of round {round}")
                act()
                self.await_next(*acts[number : number + 1])
                (self.stops / "reached").unlink()
            status = self.follow(session)
            seconds = time.monotonic() - began
            return self.seen(status, seconds, self.record(session) if status.startswith("FINISHED") else {})

    def resume(self) -> Seen:
        """Submit a job that continues with the last one's run."""
        return self.play(job=copies.resuming(self.job, self.job_id, self.folder / f"resumed-{self.number}"))

    def await_next(self, *acts: tuple[str, int, Callable[[], None]]) -> None:
        """Say where a process is to stand still next; nowhere, if there is no act."""
        (self.stops / "wanted.json").unlink(missing_ok=True)
        for moment, round, _ in acts:
            (self.stops / "wanted.json").write_text(json.dumps({"point": moment, "round": round, "site": SITE}))

    def stand(self, where: str, timeout: float = 300) -> None:
        """Wait until a process stands still there."""
        until = time.monotonic() + timeout
        while not (self.stops / "reached").exists():
            assert time.monotonic() < until, f"{where} never came"
            time.sleep(0.02)

    def victims(self, victim: str) -> list[psutil.Process]:
        kit, chosen = VICTIMS[victim]
        return [process for process in self.federation.processes(kit) if chosen(process)]

    def kill(self, victim: str) -> None:
        if victim.startswith("whole"):
            self.federation.kill(VICTIMS[victim][0])
        else:
            for process in self.victims(victim):
                process.kill()

    def pause(self, seconds: float) -> None:
        """Let the site stand still from now on for so many seconds."""
        found = self.victims("whole site")
        for process in found:
            process.send_signal(signal.SIGSTOP)

        def go_on() -> None:
            for process in found:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

        Timer(seconds, go_on).start()

    def leave(self, seconds: float) -> None:
        """Let the site's machine lose its power now, and be back after so many seconds."""
        self.kill("whole site")
        Timer(seconds, self.federation.start, [SITE]).start()

    def follow(self, session, timeout: float = 600) -> str:
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            with suppress(Exception):  # a killed server's session: ask the one that comes after it
                status = str(session.get_job_meta(self.job_id).get("status", ""))
                if status.startswith("FINISHED"):
                    return status
            if not self.federation.processes("server"):
                return "server gone"
            time.sleep(0.5)
        return "hung"

    def seen(self, status: str, seconds: float, record: dict) -> Seen:
        part = record.get("participation", {})
        missed = {site: [int(number) for number in row["lost"]] for site, row in part.items() if row["lost"]}
        rounds = [row["seconds"] for row in record.get("rounds", [])]
        resumed = record["resumed"][-1]["round"] if record.get("resumed") else None
        return Seen(status, record.get("model_sha256", ""), missed, round(seconds, 1), rounds, resumed)

    def record(self, session) -> dict:
        folder = Path(session.download_job_result(self.job_id, str(self.folder / "results")))
        file = folder / "workspace" / "brainct" / "record.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    def fix(self, victim: str) -> None:
        """Start a kit of which nothing is left, as a restart of its machine would."""
        if not self.federation.processes(VICTIMS[victim][0]):
            self.federation.start(VICTIMS[victim][0])
            ready(self.federation)


@contextmanager
def theatre(folder: Path):
    """A federation of four hospitals that a test may harm; afterwards nothing runs."""
    (folder / "site.yaml").write_text(PHANTOM)
    kits = provision(ROOT / "provisioning" / "project.yml", folder / "f", ROOT / "provisioning" / "policy", free_port())
    flare = ROOT / "tests" / "flare"
    path = os.pathsep.join(map(str, (flare / "breakpoints", flare / "patching", ROOT / "custom")))
    extra = {"BRAINCT_SITE": str(folder / "site.yaml"), "BREAK": str(folder / "stops"), "PYTHONPATH": path}
    with Federation(kits, folder / "home", extra) as federation:
        federation.start()
        ready(federation)
        yield Theatre(folder, federation)


def ready(federation: Federation, tries: int = 5) -> None:
    """FLARE gives a session a few seconds to be let in, which a machine under load does not keep."""
    for _ in range(tries - 1):
        with suppress(FLCommunicationError):
            federation.ready()
            return
    federation.ready()


def killed(stage: Theatre, victim: str, moments: Sequence[str], calm: str, note: Callable[..., None]) -> None:
    """A row for each moment; a job that did not complete is resumed."""
    stage.choose("feddc", SHORT)
    for moment in moments:
        seen = stage.play((moment, ROUND, lambda: stage.kill(victim)))
        note(victim, moment, seen, calm)
        stage.fix(victim)
        if not seen.status.endswith("COMPLETED"):
            note(victim, f"{moment}, resumed", stage.resume(), calm)


def absent(
    stage: Theatre, what: str, leave: Callable[[float], None], seconds: float, note: Callable[..., None]
) -> None:
    """A site is gone for so many seconds while its job, of longer rounds, runs on."""
    stage.choose("feddc", LONG, PACE)
    moment = MOMENTS[0]
    note(f"{what} {seconds:.0f} s", moment, stage.play((moment, ROUND, lambda: leave(seconds))), "")


def resumed(stage: Theatre, scheme: str, note: Callable[..., None]) -> None:
    """The whole server is killed in the middle of a round, and the run resumed."""
    stage.choose(scheme, SHORT)
    calm, what, moment = stage.calm(), f"whole server, {scheme}", "during the reply"
    note(what, moment, stage.play((moment, ROUND, lambda: stage.kill("whole server"))), calm)
    stage.fix("whole server")
    note(what, f"{moment}, resumed", stage.resume(), calm)


def undisturbed(stage: Theatre, note: Callable[..., None]) -> str:
    calm = stage.calm()
    note("nothing", "", stage.play(), calm)
    return calm


def main(out: Path, *parts: str) -> None:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, theatre(Path(folder)) as stage, out.open("a") as file:
        os.environ["BRAINCT_SITE"] = str(Path(folder) / "site.yaml")

        def note(victim: str, moment: str, seen: Seen, calm: str) -> None:
            same = "same" if seen.sha256 == calm else "another" if seen.sha256 else "none"
            about = {"what": victim, "when": moment, "load": os.getloadavg()[0], **asdict(seen), "model": same}
            print(json.dumps(about), flush=True)
            print(json.dumps(about), file=file, flush=True)

        calm = undisturbed(stage, note)
        for part in parts or (*VICTIMS, "back", "pause", "scaffold", "fedper"):
            victim, _, moment = part.partition(", ")
            if victim in VICTIMS:
                killed(stage, victim, [moment] if moment else MOMENTS, calm, note)
            elif part == "back":
                absent(stage, "whole site, started again after", stage.leave, 60, note)
            elif part == "pause":
                absent(stage, "site paused for", stage.pause, 90, note)
            else:
                resumed(stage, part, note)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
