"""How a sweep stands: what has ended, and which trials are the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dnnsweep.records import Reason, State, Suggestion, TrialResult
from dnnsweep.records.ranking import Rank, beats, rank, reaches_target


@dataclass(frozen=True, slots=True)
class Best:
    """A complete trial, with what equal values rank by."""

    number: int
    values: tuple[float, ...]
    val_loss: float
    params: Mapping[str, Any]

    def rank(self, *directions: str) -> Rank:
        """Return what it is ordered by."""
        return rank(self.values, self.val_loss, self.number, *directions)


class Standing:
    """Counts ended trials and keeps those that no other beats: the best one, or the front of two objectives.

    Args:
        directions: `maximize` or `minimize`, of each objective.
    """

    def __init__(self, *directions: str) -> None:
        self._directions = directions
        self.n_finished = 0
        self.n_failed = self.n_pruned = 0
        self._front: dict[Rank, Best] = {}

    @property
    def best(self) -> Best | None:
        """Return the best trial in the first objective; None if there is none."""
        return self._front[min(self._front)] if self._front else None

    @property
    def to_beat(self) -> tuple[Rank, ...]:
        """Return the ranks of the trials that no other beats."""
        return tuple(self._front)

    @property
    def kept(self) -> tuple[int, ...]:
        """Return the numbers of the trials that no other beats."""
        return tuple(best.number for best in self._front.values())

    def reaches(self, target: float | None) -> bool:
        """Return whether the best value is as good as a target."""
        best = self.best
        return best is not None and reaches_target(best.values[0], target, self._directions[0])

    def count(self, reason: Reason) -> None:
        """Count a trial that ended, if it is in the budget."""
        self.n_finished += reason.is_in_budget
        self.n_failed += reason.is_in_budget and reason.state is State.FAILED
        self.n_pruned += reason is Reason.PRUNED

    def contend(
        self, number: int, values: tuple[float, ...] | None, val_loss: float | None, params: Mapping[str, Any]
    ) -> bool:
        """Return whether no trial so far beats this one, and keep it if so, without those that it beats."""
        if values is None:
            return False
        candidate = Best(number, values, math.inf if val_loss is None else val_loss, params)
        mine = candidate.rank(*self._directions)
        if any(beats(known, mine) for known in self._front):
            return False
        left = {known: best for known, best in self._front.items() if not beats(mine, known)}
        self._front = {**left, mine: candidate}
        return True


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial that has just ended."""

    suggestion: Suggestion
    result: TrialResult
    values: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is.

    Args:
        n_trials: Trials that shall end in the budget.
        n_finished: Trials that have ended in it.
        n_failed: Those of them without a value, unless they were pruned.
        running: Number of each running trial -> epochs trained.
        best: The best trial so far, in the first objective.
        seconds: Since this run of the sweep began.
        seconds_left: Estimated; None before the first trial of this run has ended.
        ended: The trial whose end this is about.
        n_behind: Changes that MLflow has not seen yet, as of some seconds ago.
        n_best: Trials that no other beats: more than one with two objectives only.
        n_pruned: Trials that were pruned.
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
    n_best: int = 1
    n_pruned: int = 0


def judged(result: TrialResult, *metrics: str) -> tuple[TrialResult, tuple[float, ...] | None]:
    """Return a trainer's result and the trial's values: each objective at the best epoch.

    Args:
        result: As the trainer returned it.
        metrics: Of each objective.

    Returns:
        The result, as `diverged` where the objective is not finite; and the values, None unless the trial is complete.
    """
    if result.reason.state is not State.COMPLETE or result.best_epoch is None:
        return result, None
    measured = result.metrics
    missing = [metric for metric in metrics if metric not in measured]
    if missing:
        error = f"the trainer did not measure {' and '.join(missing)}"
        return replace(result, reason=Reason.FAILED, best_epoch=None, error=error), None
    values = tuple(measured[metric] for metric in metrics)
    if all(map(math.isfinite, values)):
        return result, values
    return replace(result, reason=Reason.DIVERGED, best_epoch=None), None
