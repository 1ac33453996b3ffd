"""Which sites are connected to a server, asked again and again in one session."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from nvflare.fuel.flare_api.flare_api import Session

from brainct.errors import Refused
from brainct.flare.admin import LOST, session_of

PATIENCE = 5.0
"""Seconds to wait for a server: whoever asks has a timeout too."""


class ConnectedSites:
    """Names of the sites, as the owner of a kit sees them; None while the server does not answer."""

    def __init__(self, kit: Path):
        self._kit = kit
        self._session: Session | None = None

    def __call__(self) -> Collection[str] | None:
        """Ask now; a lost session is opened again the next time."""
        try:
            self._session = self._session or session_of(self._kit, PATIENCE)
            return [client.name for client in self._session.get_system_info().client_info]
        except (Refused, OSError, *LOST):
            self.close()
            return None

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            with suppress(Exception):  # of a server that is gone
                self._session.close()
        self._session = None
