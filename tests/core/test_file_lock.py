"""A lock file: one process at a time, free again when its holder is killed, readable by its owner alone."""

import multiprocessing
import os
import signal

import pytest
from filelock import Timeout

from brainct.core.file_lock import AT_ONCE, locked

FORK = multiprocessing.get_context("fork")


def test_a_lock_is_free_once_its_holder_is_killed_even_where_a_child_of_that_process_lives_on(tmp_path):
    file = tmp_path / "place" / "lock"
    receiving, sending = FORK.Pipe()

    def hold():
        with locked(file):
            child = FORK.Process(target=signal.pause)
            child.start()
            sending.send(child.pid)
            signal.pause()

    process = FORK.Process(target=hold)
    process.start()
    child = receiving.recv()
    with pytest.raises(Timeout), locked(file, timeout=AT_ONCE):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with locked(file, timeout=AT_ONCE):
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
    os.kill(child, signal.SIGKILL)


def test_a_lock_is_no_link_to_somebody_elses_file(tmp_path):
    (tmp_path / "theirs").write_text("untouched")
    (tmp_path / "lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="lock"), locked(tmp_path / "lock", timeout=AT_ONCE):
        pass
    assert (tmp_path / "theirs").read_text() == "untouched"


def test_processes_that_wait_for_a_lock_get_it_one_after_the_other(tmp_path):
    number = tmp_path / "number"
    number.write_text("0")

    def count():
        for _ in range(25):
            with locked(tmp_path / "lock", private=False):
                number.write_text(str(int(number.read_text()) + 1))

    processes = [FORK.Process(target=count) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert number.read_text() == "100"
