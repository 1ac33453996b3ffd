"""A roll call by quorum in real processes: one hospital's scans come back while the job runs without it."""

import json
import threading
import time

import pytest

from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import PHANTOM
from tests.support.faults import HOSPITALS, SITE, theatre

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


@pytest.mark.timeout(1200)
def test_a_hospital_whose_scans_come_back_joins_with_the_model_of_a_rehearsal_that_lost_it_until_then(
    tmp_path, small_site
):
    with theatre(tmp_path) as stage:
        file = stage.federation.kits[SITE] / "local" / "brainct.yaml"
        file.write_text("kind: manifest\nroot: /not/mounted\nlabels: labels.csv\n")
        stage.choose("feddc", {"rounds": 40, "deadline": 180.0, "roll_call": {"quorum": 3, "wait": 180.0}})
        runs, over = stage.federation.kits["server"] / "brainct" / "runs", threading.Event()

        def mount():
            while not over.is_set() and closed(runs) < 2:
                time.sleep(0.05)
            file.write_text(PHANTOM)

        threading.Thread(target=mount, daemon=True).start()
        try:
            seen = stage.play()
        finally:
            over.set()
        assert seen.status == "FINISHED:COMPLETED"
        (path,) = (stage.folder / "results").rglob("record.json")
        record = json.loads(path.read_text())
        assert f"{SITE} can't answer this" in record["roll_call"]["missing"][SITE]
        joined = record["roll_call"]["joined"][SITE]
        assert seen.missed == {SITE: list(range(joined + 1))}
        print(f"joined after round {joined}, {seen.sha256}, {seen.seconds} s, rounds {seen.rounds[:6]}")
        lose = [(SITE, number) for number in range(joined + 1)]
        again = rehearse(folders.read(stage.job), HOSPITALS, tmp_path / "again", lose=lose, log=lambda line: None)
        assert seen.sha256 == again.content["model_sha256"]


def closed(runs):
    """Rounds that the newest run has closed; FLARE's server writes the file anew after each."""
    return max((json.loads(file.read_text())["round"] for file in runs.glob("*/progress.json")), default=0)
