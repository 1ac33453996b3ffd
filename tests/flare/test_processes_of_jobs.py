"""What FLARE's processes of a job need not import, and need not sleep; each in a program of its own."""

import subprocess
import sys

import pytest

SPAWNED = """
import multiprocessing, pathlib, sys
print("imported", flush=True)
if __name__ == "__main__":
    from brainct.site.worker import Worker
    worker = Worker(["site-1"], pathlib.Path(sys.argv[1]), None, print, redact=True,
                    context=multiprocessing.get_context("spawn"))
    print(sorted(worker.ask("site-1", {})), flush=True)
    worker.close()
    assert sys.modules["__main__"].__file__ == __file__
"""

FORKED = """
import pathlib, sys
from brainct.flare.forked import Prepared

def work(words):
    pathlib.Path(words[0]).write_text(words[1])
    sys.exit(len(words))

folder = pathlib.Path(sys.argv[1])
processes = Prepared(work, count=2)
first = processes.Popen([sys.executable, "-m", "this", str(folder / "one"), "forked"])
assert first.wait(30) == first.poll() == first.returncode == 2
after = processes.Popen([sys.executable, "-m", "this", str(folder / "two"), "forked"])
started = processes.Popen([sys.executable, "-c", f"open({str(folder / 'three')!r}, 'w').write('started')"])
assert started.wait() == 0 and after.wait(30) == 2
processes.end()
print(*(file.read_text() for file in sorted(folder.iterdir())))
"""

GRACE = """
import time
from nvflare.fuel.f3.mpm import MainProcessMonitor
from brainct.flare import grace
grace.shorten(), grace.shorten()
cleaned = []
MainProcessMonitor.add_cleanup_cb(lambda: cleaned.append(1))
began = time.monotonic()
assert MainProcessMonitor.run(lambda: 7, shutdown_grace_time=30) == 7
assert time.monotonic() - began < 20 and cleaned == [1]
print("done")
"""


@pytest.mark.parametrize(
    ("code", "printed"),
    [(SPAWNED, "imported\n['error', 'exchange']\n"), (FORKED, "forked started forked\n"), (GRACE, "done\n")],
    ids=["a trainer does not import its parent's program", "forked, then started as always", "a short grace"],
)
def test_a_program(code, printed, tmp_path):
    (tmp_path / "program.py").write_text(code)
    (tmp_path / "place").mkdir()
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "place")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
