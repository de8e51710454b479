"""The folds of one trial, and the means over them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dnnsweep.records import EpochReport, LayerMetrics, Objective, Reason, Suggestion, TrialResult, spread_of
from dnnsweep.records.metrics import four_digits
from dnnsweep.spec import EarlyStoppingSpec
from dnnsweep.trainers.attempt import Attempt, FoldResult
from dnnsweep.trainers.stopping import Stopping

#: A trial says that it is alive at most so often while no mean can be taken.
SIGN_SECONDS: Final = 10.0
#: What a fold ends with that ends the whole trial, whatever its other folds do.
_FATAL: Final = (Reason.FAILED, Reason.TIMEOUT)


@dataclass(slots=True)
class _Fold:
    """One fold of a trial.

    Args:
        stopping: Early stopping after the last epoch.
        epochs: Metrics of each epoch.
        layers: Metrics of single layers in each epoch.
        ended_at: When each epoch ended, in milliseconds since 1970 (UTC).
        best_epochs: The best epoch so far after each epoch, from 1; the epoch itself before there is one.
        result: How it ended; None while it is trained.
    """

    stopping: Stopping
    epochs: list[Mapping[str, float]] = field(default_factory=list)
    layers: list[LayerMetrics] = field(default_factory=list)
    ended_at: list[int] = field(default_factory=list)
    best_epochs: list[int] = field(default_factory=list)
    result: FoldResult | None = None

    def add(self, metrics: Mapping[str, float], layers: LayerMetrics, ended_at: int) -> None:
        self.stopping = self.stopping.after(metrics)
        self.epochs.append(metrics)
        self.layers.append(layers)
        self.ended_at.append(ended_at)
        self.best_epochs.append(self.stopping.best_epoch or len(self.epochs))

    def end(self, result: FoldResult) -> None:
        """Add the epochs that were not reported before the fold ended."""
        for epoch in range(len(self.epochs) + 1, result.curve.n_epochs + 1):
            self.add(result.curve.at(epoch), result.curve.layers_at(epoch), result.curve.ended_at[epoch - 1])
        if result.best_epoch is not None:
            self.best_epochs[-1] = result.best_epoch
        self.result = result

    @property
    def is_diverged(self) -> bool:
        return self.result is not None and self.result.reason is Reason.DIVERGED

    def knows(self, epoch: int) -> bool:
        """Return whether it is known what the fold counts for at an epoch."""
        return len(self.epochs) >= epoch or self.result is not None

    def at(self, epoch: int) -> Mapping[str, float]:
        """Return the metrics at the best epoch up to some epoch; those of the epoch in which the fold diverged."""
        last = min(epoch, len(self.epochs))
        is_lost = self.is_diverged and epoch >= len(self.epochs)
        return self.epochs[last - 1 if is_lost else self.best_epochs[last - 1] - 1]

    def layers_at(self, epoch: int) -> LayerMetrics:
        """Return the metrics of single layers at an epoch; those of the last one if the fold ended before."""
        return self.layers[min(epoch, len(self.layers)) - 1]

    def moment(self, epoch: int) -> int:
        return self.ended_at[min(epoch, len(self.epochs)) - 1]


class FoldedAttempt:
    """One attempt at a trial that is trained once for each fold.

    Each fold is a training of its own, with its own early stopping, as in scikit-learn's `cross_val_score`. At each
    epoch the trial has the mean over the folds of what each would be worth if it ended now: its metrics at its best
    epoch so far. So a fold that has ended counts with its result, and the last mean is the mean of all results. A trial
    with a fold that diverged has diverged in that epoch, and its other folds are trained no further.

    Args:
        suggestion: What is trained.
        n_folds: Number of folds.
        rule: Early stopping of each fold; None without it.
        objectives: Objectives of the sweep, whose spread over the folds is measured.
    """

    def __init__(
        self, suggestion: Suggestion, n_folds: int, rule: EarlyStoppingSpec | None, objectives: Sequence[Objective]
    ) -> None:
        self.attempt = Attempt(suggestion)
        self._folds = [_Fold(Stopping.of(rule)) for _ in range(n_folds)]
        self._has_begun = False
        self._signed_at = -math.inf
        self._spread = [objective.metric for objective in objectives]

    def start(self) -> None:
        """Record that a fold is started; the trial begins with the first one."""
        if not self._has_begun:
            self._has_begun = True
            self.attempt.began = time.perf_counter()

    def take_sign(self, now: float) -> bool:
        """Return whether it is time to say that the trial is alive; if so, it is time again only later.

        Args:
            now: Time now in seconds, from any beginning.
        """
        if now - self._signed_at < SIGN_SECONDS:
            return False
        self._signed_at = now
        return True

    def add(self, report: EpochReport) -> None:
        """Record an epoch of a fold."""
        self._folds[report.fold or 0].add(report.metrics, report.layers, report.ended_at)

    def end_fold(self, result: FoldResult) -> None:
        """Record how a fold ended."""
        self._folds[result.fold].end(result)
        self.attempt.n_parameters = result.n_parameters

    @property
    def _n_epochs(self) -> float:
        """Return the most epochs that the trial may have, as far as it is known."""
        if any(not fold.epochs and fold.result is not None for fold in self._folds):
            return 0  # a fold failed before its first epoch
        diverged = [len(fold.epochs) for fold in self._folds if fold.is_diverged]
        if diverged:
            return min(diverged)
        all_ended = all(fold.result is not None for fold in self._folds)
        return max(len(fold.epochs) for fold in self._folds) if all_ended else math.inf

    def take_means(self) -> Sequence[EpochReport]:
        """Return the means of the epochs that all folds have reached by now, and count them as taken."""
        first = len(self.attempt.reports)
        while len(self.attempt.reports) < self._n_epochs:
            epoch = len(self.attempt.reports) + 1
            if not all(fold.knows(epoch) for fold in self._folds):
                break
            moment = max(fold.moment(epoch) for fold in self._folds)
            layers = _layer_means([fold.layers_at(epoch) for fold in self._folds])
            self.attempt.add(means([fold.at(epoch) for fold in self._folds], self._spread), moment, layers)
        return self.attempt.reports[first:]

    def result(self) -> TrialResult | None:
        """Return how the trial has ended; None while it goes on. Its means are to be taken before."""
        ended = [fold.result for fold in self._folds if fold.result is not None]
        for result in ended:
            if result.reason in _FATAL:
                return self.attempt.end(result.reason, error=f"fold {result.fold + 1}: {result.error}")
        if len(self.attempt.reports) < self._n_epochs:
            return None
        if any(fold.is_diverged for fold in self._folds):
            return self.attempt.end(Reason.DIVERGED)
        has_best = all(result.best_epoch is not None for result in ended)
        is_whole = all(result.reason is Reason.COMPLETED for result in ended)
        reason = Reason.COMPLETED if is_whole else Reason.EARLY_STOPPED
        return self.attempt.end(reason, len(self.attempt.reports) if has_best else None)

    @property
    def first_fold(self) -> FoldResult | None:
        """Return how the first fold ended, whose model stands for the trial; None while it is trained."""
        return self._folds[0].result


def _layer_means(folds: Sequence[LayerMetrics]) -> LayerMetrics:
    """Return the mean over the folds of each metric of single layers, rounded as each fold's is."""
    return {
        metric: {layer: four_digits(sum(fold[metric][layer] for fold in folds) / len(folds)) for layer in by_layer}
        for metric, by_layer in folds[0].items()
    }


def means(folds: Sequence[Mapping[str, float]], spread: Sequence[str] = ()) -> dict[str, float]:
    """Return the mean of each metric over the folds, and the standard deviation over the folds of some.

    Args:
        folds: Metrics of each fold, two or more.
        spread: Metrics whose standard deviation is measured, as that of a sample: the divisor is the folds less one.

    Example:
        >>> means([{"val_loss": 0.5}, {"val_loss": 0.25}, {"val_loss": 0.75}], ["val_loss"])
        {'val_loss': 0.5, 'val_loss_std': 0.25}
    """
    averages = {name: sum(fold[name] for fold in folds) / len(folds) for name in folds[0]}
    for name in spread:
        if name in averages:
            squares = [(fold[name] - averages[name]) * (fold[name] - averages[name]) for fold in folds]
            averages[spread_of(name)] = math.sqrt(sum(squares) / (len(folds) - 1))
    return averages
