"""A comparison over Dask: the rows are those of this machine alone, and a worker that dies costs nothing but time."""

import os
import signal

import pytest

from brainct.compare.campaign import Campaign, compare
from brainct.compare.cluster import client_of, do_runs, started
from brainct.compare.ended_runs import EndedRuns
from brainct.compare.ledger import LEDGER
from brainct.errors import Refused
from tests.compare.test_campaign import quiet, untimed
from tests.support.rows import tiny_comparison

# sockets and processes of Dask are closed by its own threads, after the test's last line
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize(
    ("cluster", "sentence"),
    [("10.0.0.5", "wanted tcp://HOST:PORT"), ("tcp://127.0.0.1:9", "no Dask scheduler answers there")],
)
def test_what_is_no_cluster_is_refused(cluster, sentence):
    with pytest.raises(Refused, match=sentence), client_of(cluster, 1, quiet):
        pass


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_give_the_ledger_of_this_machine(tmp_path):
    comparison, killed = tiny_comparison(schemes=["fedavg", "feddc"], seeds=2, rounds=2), []
    compare(comparison, tmp_path / "here", log=quiet)
    with client_of("local", 2, quiet) as client:

        def kill_a_busy_worker(line):
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            if busy and not killed:
                killed.extend(client.run(os.getpid, workers=busy[:1]).values())
                os.kill(killed[0], signal.SIGKILL)

        (tmp_path / "there").mkdir()
        there = tmp_path / "there" / LEDGER
        do_runs(Campaign(comparison, there, 2, EndedRuns([], ()), kill_a_busy_worker, 0), client)
    assert killed
    assert untimed(tmp_path / "there") == untimed(tmp_path / "here")
    assert all(row["status"] == "done" for row in untimed(tmp_path / "there"))


@pytest.mark.slow
def test_a_slurm_job_is_one_worker_of_one_thread():
    with started("slurm", 0) as scheduler:
        script = scheduler.job_script()
    assert "--nthreads 1" in script
    assert "#SBATCH --cpus-per-task=1" in script
    assert "#SBATCH --mem=4G" in script
