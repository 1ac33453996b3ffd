"""What poc/run.py refuses before it starts anything, and what of a failed job stays."""

import importlib.util
from pathlib import Path

import pytest

from brainct.errors import Refused
from tests.conftest import ROOT


@pytest.fixture
def poc(tmp_path, monkeypatch):
    """The script as a module, in a folder of its own; no federation may begin in it."""
    spec = importlib.util.spec_from_file_location("poc_run", ROOT / "poc" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "prepare_poc", lambda *words: pytest.fail("a federation began"))
    return module


def test_a_job_that_is_none_is_refused_before_a_federation_begins(poc):
    with pytest.raises(Refused, match="not a job folder"):
        poc.main(Path("jobs/nonexist"))


def test_results_that_could_not_be_written_are_refused_before_a_federation_begins(poc, tmp_path):
    (tmp_path / "file").write_text("")
    for out in ("file", "file/x"):
        with pytest.raises(Refused, match="results can't be written to"):
            poc.main(ROOT / "jobs" / "feddc", out=tmp_path / out)


def test_the_logs_of_a_job_that_fails_stay_and_are_named(poc, monkeypatch):
    def fails(job, sites, place, *others):
        (place / "log.txt").write_text("why")
        raise Refused(f"job 8f3a ended as FINISHED:ABNORMAL; its logs are in {place}")

    monkeypatch.setattr(poc, "run", fails)
    with pytest.raises(Refused, match=r"kits and logs of this federation: (\S+);") as error:
        poc.main(ROOT / "jobs" / "feddc")
    place = str(error.value).partition("its logs are in ")[2].partition(" ")[0]
    assert (Path(place) / "log.txt").read_text() == "why"
