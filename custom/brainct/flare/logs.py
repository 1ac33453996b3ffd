"""FLARE's console: the run's own lines and warnings by default; all of FLARE's lines with `-l`."""

import logging
from collections.abc import Mapping
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.fl_context_utils import add_job_audit_event

from brainct.site.redaction import LOG

BY_DEFAULT = "ConciseLogFilter"
"""The filter on FLARE's console unless the user chooses another log mode with `-l`."""

TRANSPORT = ("nvflare.fuel.f3", "nvflare.private.fed.client.communicator")
"""Loggers that warn of messages in flight while a run shuts down, after its last line."""


LATE = "quit waiting for component ready-to-end-run"
"""What FLARE's runners warn of on a slow machine, after a run's last line, when events are still on their way."""


def quiet_console() -> None:
    """Show only our lines and warnings on a console in FLARE's default mode; log files stay complete."""
    for handler in logging.getLogger().handlers:
        if any(type(chosen).__name__ == BY_DEFAULT for chosen in handler.filters):
            handler.addFilter(_worth_reading)


def audit_refusal(answer: Mapping[str, Any], fl_ctx: FLContext) -> None:
    """Write a refused request to the site's own log and audit.log, in the words of its reply."""
    if "error" in answer:
        logging.getLogger(LOG).error(str(answer["error"]))
        add_job_audit_event(fl_ctx=fl_ctx, msg=f"brainct refused: {answer['error']}")


def _worth_reading(record: logging.LogRecord) -> bool:
    name = getattr(record, "fullName", record.name)
    if name.startswith(TRANSPORT) or LATE in str(record.msg):
        return record.levelno >= logging.ERROR
    return record.levelno >= logging.WARNING or name == LOG
