"""Disables FLARE's shell commands at a site: with them, whoever runs the server can read any file there."""

from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.private.fed.client import shell_cmd


class NoShell(FLComponent):  # type: ignore[misc]
    """A site component that disables `cat`, `grep`, `head`, `tail`, `ls` and `pwd` as soon as FLARE builds it.

    FLARE 2.9 runs them in the site's process on any file that the process can read. The message itself, which the
    server writes, states whether rights are checked: without that statement, FLARE ignores authorization.json.
    """

    def __init__(self, **_: Any) -> None:
        super().__init__()
        shell_cmd.SHELL_CMD_VALIDATORS.clear()
