"""A site in FLARE: replies to each request from a worker process, which opens the site's data and trains."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from brainct.errors import Refused
from brainct.flare import grace, logs, messages
from brainct.job.folders import START
from brainct.kit.formats import check_format
from brainct.kit.verdict import last_verdict
from brainct.run.start_model import starter
from brainct.site.agent import SiteAgent
from brainct.site.data import FORKED, site_file_of
from brainct.site.redaction import LOG
from brainct.site.worker import Worker, context

Ask = Callable[[Mapping[str, Any], Callable[[], bool]], dict[str, Any]]
"""Given a request as plain data, and whether to stop: the reply as plain data."""


class Site(Executor):  # type: ignore[misc]
    """Takes no arguments: the site decides where its data are, never the job.

    The site file is local/brainct.yaml of the kit, otherwise the file that BRAINCT_SITE names; without one, the phantom
    is used and a note says so. Client state is in brainct/client_state of the kit, one folder per run. Training runs in
    a child process, whose crash does not end FLARE's process; in the simulator, where all sites belong to one user, it
    runs in this process.
    """

    def __init__(self) -> None:
        super().__init__()
        messages.register_tensors()
        grace.shorten()
        self._ask: Ask | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Called by FLARE; the training process imports what it needs while the server gets ready."""
        if event_type == EventType.START_RUN:
            self._ask = _ask(fl_ctx)

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Called by FLARE for each task: a request in, a reply out; an error of the site is also a reply."""
        if task_name != messages.TASK:
            return make_reply(ReturnCode.TASK_UNKNOWN)
        request = messages.from_model(FLModelUtils.from_shareable(shareable))
        self._ask = self._ask or _ask(fl_ctx)
        reply = self._ask(request, lambda: abort_signal.triggered)
        if "about" in reply and (check := last_verdict(_kit(fl_ctx))):
            reply["about"]["check"] = check
        logs.audit_refusal(reply, fl_ctx)
        return FLModelUtils.to_shareable(messages.to_model(reply))


def _ask(fl_ctx: FLContext) -> Ask:
    logs.quiet_console()
    site, kit = fl_ctx.get_identity_name(), _kit(fl_ctx)
    try:
        check_format(kit)
    except Refused as error:
        refusal = f"{site} does not take part: {error}"
        return lambda request, stopped: {"error": refusal}
    client_state, site_file = kit / "brainct" / "client_state", site_file_of(kit)
    start = starter(_start_file(fl_ctx))
    if fl_ctx.get_prop(FLContextKey.SIMULATE_MODE, False):
        agent = SiteAgent(site, client_state, site_file, FORKED.found, reused=True, start=start)
        return lambda request, stopped: agent.reply_plain(request)
    how = context(None)
    own: dict[str, Any] = {"startup": kit / "startup", "privacy": kit / "local" / "privacy.json", "start": start}
    worker = Worker([site], client_state, site_file, _log, redact=True, context=how, **own)
    return lambda request, stopped: worker.ask(site, request, stopped)


def _kit(fl_ctx: FLContext) -> Path:
    return Path(fl_ctx.get_engine().get_workspace().get_root_dir())


def _start_file(fl_ctx: FLContext) -> Path:
    """Where the job's start model is, if the job brought one."""
    return Path(fl_ctx.get_engine().get_workspace().get_app_config_dir(fl_ctx.get_job_id())) / START


def _log(line: str) -> None:
    logging.getLogger(LOG).warning(line)
