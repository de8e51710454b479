"""What the pruner judges trials by: their reports, live or as the ledger holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from dnnsweep.records import EpochReport, TrialResult
from dnnsweep.study.pruning import Pruner
from dnnsweep.trainers.stopping import DECISIVE, is_diverged

Metrics = Mapping[str, float]


class Verdicts:
    """Submits epochs to the pruner; one that diverged is not judged, for its trial ends anyway.

    Args:
        pruning: What judges.
        metric: The objective's.
    """

    def __init__(self, pruning: Pruner, metric: str) -> None:
        self._pruning: Final = pruning
        self._metric = metric
        #: The metrics that are needed of each epoch.
        self.needs = (metric, *DECISIVE)

    def values(self, epochs: Iterable[Metrics]) -> Iterator[float]:
        """Yield what the pruner judges by, of a trial's epochs until one diverged."""
        for metrics in epochs:
            if is_diverged(metrics) or self._metric not in metrics:
                return
            yield metrics[self._metric]

    def report(self, report: EpochReport) -> None:
        """Submit an epoch that has just been reported."""
        for value in self.values([report.metrics]):
            self._pruning.report(report.number, report.epoch, value)

    def conclude(self, result: TrialResult) -> None:
        """Submit what was not reported yet of a trial that has ended."""
        curve = result.curve
        for epoch, value in enumerate(self.values(map(curve.at, range(1, curve.n_epochs + 1))), 1):
            self._pruning.report(result.number, epoch, value)
        self._pruning.end(result.number, result.reason)
