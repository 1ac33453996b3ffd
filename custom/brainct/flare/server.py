"""The server in FLARE: sends each site its request, collects the replies, and leaves the rest to the round loop."""

import json
import logging
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from brainct.core import serialization
from brainct.core.names import check_path, run_name
from brainct.errors import Refused
from brainct.flare import grace, logs, messages, simulator_patch, statistics
from brainct.flare.simulator import stopped, words_of
from brainct.job.config import plan_of
from brainct.job.folders import START
from brainct.kit.formats import check_format
from brainct.protocol.requests import Request, request_to_plain
from brainct.run import checkpoint
from brainct.run.inbox import Inbox
from brainct.run.record import RecordWriter
from brainct.run.rounds import Run
from brainct.run.start_model import start_of
from brainct.run.summary import last_lines
from brainct.site.redaction import LOG

REPLY_POLL_SECONDS = 0.02
"""Seconds between two checks whether all replies are in."""

RETURN_POLL_SECONDS = 2.0
"""Seconds between two checks whether a missing site has registered again."""

DISCONNECT_SECONDS = 60.0
"""Seconds until FLARE notices a lost site, with the policy's heart_beat_timeout."""


class Rounds(Controller):  # type: ignore[misc]
    """Runs a scheme's rounds over the sites that the job was deployed to.

    resume: the id of an unfinished run of the same plan and sites; continue it after its last closed round.
    choices: the keys of brainct.job.config.Plan. They are plain data, and a wrong one ends the job with one sentence:
    a job has FLARE build this class and nothing else, whatever its arguments.
    Results are in the job's folder `brainct`: record.json, model.safetensors, tb_events/. The checkpoint is in the kit,
    in brainct/runs/ID with the id of the run's first job, where FLARE does not delete it when a job ends.
    The environment variable BRAINCT_SECRET, if the server has one, is mixed into the server's own randomness.
    """

    def __init__(self, resume: str = "", **choices: Any):
        super().__init__(task_check_period=REPLY_POLL_SECONDS)
        messages.register_tensors()
        simulator_patch.patch_simulator()
        grace.shorten()
        self._resume, self._choices = resume, choices
        self._inbox: Inbox[Any] | None = None
        self._record: RecordWriter | None = None

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Called by FLARE before the first task; nothing is to be prepared."""

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Called by FLARE after the end; nothing is left to close."""

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Called by FLARE; a refusal ends the job with its sentence."""
        logs.quiet_console()
        self.engine, self.fl_ctx, self.abort_signal = fl_ctx.get_engine(), fl_ctx, abort_signal
        try:
            self._run()
        except Refused as error:
            self.system_panic(f"brainct: {error}", fl_ctx)

    def _run(self) -> None:
        check_path(self._run_dir(), "the workspace")
        plan, folder = plan_of(self._choices, "the job"), self._run_dir() / "brainct"
        name = self._resume or self.fl_ctx.get_job_id()
        kit = Path(self.engine.get_workspace().get_root_dir())
        check_format(kit)
        states = kit / "brainct" / "runs" / run_name(name)
        resumed = checkpoint.load(states, name) if self._resume else None
        self._check_submitter(states / "submitter.json", name)
        backend = os.environ.get("BRAINCT_WAY", "flare")
        told = partial(statistics.track, self.engine)
        record = RecordWriter(folder, plan, plan.build(), backend, states=states, resumed=resumed, track=told)
        self._record = record
        sites = [client.name for client in self.engine.get_clients()]
        words = words_of("JOB", sorted(sites))
        simulator_patch.say_at_interrupt(lambda: stopped(record.stored, plan.rounds, kit.parent, words))
        secret = os.environ.get("BRAINCT_SECRET", "")
        how: dict[str, Any] = {"log": self._log, "on_round_closed": self._log_round}
        if not resumed and (begin := start_of(plan, self._config_dir() / START)):
            record.record.start, how["initial"] = begin.started, begin.weights
            for note in begin.notes:
                self._log(note)
        Run(plan, sites, self._exchange, record, name=name, secret=secret, **how)()
        print(last_lines(record.record, folder), flush=True)
        self._await_disconnects()

    def _config_dir(self) -> Path:
        return Path(self.engine.get_workspace().get_app_config_dir(self.fl_ctx.get_job_id()))

    def _run_dir(self) -> Path:
        return Path(self.engine.get_workspace().get_run_dir(self.fl_ctx.get_job_id()))

    def _check_submitter(self, file: Path, run: str) -> None:
        """Note who started a run; another member of the project cannot resume it, since they would get its results."""
        meta = Path(self.engine.get_workspace().get_job_meta_path(self.fl_ctx.get_job_id()))
        found = json.loads(meta.read_text()) if meta.is_file() else {}
        own = found.get(JobMetaKey.SUBMITTER_NAME.value, "")
        if not self._resume:
            serialization.write(file, json.dumps({"name": own}).encode(), private=True)
            return
        first = json.loads(file.read_text())["name"] if file.is_file() else own
        if own != first and found.get(JobMetaKey.SUBMITTER_ROLE.value) != "project_admin":
            raise Refused(f"run {run} was started by someone else; they or the project administrator can resume it")

    def _await_disconnects(self) -> None:
        """Wait until FLARE has noticed every lost site: one that it notices only later would fail the job."""
        until, silent = time.monotonic() + DISCONNECT_SECONDS, self._inbox.silent if self._inbox else set()
        while any(not self.get_client_disconnect_time(site) for site in silent):
            if time.monotonic() > until or self.abort_signal.triggered:
                return
            time.sleep(REPLY_POLL_SECONDS)

    def _exchange(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        self._inbox = inbox
        looked = self._admit_returning_sites()
        for site, request in requests.items():
            self._send(site, request, inbox)
        while not inbox.closed():
            if self.abort_signal.triggered:
                raise Refused("the job was aborted")
            self._drop_disconnected(inbox)
            if time.monotonic() - looked > RETURN_POLL_SECONDS:
                looked = self._admit_returning_sites()
            if not self.get_num_standing_tasks():
                self._drop_failed(requests, inbox)
            time.sleep(REPLY_POLL_SECONDS)
        self.cancel_all_tasks()

    def _send(self, site: str, request: Request, inbox: Inbox[Any]) -> None:
        """Put a request out for its site to fetch; a site that fetches it is alive.

        A late report would show that too, but FLARE has the site drop it.
        """
        task = Task(
            messages.TASK,
            FLModelUtils.to_shareable(messages.to_model(request_to_plain(request), request.round)),
            timeout=int(inbox.deadline) + 1,
            before_task_sent_cb=lambda client_task, fl_ctx: inbox.mark_fetched(client_task.client.name),
            result_received_cb=lambda client_task, fl_ctx: _receive(client_task, inbox),
        )
        self.broadcast(task, self.fl_ctx, targets=[site], min_responses=0)

    def _admit_returning_sites(self) -> float:
        """Learn the new tokens of restarted sites, whose requests FLARE refuses until then; return the time."""
        self.engine.sync_clients_from_main_process()
        return time.monotonic()

    def _drop_disconnected(self, inbox: Inbox[Any]) -> None:
        for site in inbox.missing():
            if self.get_client_disconnect_time(site):
                inbox.mark_lost(site, f"{site} is lost: FLARE hears nothing from its job")

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Called by FLARE at each of its events; those that ask for statistics get the run's."""
        super().handle_event(event_type, fl_ctx)
        if self._record:
            statistics.tell(event_type, fl_ctx, self._record.record, self._inbox)

    def process_result_of_unknown_task(
        self, client: Client, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """Called by FLARE for a late reply: it is not used, but shows that its site is alive."""
        if self._inbox:
            _accept(self._inbox, client.name, result)

    def _drop_failed(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        """FLARE drops the replies of failed sites without calling us."""
        for site in requests:
            inbox.mark_lost(site, f"FLARE could not get a reply from {site}; see the site's log")

    def _log(self, line: str) -> None:
        logging.getLogger(LOG).info(line)

    def _log_round(self, row: Mapping[str, Any]) -> None:
        losses = [values["loss"] for values in row["metrics"].values() if "loss" in values]
        loss = f", training loss {min(losses):.3f} to {max(losses):.3f}" if losses else ""
        replied = f"{len(row['metrics'])} of {len(row['bytes_sent'])} sites"
        self._log(f"round {row['round']}: {replied}{loss}, {row['seconds']:.1f} s")


def _receive(client_task: ClientTask, inbox: Inbox[Any]) -> None:
    """A site's reply to the inbox; one that FLARE made for a site that failed is none, see `_drop_failed`."""
    if client_task.result.get_return_code() == ReturnCode.OK:
        _accept(inbox, client_task.client.name, client_task.result)
    client_task.result = None


def _accept(inbox: Inbox[Any], site: str, result: Shareable) -> None:
    try:
        inbox.accept(site, messages.from_model(FLModelUtils.from_shareable(result)))
    except Refused as error:
        inbox.mark_lost(site, str(error))
