"""What runs leave in a kit is listed and removed: by name, by age and by size, and never under a running job."""

import os
import time
from datetime import timedelta

import pytest

from brainct.errors import Refused
from brainct.kit import retention
from brainct.run import checkpoint
from tests.support.command import refused, type_in

JOBS = [f"0000000{number}-0000-4000-8000-000000000000" for number in range(4)]


def put(folder, days, megabytes=1):
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * int(megabytes * 1e6))
    when = time.time() - timedelta(days=days).total_seconds()
    for path in (folder / "file", folder):
        os.utime(path, (when, when))


@pytest.fixture
def kit(tmp_path):
    """A site's kit with four runs, 1 MB each: 40, 30, 20 and 10 days old, and their job folders."""
    for number, job in enumerate(JOBS):
        put(tmp_path / "brainct" / "client_state" / job, 40 - 10 * number)
        put(tmp_path / job, 40 - 10 * number, 0.5)
    (tmp_path / "startup").mkdir()
    return tmp_path


def left(kit):
    return [each.run for each in retention.stored(kit) if each.what == "client state"]


def test_a_jobs_own_folder_is_listed_and_removed_with_its_run(kit, capsys):
    code, out, _ = type_in(capsys, "runs", "list", kit)
    assert code == 0
    assert f"{JOBS[0]}  job folder, 0.5 MB" in out
    assert type_in(capsys, "runs", "remove", kit, JOBS[0])[0] == 0
    assert not (kit / JOBS[0]).exists()
    assert left(kit) == JOBS[1:]
    assert (kit / "startup").is_dir()


@pytest.mark.parametrize(
    ("days", "megabytes", "kept"),
    [(25, None, 2), (35, None, 3), (100, None, 4), (100, 3.0, 2), (100, 0, 0), (15, 1.0, 0), (15, 1.5, 1)],
)
def test_runs_are_pruned_by_age_and_then_the_oldest_by_size(kit, days, megabytes, kept):
    would, _ = retention.prune(kit, days, megabytes, dry=True)
    assert left(kit) == JOBS
    gone, notes = retention.prune(kit, days, megabytes)
    assert ([each.folder for each in would], notes) == ([each.folder for each in gone], [])
    assert left(kit) == JOBS[4 - kept :]


def test_nothing_of_the_last_day_and_nothing_of_a_running_job_is_pruned(kit, capsys):
    put(kit / "brainct" / "client_state" / "today", 0.5)
    retention.prune(kit, 1, 0)
    assert left(kit) == ["today"]
    refused(capsys, "--days is 0.5; wanted at least 1", "runs", "prune", kit, "--days", 0.5)
    put(kit / JOBS[3], 10)
    put(kit / "brainct" / "client_state" / "old", 10)
    put(kit / "brainct" / "runs" / "held", 10)
    (kit / "brainct" / "jobs").mkdir()
    (kit / "brainct" / "jobs" / f"{JOBS[3]}.json").write_text("{}")
    with checkpoint.lock(kit / "brainct" / "runs" / "held", "held"):
        when = time.time() - timedelta(days=10).total_seconds()
        for path in ((kit / "brainct" / "runs" / "held" / "lock"), kit / "brainct" / "runs" / "held"):
            os.utime(path, (when, when))
        gone, notes = retention.prune(kit, 5)
    assert gone == []
    assert len(notes) == 3
    assert "still running in another process" in " ".join(notes)
    with pytest.raises(Refused, match="has a running job"):
        retention.remove(kit, "old")
