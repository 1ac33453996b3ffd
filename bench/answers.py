"""`brainct predict --folder` on generated studies: killed halfway and resumed, against an uninterrupted run; seconds.

python bench/answers.py [--studies 50] [--slices 30] [--edge 256]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.studies import write_study

from brainct.job.config import plan_of
from brainct.run.model_file import FILE, write_model


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, value in (("studies", 50), ("slices", 30), ("edge", 256)):
        parser.add_argument(f"--{name}", type=int, default=value)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        plan = plan_of({"scheme": "fedavg", "scan": {"study": "max"}}, "bench/answers.py")
        write_model(place / FILE, plan.kind.initial(plan, 1, 0).weights, plan.model_dump(), {})
        for number in range(chosen.studies):
            pixel = 220 / chosen.edge
            write_study(place / "studies" / f"s{number:03}", number, chosen.slices, chosen.edge, pixel)
        command = [
            sys.executable,
            "-m",
            "brainct.cli",
            "predict",
            str(place / FILE),
            "--folder",
            str(place / "studies"),
        ]
        cut, whole = place / "cut.csv", place / "whole.csv"
        started = subprocess.Popen([*command, "--out", str(cut)], env=_environment())
        while not (cut.exists() and cut.read_text().count("\n") > chosen.studies // 2):
            time.sleep(0.02)
        started.send_signal(signal.SIGKILL)
        started.wait()
        print(f"killed after {cut.read_text().count(chr(10)) - 1} studies")
        for out in (cut, whole):
            done = subprocess.run([*command, "--out", str(out)], env=_environment(), capture_output=True, text=True)
            print(done.stdout + done.stderr[-2000:])
        print("the tables are the same" if cut.read_bytes() == whole.read_bytes() else "THE TABLES DIFFER")


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    main()
