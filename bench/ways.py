"""Seconds of each phase of a job in FLARE's proof of concept and on provisioned hospitals, and whether hashes agree.

`python bench/ways.py fedavg feddc fedper dynamic`: a line of JSON each; four sites, five rounds of one epoch on 40
phantom scans, the jobs' own network.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "poc"))

import run as poc  # noqa: E402 - poc/run.py is a script, not a package

from brainct import jobs  # noqa: E402
from brainct.flare.federation import Federation, free_port, provision  # noqa: E402
from brainct.flare.lead import Clock, Outcome, submit  # noqa: E402
from brainct.rehearse import rehearse, site_names  # noqa: E402

HOSPITALS = ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
SCANS = "kind: phantom\nphantom: {scans: 40}\nsplit: {train: 0.6, valid: 0.2, test: 0.2}\nbatch_size: 16\n"


def small(folder: Path, name: str) -> Path:
    """The job as rendered, with five rounds of one epoch."""
    jobs.render(folder)
    file = folder / name / "app" / "config" / "config_fed_server.json"
    content = json.loads(file.read_text())
    content["workflows"][0]["args"]["rounds"] = 5
    content["workflows"][0]["args"]["fit"]["epochs"] = 1
    file.write_text(json.dumps(content))
    return folder / name


def provisioned(job: Path, place: Path, clock: Clock) -> Outcome:
    """The job on the hospitals of provisioning/project.yml."""
    kits = provision(poc.PROJECT, place, poc.POLICY, free_port())
    clock.note("prepare")
    with Federation(kits, place / "home") as federation:
        federation.start()
        federation.ready()
        clock.note("start")
        with federation.session(poc.LEAD) as session:
            outcome = submit(session, job, place / "out", lambda line: None, clock)
        federation.shut_down(poc.ADMIN)
    clock.note("stop")
    return outcome


def main(schemes: list[str]) -> None:
    """Each scheme both ways, and rehearsed with the same names."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "site.yaml").write_text(SCANS)
        os.environ["BRAINCT_SITE"] = str(place / "site.yaml")
        for scheme in schemes:
            job = small(place / f"jobs-{scheme}", scheme)
            for way, names in (("poc", site_names(4)), ("provisioned", HOSPITALS)):
                clock, folder = Clock(), place / f"{scheme}-{way}"
                outcome = poc.run(job, 4, folder, clock) if way == "poc" else provisioned(job, folder, clock)
                began = time.monotonic()
                record = rehearse(jobs.read(job), names, folder / "rehearsed", tell=lambda line: None).content
                row = {
                    "scheme": scheme,
                    "way": way,
                    "same": record["model_sha256"] == outcome.record["model_sha256"],
                    "seconds": clock.seconds,
                    "rounds": [each["seconds"] for each in outcome.record["rounds"]],
                    "rehearsed": round(time.monotonic() - began, 1),
                    "load": round(os.getloadavg()[0], 1),
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
