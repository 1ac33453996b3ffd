"""FLARE's simulator: a workspace that allows our two classes, a job run in it, and what Ctrl-C leaves.

The simulator has a process of its own, which loads torch; this one does so only to resume a run or to say what is left.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from brainct.core import json_file
from brainct.core.names import check_path, site_names
from brainct.errors import Refused
from brainct.flare.simulator_patch import STOPPED
from brainct.job.components import ROUNDS, SITE

RUN = "simulate_job"
"""The name that FLARE's simulator gives to every run."""

RESULTS = Path("server") / RUN / "brainct"
"""Where a run's results are in the workspace."""

CHECKPOINT = Path("server") / "brainct" / "runs" / RUN
"""Where a run's checkpoint is in the workspace."""

ALLOWED = "class_allow_list"


def make_workspace(folder: Path) -> None:
    """Allow in a simulator's workspace what a job of ours needs, our two classes, and nothing else.

    A workspace's own list stays; refused where it leaves out one of the two.
    """
    check_path(folder, "the simulator's workspace")
    file = folder / "local" / "resources.json"
    if not file.exists():
        rules = {"format_version": 2, "class_list_enforcement_mode": "enforce", ALLOWED: [ROUNDS, SITE]}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rules, indent=2) + "\n")
    listed = json_file.table(file.read_bytes(), str(file), "the rules of a simulator's workspace").get(ALLOWED, [])
    missing = [name for name in (ROUNDS, SITE) if not _allows(listed, name)]
    if missing:
        raise Refused(
            f"{file} does not allow {' and '.join(missing)}; add them to its {ALLOWED}, or name another workspace: "
            "`brainct simulate JOB --workspace NEW` makes one"
        )


def _allows(listed: Sequence[str], name: str) -> bool:
    return any(one in ("*", name) or (one.endswith(".") and name.startswith(one)) for one in listed)


def simulate(
    job: Path,
    workspace: Path,
    sites: Sequence[str],
    *,
    threads: int = 0,
    resume: bool = False,
    options: Sequence[str] = (),
    shown: str = "",
) -> int:
    """Run a job folder in FLARE's simulator, which empties the workspace except local/; return its exit code.

    A job that is none is refused in a sentence, with exit code 2, before the workspace is emptied.

    threads: sites that train at the same time, 0 for all. resume: continue the unfinished run of this workspace.
    options: more words for FLARE's simulator, such as `-l full`. On Ctrl-C, one line says what is on disk; shown: what
    it calls the job, by default its folder.
    """
    workspace = workspace.resolve()
    make_workspace(workspace)
    with tempfile.TemporaryDirectory(prefix="brainct-") as place:
        chosen = _resuming(job, workspace, Path(place)) if resume else job.resolve()
        words = [str(chosen), "-w", str(workspace), "-c", ",".join(sites), "-t", str(threads or len(sites)), *options]
        command = [sys.executable, "-m", "brainct.flare.simulator_process", *words, *(["--resume"] * resume)]
        process = subprocess.Popen(command, start_new_session=True)  # Ctrl-C reaches this process alone
        try:
            return process.wait()
        except KeyboardInterrupt:
            _end(process.pid)
            process.wait()
            print(f"\n{left_over(workspace, words_of(shown or str(job), sites))}", file=sys.stderr)
            return STOPPED


def _resuming(job: Path, workspace: Path, place: Path) -> Path:
    """A copy of the job that resumes the workspace's run; refused where there is none to resume."""
    from brainct.job import copies
    from brainct.run import checkpoint

    found = copies.resuming(job, RUN, place / job.resolve().name)
    checkpoint.load(workspace / CHECKPOINT, RUN)
    return found


def _end(pid: int) -> None:
    """Kill a process and what it started; a checkpoint is replaced in one step, so that none is cut."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def left_over(workspace: Path, words: str) -> str:
    """One line: what a stopped run left in its workspace, and the command that continues it, with these words."""
    from brainct.run import checkpoint
    from brainct.run.run_record import read_record

    try:
        record = checkpoint.load(workspace / CHECKPOINT, RUN).record
    except Refused:
        return stopped(0, 0, workspace, words)
    if read_record(workspace / RESULTS / "record.json").finished:
        return f"stopped after the last round; the results are in {workspace / RESULTS}"
    return stopped(len(record.rounds), record.plan["rounds"], workspace, words)


def stopped(closed: int, rounds: int, workspace: Path, words: str) -> str:
    """The line of a run that was stopped after so many of its rounds."""
    if not closed:
        return "stopped before the first round; nothing is lost"
    return (
        f"stopped; {closed} of {rounds} rounds are closed in {workspace / CHECKPOINT}: "
        f"`brainct simulate {words} --workspace {workspace} --resume` continues"
    )


def words_of(job: str, sites: Sequence[str]) -> str:
    """The words of the command for this job and these sites."""
    return (
        f"{job} --sites {len(sites)}" if list(sites) == site_names(len(sites)) else f"{job} --names {','.join(sites)}"
    )
