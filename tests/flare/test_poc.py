"""poc/run.sh as a person types it, up to where it would start FLARE."""

import subprocess

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow
RUN = str(ROOT / "poc" / "run.sh")


def test_a_folder_in_use_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    for option in ("--out", "--workspace"):
        command = [RUN, str(ROOT / "jobs" / "fedavg"), option, str(tmp_path / "mine")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 2
        assert "is in use; name another one" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep me"
    assert not (tmp_path / "home").exists()
