"""What a user reads on FLARE's console: the run's own lines and warnings; all of FLARE's only when `-l` asks for it."""

import logging
from collections.abc import Mapping
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.fl_context_utils import add_job_audit_event

from brainct.site.redaction import LOG

BY_DEFAULT = "ConciseLogFilter"
"""The filter that FLARE puts on its console unless the user chose another log mode with `-l`."""

TRANSPORT = ("nvflare.fuel.f3", "nvflare.private.fed.client.communicator")
"""They warn of messages that cross while a run is being shut down, after its last line."""


def calm() -> None:
    """Let only our lines and warnings through to a console that is in FLARE's default mode; log files stay complete."""
    for handler in logging.getLogger().handlers:
        if any(type(chosen).__name__ == BY_DEFAULT for chosen in handler.filters):
            handler.addFilter(_worth_reading)


def audit(answer: Mapping[str, Any], fl_ctx: FLContext) -> None:
    """Note at the site itself, in its log and its audit.log, that it refused an order, in the words of its answer."""
    if "error" in answer:
        logging.getLogger(LOG).error(str(answer["error"]))
        add_job_audit_event(fl_ctx=fl_ctx, msg=f"brainct refused: {answer['error']}")


def _worth_reading(record: logging.LogRecord) -> bool:
    name = getattr(record, "fullName", record.name)
    if name.startswith(TRANSPORT):
        return record.levelno >= logging.ERROR
    return record.levelno >= logging.WARNING or name == LOG
