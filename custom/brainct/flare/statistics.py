"""Where a run stands, for `nvflare job stats` and the console's `show_stats`."""

from typing import Any

from nvflare.apis.fl_context import FLContext
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
