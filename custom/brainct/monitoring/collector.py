"""Numbers for Prometheus: where each run stands, which sites are there, when certificates end."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from brainct.errors import Refused
from brainct.kit.certificate_checks import certificate_ends
from brainct.kit.policy_files import kind_of
from brainct.run import progress

DAY = 86_400.0
RECENT_DAYS = 7.0
"""Days for which a run is shown after its last closed round."""

RUN = {
    "brainct_round": ("round", "Rounds that the run has closed."),
    "brainct_rounds": ("of", "Rounds of the run in all."),
    "brainct_round_seconds": ("seconds", "Seconds that the last closed round took."),
    "brainct_training_loss": ("loss", "Mean over the sites of the training loss of the last closed round."),
    "brainct_last_write_timestamp_seconds": ("time", "When the run last closed a round or was evaluated."),
    "brainct_run_finished": ("finished", "1 once the run has its model and its test scores."),
}
"""Metric -> the key in a run's progress, and what it is."""

Connected = Callable[[], Collection[str] | None]
"""Names of the sites that are connected to the server; None where it does not answer."""


class Federation(Collector):
    """Reads anew each time it is asked.

    kits: of the server, for its runs and its certificate, or of sites and people, for their certificates. connected: by
    default nobody is asked. expected: sites that should be connected, in addition to those of the runs.
    """

    def __init__(self, kits: Sequence[Path], connected: Connected | None = None, expected: Collection[str] = ()):
        if strange := [kit for kit in kits if kind_of(kit) is None]:
            raise Refused(f"{strange[0]} is no startup kit; wanted the folder with startup/ and local/")
        self._kits, self._connected, self._expected = kits, connected, set(expected)

    def collect(self) -> Iterable[Metric]:
        """Called by the library for each scrape."""
        runs = {
            folder.name: known
            for kit in self._kits
            for folder in sorted((kit / "brainct" / "runs").glob("*"))
            if (known := progress.read(folder)) and time.time() - known["time"] < RECENT_DAYS * DAY
        }
        yield from _of_runs(runs)
        yield self._certificates()
        yield from self._sites({site for known in runs.values() for site in known["sites"]})

    def _certificates(self) -> Metric:
        days = _gauge("brainct_certificate_days", "Days until a certificate ends.", "kit", "file", "name")
        for kit in self._kits:
            for file, (name, end) in certificate_ends(kit).items():
                days.add_metric([kit.resolve().name, file, name], (end.timestamp() - time.time()) / DAY)
        return days

    def _sites(self, of_runs: Collection[str]) -> Iterable[Metric]:
        if self._connected is None:
            return
        found = self._connected()
        up = _gauge("brainct_server_up", "1 if the server answers.")
        up.add_metric([], float(found is not None))
        yield up
        connected = _gauge("brainct_site_connected", "1 if the site is connected to the server.", "site")
        for site in sorted({*self._expected, *of_runs, *(found or ())}):
            connected.add_metric([site], float(site in (found or ())))
        yield connected


def _of_runs(runs: Mapping[str, Mapping[str, Any]]) -> Iterable[Metric]:
    for metric, (key, words) in RUN.items():
        gauge = _gauge(metric, words, "run", "scheme")
        for run, known in runs.items():
            if key in known:
                gauge.add_metric([run, known["scheme"]], float(known[key]))
        yield gauge
    replied = _gauge(
        "brainct_site_replied", "1 if the report of a site took part in the last closed round.", "run", "site"
    )
    lost = _gauge("brainct_site_lost", "1 if the reply of a site was lost in the last closed round.", "run", "site")
    score = _gauge("brainct_validation_score", "Mean over the sites of the last validation score.", "run", "score")
    for run, known in runs.items():
        for site in known["sites"]:
            replied.add_metric([run, site], float(site in known.get("reported", ())))
            lost.add_metric([run, site], float(site in known.get("lost", ())))
        if headline := known.get("headline"):
            score.add_metric([run, headline["name"]], headline["value"])
    yield from (replied, lost, score)


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, labels=labels)
