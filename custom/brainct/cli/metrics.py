"""`brainct metrics`: numbers of runs, sites and certificates, for Prometheus."""

from pathlib import Path
from typing import Annotated

import typer

from brainct.cli.extras import require


def metrics(
    kits: Annotated[list[Path], typer.Argument(help="Kits on this machine: the server's, a hospital's, or both.")],
    ask: Annotated[
        Path | None, typer.Option(help="A person's kit, with which to ask the server who is connected.")
    ] = None,
    sites: Annotated[str | None, typer.Option(help="Sites that should be connected, joined by commas.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 9108,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    once: Annotated[bool, typer.Option("--once", help="Print the numbers and end.")] = False,
) -> None:
    """Serve rounds, replies, losses, scores and the ends of certificates at http://ADDRESS:PORT/metrics."""
    require("prometheus_client", "this command needs", "monitoring")
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    from brainct.core.names import names_of
    from brainct.monitoring.collector import Federation

    connected = _connected(ask)
    registry = CollectorRegistry()
    registry.register(Federation(kits, connected, names_of(sites) if sites else []))
    if once:
        print(generate_latest(registry).decode(), end="")
        return
    _, thread = start_http_server(port, address, registry)
    print(f"http://{address}:{port}/metrics", flush=True)
    thread.join()


def _connected(kit: Path | None):  # type: ignore[no-untyped-def]
    if kit is None:
        return None
    from brainct.flare.connected import ConnectedSites

    return ConnectedSites(kit)
