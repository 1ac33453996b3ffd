"""The process of FLARE's simulator: `python -m brainct.flare.simulator_process JOB -w WORKSPACE ...`."""

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nvflare.fuel.f3.mpm import MainProcessMonitor
from nvflare.fuel.utils.log_utils import LogMode
from nvflare.private.fed.app.simulator import simulator_runner, simulator_worker
from nvflare.private.fed.app.simulator.simulator import define_simulator_parser
from nvflare.widgets.fed_event import ClientFedEventRunner

from brainct.errors import Refused
from brainct.flare.forked import Prepared
from brainct.flare.simulator_patch import NoWait, ShortNaps
from brainct.job import folders
from brainct.site.data import open_before_fork

IMPORTED = ("brainct.flare.server", "brainct.flare.site", "tensorboard.summary")
"""What server and sites would each import for themselves."""
GRACE = 6
"""Seconds that FLARE gets to clean up, as in its own command."""


class Runner(simulator_runner.SimulatorRunner):  # type: ignore[misc]
    """FLARE's own, which empties the workspace before it starts; with `resume` it leaves what an earlier run stored."""

    def __init__(self, resume: bool, **choices: Any):
        super().__init__(**choices)
        self._resume, self._aside = resume, Path(self.workspace).with_name(f"{Path(self.workspace).name}.state")

    def _cleanup_workspace(self) -> None:
        if self._resume:
            for kept in sorted(Path(self.workspace).glob("*/brainct")):
                self._aside.mkdir(exist_ok=True)
                shutil.move(kept, self._aside / kept.parent.name)
        super()._cleanup_workspace()

    def _deploy_apps(self, *given: Any) -> None:
        super()._deploy_apps(*given)
        if self._resume:
            for kept in sorted(self._aside.iterdir()):
                shutil.move(kept, Path(self.workspace) / kept.name / "brainct")
            self._aside.rmdir()


def site_process(words: list[str]) -> None:
    """What FLARE's module does as a program, without the seconds that it sleeps at its end."""
    sys.argv = [simulator_worker.__name__, *words]
    chosen = simulator_worker.parse_arguments()
    ClientFedEventRunner.queue_empty_period = NoWait()
    MainProcessMonitor.run(simulator_worker.main, chosen.workspace, shutdown_grace_time=0, args=chosen)


def _warm_up(job: Path, sites: Sequence[str]) -> None:
    """Import what the processes of this job import, before they are forked; refused where it is no job."""
    plan = folders.read(job)
    for module in IMPORTED:
        importlib.import_module(module)
    plan.kind.warm_up(plan)
    open_before_fork(sites, plan)


def main() -> None:
    """Run the simulator in this process, and exit as FLARE's own command does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    define_simulator_parser(parser)
    parser.add_argument("--resume", action="store_true", help="continue the run of this workspace")
    chosen = vars(parser.parse_args())
    sites = chosen["clients"].split(",")
    try:
        _warm_up(Path(chosen["job_folder"]), sites)
    except Refused as error:
        if not chosen["resume"]:  # the copy of a job that resumes has a word more, and its job was read before
            print(f"brainct: {error}", file=sys.stderr)
            sys.exit(2)
    simulator_runner.time = simulator_worker.time = ShortNaps()
    processes = Prepared(site_process, count=min(chosen["threads"], len(sites)))
    simulator_runner.subprocess = processes
    simulator_runner.popen_in_new_session = processes.Popen  # in its place from FLARE 2.9.1 on
    runner = Runner(**{**chosen, "log_config": chosen["log_config"] or LogMode.CONCISE})

    def run() -> Any:
        try:
            return runner.simulator_run_main()
        finally:
            processes.end()

    status = MainProcessMonitor.run(run, runner.workspace, shutdown_grace_time=0, cleanup_grace_time=GRACE)
    sys.stdout.flush()
    os._exit(status or 0)  # Python takes seconds to put torch away


if __name__ == "__main__":
    main()
