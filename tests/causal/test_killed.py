"""A rehearsal that is killed in the middle of a search (kill -9) goes on to the same model."""

import json
import os
import signal
import subprocess
import sys

import pytest

from brainct.core.names import site_names
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse, resume

PLANS = {
    "environments, grouping": {"scheme": "peri_environments", "arguments": {"share": "regrets"}},
    "peri, forward": {"scheme": "peri", "arguments": {"aggregate": "median"}},
    "orion, forward": {"scheme": "orion", "demonstration": "nonlinear"},
}
AT = {"environments, grouping": -2, "peri, forward": 3, "orion, forward": 4}
"""After which round; -2: the last but one that asks sites for anything."""
CHILD = """
import json, os, pathlib, signal, sys
from brainct.core.names import site_names
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse
def kill(row):
    if row["round"] == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
plan, folder = plan_of(json.loads(sys.argv[1]), "plan"), pathlib.Path(sys.argv[2])
rehearse(plan, site_names(4), folder, log=print, on_round_closed=kill)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.nightly] * (at > 0)) for at, one in enumerate(PLANS)]
)
def test_a_killed_search_goes_on_to_the_same_graph(name, tmp_path, monkeypatch):
    monkeypatch.delenv("BRAINCT_SITE", raising=False)
    chosen = {"workload": "causal", "rounds": 40, "evaluate_every": 0, **PLANS[name]}
    calm = rehearse(plan_of(chosen, "plan"), site_names(4), tmp_path / "calm", log=lambda line: None).content
    asked = [row["round"] for row in calm["rounds"] if row["metrics"]]
    at = AT[name] if AT[name] > 0 else asked[AT[name]]
    words = [sys.executable, "-c", CHILD, json.dumps(chosen), str(tmp_path / "out"), str(at)]
    done = subprocess.run(words, env=os.environ, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    again = resume(tmp_path / "out", log=lambda line: None).content
    assert [one["round"] for one in again["resumed"]] == [at + 1]
    assert again["model_sha256"] == calm["model_sha256"]
