"""Where a run stands: for `nvflare job stats`, and for FLARE's receivers of experiment trackers."""

from typing import Any

from nvflare.apis.analytix import ANALYTIC_EVENT_TYPE, AnalyticsDataType
from nvflare.apis.fl_constant import EventScope, FedEventHeader, FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.analytix_utils import create_analytic_dxo
from nvflare.widgets.info_collector import InfoCollector

from brainct.run.inbox import Inbox
from brainct.run.progress import stats
from brainct.run.run_record import RunRecord

GROUP = "brainct"


def tell(event_type: str, fl_ctx: FLContext, record: RunRecord, inbox: Inbox[Any] | None) -> None:
    """Add the run's numbers where FLARE asks for them; any other event is left alone."""
    if event_type == InfoCollector.EVENT_TYPE_GET_STATS:
        collector = fl_ctx.get_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR)
        if collector is not None:
            collector.add_info(GROUP, stats(record, inbox))


def track(engine: Any, site: str, name: str, value: float, round: int) -> None:
    """Give one number of a site to the job's receivers (MLflow, Weights & Biases), as if the site had streamed it.

    The server has the number already, as the site's policy let it out; nothing more leaves a site for a tracker. The
    event counts as one that came in: FLARE would send any other to every site, the numbers of one site to all others.
    """
    found = create_analytic_dxo(name, value, AnalyticsDataType.SCALAR, global_step=round).to_shareable()
    found.set_peer_props({ReservedKey.IDENTITY_NAME: site})
    found.set_header(FedEventHeader.DIRECTION, "in")
    with engine.new_context() as fl_ctx:
        fl_ctx.set_prop(FLContextKey.EVENT_DATA, found, private=True, sticky=False)
        fl_ctx.set_prop(FLContextKey.EVENT_SCOPE, EventScope.FEDERATION, private=True, sticky=False)
        engine.fire_event(f"fed.{ANALYTIC_EVENT_TYPE}", fl_ctx)  # a component's own fire_event makes each event local
