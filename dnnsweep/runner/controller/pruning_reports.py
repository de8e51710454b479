"""What the pruner judges trials by: their reports, live or as the ledger holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from dnnsweep.records import EpochReport, TrialResult
from dnnsweep.runner.controller.seams import SweepLease
from dnnsweep.study.pruning import NoPruning, Pruner
from dnnsweep.trainers.stopping import DECISIVE, is_diverged

Metrics = Mapping[str, float]


class PruningReports:
    """Hands the objective at each epoch to the pruner; an epoch in which a trial diverged is left out.

    Such a trial ends anyway, so that there is nothing to judge.

    Args:
        pruner: What judges trials.
        metric: The metric of the objective.
    """

    def __init__(self, pruner: Pruner | NoPruning, metric: str) -> None:
        self._pruner: Final = pruner
        self._metric = metric

    def read(self, lease: SweepLease) -> dict[int, list[float]]:
        """Return what the pruner judged each trial by in earlier runs of the sweep, from the ledger."""
        if not self._pruner.needs_reports:
            return {}
        stored = lease.epochs(self._metric, *DECISIVE)
        return {number: list(self._values(epochs)) for number, epochs in stored.items()}

    def report(self, report: EpochReport) -> None:
        """Hand over an epoch that has just been reported."""
        for value in self._values([report.metrics]):
            self._pruner.report(report.number, report.epoch, value)

    def report_rest(self, result: TrialResult) -> None:
        """Hand over the epochs of an ended trial that were not reported yet, and that it has ended."""
        curve = result.curve
        for epoch, value in enumerate(self._values(map(curve.at, range(1, curve.n_epochs + 1))), 1):
            self._pruner.report(result.number, epoch, value)
        self._pruner.end(result.number, result.reason)

    def _values(self, epochs: Iterable[Metrics]) -> Iterator[float]:
        """Yield the objective at a trial's epochs until one diverged; nothing where no trial is pruned."""
        for metrics in epochs if self._pruner.needs_reports else ():
            if is_diverged(metrics) or self._metric not in metrics:
                return
            yield metrics[self._metric]
