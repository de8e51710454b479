"""What a Prometheus server asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dnnsweep.ledger import LedgerStats

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Figures(Collector):
    """Reads the ledger when it is asked."""

    def __init__(self, read: Callable[[], LedgerStats]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        return []  # so that registering it reads nothing

    def collect(self) -> Iterator[Metric]:
        figures = self._read()
        yield GaugeMetricFamily("dnnsweep_queue_length", "Sweeps that wait for a worker.", figures.n_waiting)
        sweeps = GaugeMetricFamily("dnnsweep_sweeps", "Sweeps by state.", labels=["state"])
        for state, n_sweeps in figures.sweeps.items():
            sweeps.add_metric([state], n_sweeps)
        yield sweeps
        trials = GaugeMetricFamily("dnnsweep_trials", "Trials by state.", labels=["state"])
        for state, n_trials in figures.trials.items():
            trials.add_metric([state], n_trials)
        yield trials
        ended = "Trials that have ended, of the sweeps that are there."
        yield GaugeMetricFamily("dnnsweep_ended_trials", ended, figures.n_ended)
        speed = "Trials that ended in the last minute, a second."
        yield GaugeMetricFamily("dnnsweep_trials_per_second", speed, figures.trials_per_second)
        yield GaugeMetricFamily("dnnsweep_outbox_entries", "Changes that MLflow has not seen.", figures.n_undelivered)
        age = "Seconds for which the oldest of them waits."
        yield GaugeMetricFamily("dnnsweep_outbox_age_seconds", age, figures.outbox_seconds)
        lease = "Seconds since the lease of a running sweep was renewed, of the one that waits longest."
        yield GaugeMetricFamily("dnnsweep_lease_age_seconds", lease, figures.lease_seconds)


def text(read: Callable[[], LedgerStats]) -> bytes:
    """Return the figures in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Figures(read))
    return generate_latest(registry)
