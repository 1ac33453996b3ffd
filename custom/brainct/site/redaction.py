"""How a site words its failures: the reason to the site's own log, one constant sentence to the server."""

import logging

from brainct.errors import failed
from brainct.protocol.replies import Failure

LOG = "brainct"
"""The logger whose lines are for the people at the console."""


class Redaction:
    """Words a failure that came up after the site looked at its data: the reason could say something about them.

    redact: false in a rehearsal alone, where server and sites are one user's.
    """

    def __init__(self, site: str, redact: bool):
        self.site, self.redact = site, redact

    def failure(self, details: str) -> Failure:
        """What the server gets."""
        if not self.redact:
            return Failure(details)
        logging.getLogger(LOG).error("%s: %s", self.site, details.removeprefix(f"{self.site}: "))
        return Failure(failed(self.site))
