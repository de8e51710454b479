"""How a sweep stands: what has ended, and which trial is the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dnnsweep.ranking import Rank, is_as_good, rank
from dnnsweep.records import Reason, State, Suggestion, TrialResult


@dataclass(frozen=True, slots=True)
class Best:
    """A complete trial, with what equal values rank by."""

    number: int
    value: float
    val_loss: float
    params: Mapping[str, Any]

    def rank(self, direction: str) -> Rank:
        """Return what it is ordered by."""
        return rank(self.value, self.val_loss, self.number, direction)


class Standing:
    """Counts ended trials and keeps the best.

    Args:
        direction: `maximize` or `minimize`.
    """

    def __init__(self, direction: str) -> None:
        self._direction = direction
        self.n_finished = 0
        self.n_failed = 0
        self.best: Best | None = None

    @property
    def to_beat(self) -> Rank | None:
        """Return the rank of the best trial; None if there is none."""
        return None if self.best is None else self.best.rank(self._direction)

    def reaches(self, target: float | None) -> bool:
        """Return whether the best value is as good as a target."""
        return self.best is not None and is_as_good(self.best.value, target, self._direction)

    def count(self, reason: Reason) -> None:
        """Count a trial that ended, if it is in the budget."""
        self.n_finished += reason.is_in_budget
        self.n_failed += reason.is_in_budget and reason.state is State.FAILED

    def contend(self, number: int, value: float | None, val_loss: float | None, params: Mapping[str, Any]) -> bool:
        """Return whether a trial is the best so far, and keep it if so."""
        if value is None:
            return False
        candidate = Best(number, value, math.inf if val_loss is None else val_loss, params)
        if self.to_beat is not None and self.to_beat <= candidate.rank(self._direction):
            return False
        self.best = candidate
        return True


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that has just ended."""

    suggestion: Suggestion
    result: TrialResult
    value: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is.

    Args:
        n_trials: Trials that shall end in the budget.
        n_finished: Trials that have ended in it.
        n_failed: Those of them without a value.
        running: Number of each running trial -> epochs trained.
        best: The best trial so far.
        seconds: Since this run of the sweep began.
        seconds_left: Estimated; None before the first trial of this run has ended.
        ended: The trial whose end this is about.
        n_behind: Changes that MLflow has not seen yet, as of some seconds ago.
    """

    n_trials: int
    n_finished: int
    n_failed: int
    running: Mapping[int, int]
    best: Best | None
    seconds: float
    seconds_left: float | None
    ended: Ended | None = None
    n_behind: int = 0


def judged(result: TrialResult, metric: str) -> tuple[TrialResult, float | None]:
    """Return a trainer's result and the trial's value: the objective at the best epoch.

    Args:
        result: As the trainer returned it.
        metric: The objective's.

    Returns:
        The result, as `diverged` where the objective is not finite; and the value, None unless the trial is complete.
    """
    if result.reason.state is not State.COMPLETE or result.best_epoch is None:
        return result, None
    values = result.curve.values(metric)
    if not values:
        error = f"the trainer did not measure {metric}"
        return replace(result, reason=Reason.FAILED, best_epoch=None, error=error), None
    value = values[result.best_epoch - 1]
    if math.isfinite(value):
        return result, value
    return replace(result, reason=Reason.DIVERGED, best_epoch=None), None
