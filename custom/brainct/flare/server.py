"""The server in FLARE: sends each site its request, waits, and leaves the rest to the round loop."""

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_common.workflows.model_controller import ModelController

from brainct.core import serialization
from brainct.core.names import run_name
from brainct.errors import Refused
from brainct.flare import logs, messages, simulator_patch
from brainct.job.config import plan_of
from brainct.protocol.requests import Request, request_to_plain
from brainct.run import checkpoint
from brainct.run.inbox import Inbox
from brainct.run.record import Record
from brainct.run.rounds import Run
from brainct.run.summary import last_lines
from brainct.site.redaction import LOG

PERIOD = 0.02
"""Seconds between two looks at whether an exchange is closed."""

RETURNS = 2.0
"""Seconds between two looks at whether a missing site has registered anew."""

NOTICED = 60.0
"""Seconds in which FLARE notices that a site is disconnected, with the policy's heart_beat_timeout."""


class Rounds(ModelController):  # type: ignore[misc]
    """Runs a scheme's rounds over the sites that the job was deployed to.

    resume: the id of a run of the same plan and sites that did not end; it continues after its last closed round.
    choices: the keys of brainct.job.config.Plan. They are plain data, and a wrong one ends the job with a sentence:
    this class is all that FLARE builds of a job, whatever its arguments.
    Results go to the job's folder `brainct`: record.json, model.safetensors, tb_events/. The state to resume from is
    in the kit, where FLARE leaves it alone when a job ends: brainct/runs/ and the run's id, which is the first job's.
    The environment variable BRAINCT_SECRET, if the server has one, is mixed into the server's own randomness.
    """

    def __init__(self, resume: str = "", **choices: Any):
        super().__init__(persistor_id="", ignore_result_error=True, task_check_period=PERIOD)
        messages.speak_tensors()
        simulator_patch.mend()
        self._resume, self._choices = resume, choices
        self._inbox: Inbox[Any] | None = None

    def run(self) -> None:
        """FLARE's call; a refusal ends the job with its sentence."""
        logs.calm()
        try:
            self._run()
        except Refused as error:
            self.panic(f"brainct: {error}")

    def _run(self) -> None:
        plan, folder = plan_of(self._choices, "the job"), Path(self.get_run_dir()) / "brainct"
        name = self._resume or self.fl_ctx.get_job_id()
        states = Path(self.engine.get_workspace().get_root_dir()) / "brainct" / "runs" / run_name(name)
        resumed = checkpoint.load(states, name) if self._resume else None
        self._check_submitter(states / "submitter.json", name)
        backend = os.environ.get("BRAINCT_WAY", "flare")
        record = Record(folder, plan, plan.build(), backend, states=states, resumed=resumed)
        sites = [client.name for client in self.engine.get_clients()]
        secret = os.environ.get("BRAINCT_SECRET", "")
        Run(
            plan, sites, self._transport, record, name=name, secret=secret, log=self._log, on_round_closed=self._closed
        )()
        print(last_lines(record.record, folder), flush=True)
        self._see_off()

    def _check_submitter(self, file: Path, run: str) -> None:
        """Note who began a run; another member of the project can't resume it and so get its results."""
        meta = Path(self.engine.get_workspace().get_job_meta_path(self.fl_ctx.get_job_id()))
        found = json.loads(meta.read_text()) if meta.is_file() else {}
        own = found.get(JobMetaKey.SUBMITTER_NAME.value, "")
        if not self._resume:
            serialization.write(file, json.dumps({"name": own}).encode(), private=True)
            return
        first = json.loads(file.read_text())["name"] if file.is_file() else own
        if own != first and found.get(JobMetaKey.SUBMITTER_ROLE.value) != "project_admin":
            raise Refused(f"run {run} was begun by someone else; they or the project administrator can resume it")

    def _see_off(self) -> None:
        """Wait until FLARE has noticed which sites are disconnected: one that it misses later would fail the job."""
        until, silent = time.monotonic() + NOTICED, self._inbox.silent if self._inbox else set()
        while any(not self.communicator.get_client_disconnect_time(site) for site in silent):
            if time.monotonic() > until or self.abort_signal.triggered:
                return
            time.sleep(PERIOD)

    def _transport(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        self._inbox = inbox
        looked = self._admit_returned()
        for site, request in requests.items():
            model = messages.to_model(request_to_plain(request), request.round)
            self.send_model(messages.TASK, model, [site], timeout=int(inbox.deadline) + 1, callback=_into(inbox))
        while not inbox.closed():
            if self.abort_signal.triggered:
                raise Refused("the job was aborted")
            self._mark_disconnected(inbox)
            if time.monotonic() - looked > RETURNS:
                looked = self._admit_returned()
            if not self.get_num_standing_tasks():
                self._mark_failed(requests, inbox)
            time.sleep(PERIOD)
        self.cancel_all_tasks()

    def _admit_returned(self) -> float:
        """Learn the new tokens of sites that restarted, whose requests FLARE refuses until then; when that was done."""
        self.engine.sync_clients_from_main_process()
        return time.monotonic()

    def _mark_disconnected(self, inbox: Inbox[Any]) -> None:
        for site in inbox.missing():
            if self.communicator.get_client_disconnect_time(site):
                inbox.mark_lost(site, f"{site} is disconnected: FLARE has no signal from its job")

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """FLARE's call; a site that fetches its request is alive. A report after the close would show that too,
        but FLARE has the site drop it."""
        super().handle_event(event_type, fl_ctx)
        if event_type == AppEventType.BEFORE_TRAIN_TASK and self._inbox:
            self._inbox.mark_fetched(fl_ctx.get_peer_context().get_identity_name())

    def process_result_of_unknown_task(
        self, client: Client, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """FLARE's call for a reply to a closed exchange: it comes too late to be used, but its site is alive."""
        if self._inbox:
            _into(self._inbox)(FLModelUtils.from_shareable(result), client.name)

    def _mark_failed(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        """FLARE dropped the replies of failed sites and reported nothing."""
        for site in requests:
            inbox.mark_lost(site, f"FLARE got no reply from {site}; see the site's log")

    def _log(self, line: str) -> None:
        logging.getLogger(LOG).info(line)

    def _closed(self, row: Mapping[str, Any]) -> None:
        losses = [values["loss"] for values in row["metrics"].values() if "loss" in values]
        loss = f", training loss {min(losses):.3f} to {max(losses):.3f}" if losses else ""
        replied = f"{len(row['metrics'])} of {len(row['bytes_sent'])} sites"
        self._log(f"round {row['round']}: {replied}{loss}, {row['seconds']:.1f} s")

    def info(self, msg: str) -> None:
        """FLARE's own log lines, one level down."""
        self.debug(msg)


def _into(inbox: Inbox[Any]) -> Any:
    def accept(model: FLModel, site: str = "") -> bool:
        site = site or model.meta["client_name"]
        try:
            return inbox.accept(site, messages.from_model(model))
        except Refused as error:
            inbox.mark_lost(site, str(error))
            return False

    return accept
