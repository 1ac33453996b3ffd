"""A year of operation with real processes: every line of bench/year.py says ok, with the rehearsed hashes."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


@pytest.mark.timeout(3600)
def test_a_federation_through_a_year_ends_with_the_undisturbed_model_wherever_nothing_was_lost(tmp_path):
    command = [sys.executable, str(ROOT / "bench" / "year.py"), str(tmp_path / "year")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "FAIL" not in done.stdout
    for what in (
        "join: ",
        "leave: ",
        "renew: ",
        "revoke: ",
        "log rotation: ",
        "restore: ",
        "server moved ",
        "upgrade: ",
    ):
        assert what in done.stdout
