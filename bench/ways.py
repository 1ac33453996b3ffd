"""The shipped jobs in four ways: rehearsed, simulated, in the proof of concept, and on four provisioned hospitals.

    python bench/ways.py [fedavg feddc fedper fedct dynamic] [--rounds 30] [--epochs 3]

Prints seconds of each phase as two Markdown tables, and ends with exit code 1 if a scheme's model differs between ways.
The sites have the same names in all four, as names are part of every seed, and draw the phantom. One proof of concept
and one federation serve all schemes, one after the other.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from brainct.flare.admin import Clock, submit_job
from brainct.flare.local_federation import Federation, environment, free_port, prepare_poc, provision
from brainct.job import folders

ROOT = Path(__file__).resolve().parent.parent
PROJECT, POLICY = ROOT / "provisioning" / "project.yml", ROOT / "provisioning" / "policy"
ADMIN, LEAD = "admin@consortium.example", "lead@consortium.example"
HOSPITALS = ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
SCHEMES = ["fedavg", "feddc", "fedper", "fedct", "dynamic"]
HASH = "model sha256: "


def printed(command: list[str], place: Path, clock: Clock, phases: dict[str, str]) -> str:
    """The model's hash that a command prints last; phases: words at which a phase of that name ends."""
    words = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    with subprocess.Popen(
        words, cwd=ROOT, env=environment(place / "home"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = []
        for line in process.stdout or ():
            lines.append(line)
            if phase := next((phases.pop(word) for word in list(phases) if word in line), None):
                clock.note(phase)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{''.join(lines)}")
    return next(line for line in reversed(lines) if line.startswith(HASH)).removeprefix(HASH).strip()


def job_of(scheme: str, folder: Path, rounds: int, epochs: int) -> Path:
    """The shipped job with so many rounds of so many epochs."""
    folders.render(folder)
    file = folder / scheme / "app" / "config" / "config_fed_server.json"
    content = json.loads(file.read_text())
    content["workflows"][0]["args"]["rounds"] = rounds
    content["workflows"][0]["args"]["fit"]["epochs"] = epochs
    file.write_text(json.dumps(content))
    return folder / scheme


def rehearsed(job: Path, place: Path) -> tuple[str, dict[str, float]]:
    clock, names = Clock(), ["--names", ",".join(HOSPITALS)]
    command = ["brainct", "rehearse", str(job), *names, "--workers", "2", "--out", str(place / f"rehearsed-{job.name}")]
    found = printed(command, place, clock, {})
    clock.note("job")
    return found, clock.seconds


def simulated(job: Path, place: Path) -> tuple[str, dict[str, float]]:
    workspace, names = place / f"simulator-{job.name}", ["-c", ",".join(HOSPITALS), "-t", str(len(HOSPITALS))]
    shutil.copytree(ROOT / "poc" / "simulator" / "local", workspace / "local")
    clock = Clock()
    command = ["nvflare", "simulator", str(job), "-w", str(workspace), *names]
    found = printed(command, place, clock, {"SYNTHETIC PHANTOM": "start", HASH: "job"})
    clock.note("stop")
    return found, clock.seconds


@contextmanager
def federation(prepare: Callable[[], Path], home: Path, clock: Clock) -> Iterator[Federation]:
    """A federation that is up, and its phases."""
    kits = prepare()
    clock.note("prepare")
    with Federation(kits, home) as running:
        running.start()
        with running.session():
            clock.note("start")
        running.ready()
        clock.note("sites ready")
        yield running
        clock.note("jobs")
        running.shut_down(ADMIN)
    clock.note("stop")


def run(running: Federation, job: Path, out: Path) -> tuple[str, dict[str, float]]:
    clock = Clock()
    with running.session(LEAD) as session:
        clock.note("log in")
        record = submit_job(session, job, out, lambda line: None, clock).record
    rounds = [row.seconds for row in record.rounds]
    return record.model_sha256, {**clock.seconds, "rounds": round(sum(rounds), 2), "first": round(rounds[0], 2)}


def table(rows: list[tuple[str, str, dict[str, float]]]) -> str:
    """Markdown: what, which way, seconds of every phase that any row has."""
    phases = list(dict.fromkeys(phase for _, _, seconds in rows for phase in seconds))
    lines = [["what", "way", *phases], ["---"] * (len(phases) + 2)]
    lines += [[what, way, *(f"{s[phase]:.1f}" if phase in s else "" for phase in phases)] for what, way, s in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """All ways, the cheap ones first; 1 if any two hashes that should be the same differ."""
    wish = argparse.ArgumentParser()
    wish.add_argument("schemes", nargs="*", default=SCHEMES)
    wish.add_argument("--rounds", type=int, default=30)
    wish.add_argument("--epochs", type=int, default=3)
    wanted = wish.parse_args()
    schemes: list[str] = wanted.schemes
    os.environ.pop("BRAINCT_SITE", None)
    rows, hashes, whole = [], {}, []

    def note(scheme: str, way: str, found: tuple[str, dict[str, float]]) -> None:
        hashes[scheme, way] = found[0]
        rows.append((f"`{scheme}`", way, found[1]))
        print(scheme, way, *found, f"load {os.getloadavg()[0]:.1f}", flush=True)

    with tempfile.TemporaryDirectory(prefix="brainct-ways-") as temporary:
        place = Path(temporary)
        job = {scheme: job_of(scheme, place / f"jobs-{scheme}", wanted.rounds, wanted.epochs) for scheme in schemes}
        for scheme in schemes:
            note(scheme, "rehearse", rehearsed(job[scheme], place))
            note(scheme, "simulator", simulated(job[scheme], place))
        ways: dict[str, Callable[[], Path]] = {
            "proof of concept": lambda: prepare_poc(PROJECT, place / "poc", HOSPITALS, POLICY),
            "provisioned": lambda: provision(PROJECT, place / "kits", POLICY, free_port()),
        }
        for way, prepare in ways.items():
            clock = Clock()
            with federation(prepare, place / "home", clock) as running:
                for scheme in schemes:
                    note(scheme, way, run(running, job[scheme], place / f"{way}-{scheme}"))
            whole.append(("federation", way, clock.seconds))
    differ = [scheme for scheme in schemes if len({found for (name, _), found in hashes.items() if name == scheme}) > 1]
    print(f"\n{table(whole)}\n\n{table(rows)}\n\ndifferent models: {', '.join(differ) or 'none'}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
