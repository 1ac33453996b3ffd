"""Components of a kit that bring a killed process or a restarted machine back into a running job."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey, RunProcessKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.job_launcher_spec import JobHandleSpec
from nvflare.app_common.job_launcher.client_process_launcher import ClientProcessJobLauncher

from brainct.core import serialization
from brainct.core.names import run_name

RESTARTS = 3
"""How often a killed process of a job is restarted."""


class Launcher(ClientProcessJobLauncher):  # type: ignore[misc]
    """A site component that restarts a killed job process, and after a restart of the site its running jobs.

    FLARE's own launcher reports a killed process to the server, which then fails the job at every site. Running jobs
    are noted in brainct/jobs of the kit. If the server has ended a job meanwhile, FLARE's next heartbeat ends it here.
    """

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        """Called by FLARE for each job; FLARE has not checked the id yet, which becomes a file name here."""
        note = _notes(fl_ctx) / f"{run_name(job_meta[JobMetaKey.JOB_ID.value])}.json"
        serialization.write(note, json.dumps(job_meta).encode(), private=True)
        return _Handle(lambda: ClientProcessJobLauncher.launch_job(self, job_meta, fl_ctx), note)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Called by FLARE."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.SYSTEM_START:
            for note in sorted(_notes(fl_ctx).glob("*.json")):
                self._start(note, fl_ctx)

    def _start(self, note: Path, fl_ctx: FLContext) -> None:
        try:
            fl_ctx.get_engine().start_app(note.stem, job_meta=json.loads(note.read_text()))
            self.logger.warning("job %s was running when this site stopped; restarting it", note.stem)
        except Exception:  # a damaged note of an old job must not keep the site from starting
            note.unlink()
            self.logger.exception("job %s cannot be restarted", note.stem)


class _Handle(JobHandleSpec):  # type: ignore[misc]
    """A job's process, which is restarted if it is killed."""

    def __init__(self, start: Any, note: Path):
        super().__init__()
        self._start, self._note, self._ended = start, note, False
        self._process = start()

    def terminate(self) -> None:
        """End the process without restart."""
        self._ended = True
        self._process.terminate()

    def poll(self) -> Any:
        """FLARE's code for the end of the process; None while it runs."""
        return self._process.poll()

    def wait(self) -> None:
        """Wait until the process has ended other than by being killed, or was terminated, or was killed too often."""
        for _ in range(RESTARTS):
            self._process.wait()
            if self._ended or not _killed(self._process):
                break
            logging.getLogger(__name__).warning("the process of job %s was killed; restarting it", self._note.stem)
            self._process = self._start()
        self._process.wait()
        self._note.unlink(missing_ok=True)


def _killed(process: Any) -> bool:
    code = process.adapter.poll()
    return code is not None and code < 0


def _notes(fl_ctx: FLContext) -> Path:
    return Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()) / "brainct" / "jobs"


class Returning(FLComponent):  # type: ignore[misc]
    """A server component for what runs on, and what does not, after a restart of a site or of the server.

    A site that registers again takes its old place in the running jobs: FLARE identifies it by a token that changes
    with each registration, and a running job still uses the old one. A job that ran when the server was killed is ended
    as ABANDONED: FLARE 2.9 would list it as RUNNING for ever, where it can be neither aborted nor deleted.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Called by FLARE."""
        if event_type == EventType.SYSTEM_START:
            fl_ctx.get_engine().job_runner.update_unfinished_jobs(fl_ctx)
        if event_type == EventType.CLIENT_REGISTER_PROCESSED:
            engine = fl_ctx.get_engine()
            known = {client.name: client for client in engine.client_manager.get_clients().values()}
            for process in list(engine.run_processes.values()):
                _renew_tokens(process.get(RunProcessKey.PARTICIPANTS) or {}, known)


def _renew_tokens(participants: dict[str, Any], known: Mapping[str, Any]) -> None:
    for token, client in list(participants.items()):
        now = known.get(client.name)
        if now is not None and now.token != token:
            participants[now.token] = now
            del participants[token]
