"""A site in FLARE: finds its scans, answers orders, keeps what the scheme keeps on its own disk."""

from pathlib import Path

from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from brainct.desk import Desk, site_file_of
from brainct.flare import console, wire


class Site(Executor):  # type: ignore[misc]
    """Takes no arguments: where the scans lie is the site's own business, never the job's.

    The site's file is local/brainct.yaml of its kit, else what BRAINCT_SITE names, else the phantom is used and said.
    """

    def __init__(self) -> None:
        super().__init__()
        wire.speak_tensors()
        self._desk: Desk | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """FLARE's call for each task: an order in, an answer out; a fault of the site is an answer too."""
        if task_name != wire.TASK:
            return make_reply(ReturnCode.TASK_UNKNOWN)
        order = wire.from_model(FLModelUtils.from_shareable(shareable))
        answer = self._desk_of(fl_ctx).answer(order)
        console.audit(answer, fl_ctx)
        return FLModelUtils.to_shareable(wire.to_model(answer))

    def _desk_of(self, fl_ctx: FLContext) -> Desk:
        if self._desk is None:
            console.calm()
            workspace = fl_ctx.get_engine().get_workspace()
            keep = Path(workspace.get_run_dir(fl_ctx.get_job_id())) / "brainct" / "keep"
            self._desk = Desk(fl_ctx.get_identity_name(), keep, site_file_of(Path(workspace.get_root_dir())))
        return self._desk
