"""A server component of a kit: refuses whoever's certificate the project has revoked, connected or not."""

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.drivers import net_utils
from nvflare.fuel.f3.drivers.driver_params import DriverParams

from brainct.errors import Refused
from brainct.kit.authority import REVOKED, revoked_serials
from brainct.kit.certificates import read_certificate

LOOK_SECONDS = 2.0
"""Seconds between two looks at the revocation list."""

_CONTEXT = net_utils.get_ssl_context


class Revocations(FLComponent):  # type: ignore[misc]
    """Reads `local/revoked.pem` of the server's kit, at the start and whenever it changes.

    FLARE 2.9 asks for no revocation list. This component has OpenSSL ask for it in each TLS handshake, and closes the
    connections of revoked certificates, so that a running job counts their sites as lost. A list that the project did
    not sign keeps the server from starting, and changes nothing while it runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lists: list[_List] = []
        net_utils.get_ssl_context = self._listening

    def _listening(self, params: dict[str, Any], ssl_server: bool) -> ssl.SSLContext | None:
        context: ssl.SSLContext | None = _CONTEXT(params, ssl_server)
        if context is not None and ssl_server:
            root = Path(params[DriverParams.CA_CERT.value]).resolve()
            self._lists.append(_List(root, context))
            self._lists[-1].changed()
        return context

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Called by FLARE."""
        server = getattr(fl_ctx.get_engine(), "server", None)
        if event_type == EventType.SYSTEM_START and server is not None:
            threading.Thread(target=self._watch, args=(server,), daemon=True).start()

    def _watch(self, server: Any) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            for each in self._lists:
                try:
                    if each.changed():
                        self._close(server, each.serials)
                except (Refused, OSError, ssl.SSLError) as error:
                    self.logger.error("brainct: %s; the list from before stays in force", error)

    def _close(self, server: Any, serials: set[int]) -> None:
        """End the connections of revoked certificates; FLARE then drops their sites from running jobs."""
        names = set()
        for connection, certificate in _connections(server):
            if int(certificate["serialNumber"], 16) in serials:
                names.add(next(value for part in certificate["subject"] for key, value in part if key == "commonName"))
                connection.close()
        for client in server.client_manager.get_clients().values():
            if client.name in names:
                client.last_connect_time = 0
        for name in sorted(names):
            self.logger.warning("brainct: %s: its certificate was revoked; its connections are closed", name)


class _List:
    """One revocation list, and the TLS context that asks for it."""

    def __init__(self, root: Path, context: ssl.SSLContext):
        self._root, self._context = root, context
        self._file, self._seen, self.serials = root.parents[1] / "local" / REVOKED, 0, set[int]()

    def changed(self) -> bool:
        """Whether there was a new list, which is in force from now on."""
        now = self._file.stat().st_mtime_ns if self._file.is_file() else 0
        if now == self._seen:
            return False
        self._seen = now
        if not now:
            raise Refused(f"{self._file} is gone; restart the server if no certificate is to be refused")
        self.serials = revoked_serials(self._file, read_certificate(self._root))
        self._context.load_verify_locations(self._file)
        self._context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        return True


def _connections(server: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each open connection with the certificate of its other end."""
    for row in list(server.cell.core_cell.communicator.conn_manager.sfm_conns.values()):
        socket = getattr(row.conn, "websocket", None)
        if socket is not None and (certificate := socket.get_extra_info("peercert")):
            yield row.conn, certificate
