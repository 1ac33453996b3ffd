"""A site in FLARE: finds its scans, trains in a process of its own, keeps what the scheme keeps on its own disk."""

import logging
from collections.abc import Callable
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
from brainct.site.agent import LOG, SiteAgent, site_file_of
from brainct.site.worker import Order, Worker, context

Ask = Callable[[Order, Callable[[], bool]], dict[str, Any]]


class Site(Executor):  # type: ignore[misc]
    """Takes no arguments: where the scans lie is the site's own business, never the job's.

    The site's file is local/brainct.yaml of its kit, else what BRAINCT_SITE names, else the phantom is used and said.
    Client state lies in brainct/client_state of its kit, below it one folder for each run. Training runs in a child
    process, so that its end does not end FLARE's; in the simulator, whose sites are one user's, in this one.
    """

    def __init__(self) -> None:
        super().__init__()
        messages.speak_tensors()
        self._ask: Ask | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """FLARE's call for each task: an order in, an answer out; a fault of the site is an answer too."""
        if task_name != messages.TASK:
            return make_reply(ReturnCode.TASK_UNKNOWN)
        order = messages.from_model(FLModelUtils.from_shareable(shareable))
        self._ask = self._ask or _ask(fl_ctx)
        answer = self._ask(order, lambda: abort_signal.triggered)
        if "about" in answer and (check := last_verdict(_kit(fl_ctx))):
            answer["about"]["check"] = check
        logs.audit(answer, fl_ctx)
        return FLModelUtils.to_shareable(messages.to_model(answer))


def _ask(fl_ctx: FLContext) -> Ask:
    logs.calm()
    site, kit = fl_ctx.get_identity_name(), _kit(fl_ctx)
    client_state, site_file = kit / "brainct" / "client_state", site_file_of(kit)
    if fl_ctx.get_prop(FLContextKey.SIMULATE_MODE, False):
        agent = SiteAgent(site, client_state, site_file, reused=True)
        return lambda order, stopped: agent.answer(order)
    how = context(threads=True)
    own: dict[str, Any] = {"startup": kit / "startup", "privacy": kit / "local" / "privacy.json"}
    worker = Worker([site], client_state, site_file, _tell, redact=True, context=how, **own)
    return lambda order, stopped: worker.ask(site, order, stopped)


def _kit(fl_ctx: FLContext) -> Path:
    return Path(fl_ctx.get_engine().get_workspace().get_root_dir())


def _tell(line: str) -> None:
    logging.getLogger(LOG).warning(line)
