"""Faults for real: processes of a provisioned federation are killed or stopped at named moments of a round.

`python -m tests.flare.faults OUT [VICTIM ...]` runs the table of docs/faults.md and writes a line for each row.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from nvflare.apis.fl_exception import FLCommunicationError

from brainct import jobs
from brainct.flare.federation import Federation, free_port, provision
from brainct.rehearse import rehearse
from tests.conftest import PHANTOM, ROOT
from tests.flare.test_simulator import small_job

HOSPITALS = ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
LEAD = "lead@consortium.example"
SITE, ROUND = "hospital-b", 2
MOMENTS = ("before the reply", "during the reply", "after the reply", "closing the round")
PLAN = {"rounds": 5, "deadline": 180.0}


def of_job(process: psutil.Process) -> bool:
    return any("worker_process" in word or "runner_process" in word for word in process.cmdline())


def of_trainer(process: psutil.Process) -> bool:
    return any("spawn_main" in word for word in process.cmdline())


VICTIMS: dict[str, tuple[str, Callable[[psutil.Process], bool]]] = {
    "trainer": (SITE, of_trainer),
    "site's job process": (SITE, of_job),
    "whole site": (SITE, lambda process: True),
    "server's job process": ("server", of_job),
    "whole server": ("server", lambda process: True),
}


@dataclass
class Seen:
    """What came of one fault: FLARE's word, the model's hash if there is one, who missed rounds, seconds in all."""

    status: str
    sha256: str
    missed: dict[str, list[int]]
    seconds: float


class Theatre:
    """One federation, up and ready, in which faults are played one after the other."""

    def __init__(self, folder: Path, federation: Federation, scheme: str = "feddc"):
        self.folder, self.federation, self.stops, self.number = folder, federation, folder / "stops", 0
        self.job = small_job(folder / "jobs", scheme, **PLAN)
        self.job_id = ""

    def calm(self) -> str:
        """The hash of the run that nothing happens to."""
        record = rehearse(jobs.read(self.job), HOSPITALS, self.folder / "calm", tell=lambda line: None)
        return str(record.content["model_sha256"])

    def play(self, act: Callable[[], None] = lambda: None, moment: str = "", round: int = ROUND, job=None) -> Seen:
        """Run the job; at this moment, while the process that got there stands still, act."""
        self.number += 1
        self.arm(moment, round)
        began = time.monotonic()
        with self.session() as session:
            self.job_id = session.submit_job(str(job or self.job))
            self.at(act) if moment else act()
            status = self.follow(session)
        return self.seen(status, time.monotonic() - began)

    def resume(self) -> Seen:
        """Submit a job that goes on with the last one's run."""
        return self.play(job=jobs.resuming(self.job, self.job_id, self.folder / f"resumed-{self.number}"))

    def arm(self, moment: str, round: int) -> None:
        self.stops.mkdir(exist_ok=True)
        (self.stops / "reached").unlink(missing_ok=True)
        (self.stops / "wanted.json").unlink(missing_ok=True)
        if moment:
            (self.stops / "wanted.json").write_text(json.dumps({"point": moment, "round": round, "site": SITE}))

    def at(self, act: Callable[[], None], timeout: float = 180) -> None:
        """Wait for the moment, act, and let whoever stands still there and lives go on."""
        until = time.monotonic() + timeout
        while not (self.stops / "reached").exists():
            assert time.monotonic() < until, "the moment never came"
            time.sleep(0.02)
        act()
        (self.stops / "reached").unlink()

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
        found = self.victims("whole site")
        for process in found:
            process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    @contextmanager
    def session(self):
        ready(self.federation)
        with self.federation.session(LEAD) as session:
            yield session

    def follow(self, session, timeout: float = 400) -> str:
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

    def seen(self, status: str, seconds: float) -> Seen:
        record = self.record() if status.startswith("FINISHED") else {}
        part = record.get("participation", {})
        missed = {site: [int(number) for number in row["lost"]] for site, row in part.items() if row["lost"]}
        return Seen(status, record.get("model_sha256", ""), missed, round(seconds, 1))

    def record(self) -> dict:
        with self.session() as session:
            folder = Path(session.download_job_result(self.job_id, str(self.folder / "results")))
        file = folder / "workspace" / "brainct" / "record.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    def mend(self, victim: str) -> None:
        """Start what was killed whole, as a restart of its machine would."""
        if victim.startswith("whole"):
            self.federation.start(VICTIMS[victim][0])
            ready(self.federation)


@contextmanager
def theatre(folder: Path, scheme: str = "feddc"):
    """A federation of four hospitals that a test may harm; afterwards nothing runs."""
    (folder / "site.yaml").write_text(PHANTOM)
    kits = provision(ROOT / "provisioning" / "project.yml", folder / "f", ROOT / "provisioning" / "policy", free_port())
    path = os.pathsep.join([str(ROOT / "tests" / "flare" / "breakpoints"), str(ROOT / "custom")])
    extra = {"BRAINCT_SITE": str(folder / "site.yaml"), "BREAK": str(folder / "stops"), "PYTHONPATH": path}
    with Federation(kits, folder / "home", extra) as federation:
        federation.start()
        ready(federation)
        yield Theatre(folder, federation, scheme)


def ready(federation: Federation, tries: int = 5) -> None:
    """FLARE gives a session a few seconds to be let in, which a machine under load does not keep."""
    for _ in range(tries - 1):
        with suppress(FLCommunicationError):
            federation.ready()
            return
    federation.ready()


def row(stage: Theatre, victim: str, moment: str, calm: str) -> str:
    seen = stage.play(lambda: stage.kill(victim), moment)
    text = f"{victim} | {moment} | {seen.status} | {seen.missed or '-'} | {seen.seconds} s | {same(seen, calm)}"
    stage.mend(victim)
    if not seen.status.endswith("COMPLETED"):
        again = stage.resume()
        text += f" | resumed: {again.status}, {again.missed or '-'}, {again.seconds} s, {same(again, calm)}"
    return text


def same(seen: Seen, calm: str) -> str:
    return "same model" if seen.sha256 == calm else "another model" if seen.sha256 else "no model"


def main(out: Path, *victims: str) -> None:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, theatre(Path(folder)) as stage, out.open("a") as file:
        os.environ["BRAINCT_SITE"] = str(Path(folder) / "site.yaml")
        calm = stage.calm()

        def note(text: str) -> None:
            print(text, flush=True)
            print(text, file=file, flush=True)

        seen = stage.play()
        note(f"nothing | | {seen.status} | {seen.missed or '-'} | {seen.seconds} s | {same(seen, calm)}")
        for victim in victims or VICTIMS:
            for moment in MOMENTS if victim in VICTIMS else ():
                note(row(stage, victim, moment, calm))
        if "pause" in victims:
            seen = stage.play(lambda: stage.pause(90), "before the reply", 1)
            note(f"site paused 90 s | {seen.status} | {seen.missed or '-'} | {seen.seconds} s | {same(seen, calm)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
