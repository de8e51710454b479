"""Metrics for a Prometheus server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dnnsweep.ledger import LedgerStats

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _LedgerCollector(Collector):
    """Reads the ledger's statistics on each scrape."""

    def __init__(self, read: Callable[[], LedgerStats], *, is_token_file_stale: bool) -> None:
        self._read = read
        self._is_token_file_stale = is_token_file_stale

    def describe(self) -> list[Metric]:
        return []  # registering must not read the ledger

    def collect(self) -> Iterator[Metric]:
        stats = self._read()
        yield GaugeMetricFamily("dnnsweep_queue_length", "Sweeps waiting for a worker.", stats.n_waiting)
        sweeps = GaugeMetricFamily("dnnsweep_sweeps", "Sweeps by state.", labels=["state"])
        for state, n_sweeps in stats.sweeps.items():
            sweeps.add_metric([state], n_sweeps)
        yield sweeps
        trials = GaugeMetricFamily("dnnsweep_trials", "Trials by state.", labels=["state"])
        for state, n_trials in stats.trials.items():
            trials.add_metric([state], n_trials)
        yield trials
        ended = "Trials that have ended, over all present sweeps."
        yield GaugeMetricFamily("dnnsweep_ended_trials", ended, stats.n_ended)
        speed = "Trials that ended in the last minute, per second."
        yield GaugeMetricFamily("dnnsweep_trials_per_second", speed, stats.trials_per_second)
        yield GaugeMetricFamily("dnnsweep_outbox_entries", "Changes not yet delivered to MLflow.", stats.n_undelivered)
        age = "Age of the oldest undelivered change, in seconds."
        yield GaugeMetricFamily("dnnsweep_outbox_age_seconds", age, stats.outbox_seconds)
        lease = "Seconds since the least recently renewed lease of a running sweep was renewed."
        yield GaugeMetricFamily("dnnsweep_lease_age_seconds", lease, stats.lease_seconds)
        stale = "Whether the file of tokens cannot be used as it is now, so that those that were read before hold."
        yield GaugeMetricFamily("dnnsweep_token_file_stale", stale, float(self._is_token_file_stale))


def text(read: Callable[[], LedgerStats], *, is_token_file_stale: bool = False) -> bytes:
    """Return the metrics in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_LedgerCollector(read, is_token_file_stale=is_token_file_stale))
    return generate_latest(registry)
