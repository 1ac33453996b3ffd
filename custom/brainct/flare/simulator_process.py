"""The process of FLARE's simulator: `python -m brainct.flare.simulator_process JOB -w WORKSPACE ...`."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from nvflare.fuel.utils.log_utils import LogMode
from nvflare.private.fed.app.simulator.simulator import define_simulator_parser
from nvflare.private.fed.app.simulator.simulator_runner import SimulatorRunner


class Runner(SimulatorRunner):  # type: ignore[misc]
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


def main() -> None:
    """Run the simulator in this process, and exit as FLARE's own command does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    define_simulator_parser(parser)
    parser.add_argument("--resume", action="store_true", help="continue the run of this workspace")
    chosen = vars(parser.parse_args())
    ended: dict[str, int] = {}
    Runner(**{**chosen, "log_config": chosen["log_config"] or LogMode.CONCISE}).run_process(ended)
    sys.exit(ended["run_status"])


if __name__ == "__main__":
    main()
