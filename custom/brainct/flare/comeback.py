"""What a kit adds to FLARE so that a killed process or a restarted machine comes back into a running job."""

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

TIMES = 3
"""How often a job's process that is killed is started again."""


class Launcher(ClientProcessJobLauncher):  # type: ignore[misc]
    """At a site: starts a job's process again when it is killed, and after a restart the jobs that were running.

    FLARE's own launcher reports a killed process to the server, which then fails the job at every site. What runs is
    noted in brainct/jobs of the kit. If the server has ended the job meanwhile, FLARE's next heartbeat ends it here.
    """

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        """FLARE's call for each job; it has not looked at the id yet, which becomes a file's name here."""
        note = _notes(fl_ctx) / f"{run_name(job_meta[JobMetaKey.JOB_ID.value])}.json"
        serialization.write(note, json.dumps(job_meta).encode(), private=True)
        return _Handle(lambda: ClientProcessJobLauncher.launch_job(self, job_meta, fl_ctx), note)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """FLARE's call."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.SYSTEM_START:
            for note in sorted(_notes(fl_ctx).glob("*.json")):
                self._start(note, fl_ctx)

    def _start(self, note: Path, fl_ctx: FLContext) -> None:
        try:
            fl_ctx.get_engine().start_app(note.stem, job_meta=json.loads(note.read_text()))
            self.logger.warning("job %s was running when this site stopped; it is started again", note.stem)
        except Exception:  # what is left of that job is no reason for a site not to start
            note.unlink()
            self.logger.exception("job %s can't be started again", note.stem)


class _Handle(JobHandleSpec):  # type: ignore[misc]
    """A job's process, and the one that takes its place when it is killed."""

    def __init__(self, start: Any, note: Path):
        super().__init__()
        self._start, self._note, self._ended = start, note, False
        self._process = start()

    def terminate(self) -> None:
        """End it for good."""
        self._ended = True
        self._process.terminate()

    def poll(self) -> Any:
        """FLARE's code for how it ended."""
        return self._process.poll()

    def wait(self) -> None:
        """Wait until it has ended by itself or for good."""
        for _ in range(TIMES):
            self._process.wait()
            if self._ended or not _killed(self._process):
                break
            logging.getLogger(__name__).warning(
                "the process of job %s was killed; it is started again", self._note.stem
            )
            self._process = self._start()
        self._process.wait()
        self._note.unlink(missing_ok=True)


def _killed(process: Any) -> bool:
    code = process.adapter.poll()
    return code is not None and code < 0


def _notes(fl_ctx: FLContext) -> Path:
    return Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_root_dir()) / "brainct" / "jobs"


class Returning(FLComponent):  # type: ignore[misc]
    """At the server: a site that registers again takes its old place in the jobs that run.

    FLARE knows a site by a token that is new with each registration, and asks a running job's sites by the old ones.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """FLARE's call."""
        if event_type == EventType.CLIENT_REGISTER_PROCESSED:
            engine = fl_ctx.get_engine()
            known = {client.name: client for client in engine.client_manager.get_clients().values()}
            for process in list(engine.run_processes.values()):
                _renew(process.get(RunProcessKey.PARTICIPANTS) or {}, known)


def _renew(participants: dict[str, Any], known: Mapping[str, Any]) -> None:
    for token, client in list(participants.items()):
        now = known.get(client.name)
        if now is not None and now.token != token:
            participants[now.token] = now
            del participants[token]
