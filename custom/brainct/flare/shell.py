"""FLARE's shell commands, which a site of ours does not obey: whoever runs the server would read any file with them."""

from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.private.fed.client import shell_cmd


class NoShell(FLComponent):  # type: ignore[misc]
    """At a site: from when it is built, `cat`, `grep`, `head`, `tail`, `ls` and `pwd` are no commands of its.

    FLARE 2.9 runs them in the site's process on any file that the process can read. Who may ask is stated by the
    message itself, which the server writes: without that statement nobody is asked for a right, whatever
    authorization.json says.
    """

    def __init__(self, **_: Any) -> None:
        super().__init__()
        shell_cmd.SHELL_CMD_VALIDATORS.clear()
