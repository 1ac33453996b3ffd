"""A site in FLARE: finds its data, trains in a process of its own, and stores its client state on its own disk."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from brainct.flare import logs, messages
from brainct.kit.verdict import last_verdict
from brainct.site.agent import SiteAgent
from brainct.site.data import site_file_of
from brainct.site.redaction import LOG
from brainct.site.worker import Worker, context

Ask = Callable[[Mapping[str, Any], Callable[[], bool]], dict[str, Any]]
"""Given a request as plain data, and whether to stop: the reply as plain data."""


class Site(Executor):  # type: ignore[misc]
    """Takes no arguments: where the data are is the site's own business, never the job's.

    The site's file is local/brainct.yaml of its kit, else the one that BRAINCT_SITE names; without any, the phantom is
    used and a note says so. Client state is in brainct/client_state of its kit, in it one folder for each run. Training
    runs in a child process, so that its end does not end FLARE's; in the simulator, whose sites are one user's, in this
    one.
    """

    def __init__(self) -> None:
        super().__init__()
        messages.speak_tensors()
        self._ask: Ask | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """FLARE's call for each task: a request in, a reply out; a fault of the site is a reply too."""
        if task_name != messages.TASK:
            return make_reply(ReturnCode.TASK_UNKNOWN)
        request = messages.from_model(FLModelUtils.from_shareable(shareable))
        self._ask = self._ask or _ask(fl_ctx)
        reply = self._ask(request, lambda: abort_signal.triggered)
        if "about" in reply and (check := last_verdict(_kit(fl_ctx))):
            reply["about"]["check"] = check
        logs.audit(reply, fl_ctx)
        return FLModelUtils.to_shareable(messages.to_model(reply))


def _ask(fl_ctx: FLContext) -> Ask:
    logs.calm()
    site, kit = fl_ctx.get_identity_name(), _kit(fl_ctx)
    client_state, site_file = kit / "brainct" / "client_state", site_file_of(kit)
    if fl_ctx.get_prop(FLContextKey.SIMULATE_MODE, False):
        agent = SiteAgent(site, client_state, site_file, reused=True)
        return lambda request, stopped: agent.reply_plain(request)
    how = context(threads=True)
    own: dict[str, Any] = {"startup": kit / "startup", "privacy": kit / "local" / "privacy.json"}
    worker = Worker([site], client_state, site_file, _log, redact=True, context=how, **own)
    return lambda request, stopped: worker.ask(site, request, stopped)


def _kit(fl_ctx: FLContext) -> Path:
    return Path(fl_ctx.get_engine().get_workspace().get_root_dir())


def _log(line: str) -> None:
    logging.getLogger(LOG).warning(line)
