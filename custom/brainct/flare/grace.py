"""The seconds that FLARE's job processes sleep at their end, whether anything is pending or not."""

from nvflare.fuel.f3.mpm import MainProcessMonitor

SECONDS = 0.5
"""In place of three: the server waits for the ends of all sites' processes, and the lead for the server's."""


def shorten() -> None:
    """In this process, sleep SECONDS before FLARE cleans up; what is pending at a job's end, FLARE has waited for."""
    real = MainProcessMonitor.__dict__["_start_shutdown"].__func__
    if getattr(real, "shortened", False):
        return

    def start_shutdown(monitor: type, shutdown_grace_time: float, cleanup_grace_time: float) -> None:
        real(monitor, min(shutdown_grace_time, SECONDS), cleanup_grace_time)

    start_shutdown.shortened = True  # type: ignore[attr-defined]
    MainProcessMonitor._start_shutdown = classmethod(start_shutdown)
