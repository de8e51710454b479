"""How far a sweep is, as its controller tells it after each change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dnnsweep.records import Suggestion, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.runner.controller.incumbents import Incumbent


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial that has just ended.

    Args:
        suggestion: What was trained.
        result: How it ended.
        values: The value of each objective; None unless the trial is complete.
    """

    suggestion: Suggestion
    result: TrialResult
    values: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is.

    Args:
        n_trials: Trials in the budget.
        n_finished: Trials that have ended and count in the budget.
        n_failed: Finished trials without a value, except pruned ones.
        running: Number of each running trial -> epochs trained.
        best: The best trial so far, in the first objective; None if there is none.
        seconds: Seconds since this run of the sweep began.
        seconds_left: Estimate of the seconds left; None while it cannot be known.
        ended: The trial that has just ended; None where something else has changed.
        n_behind: Changes that MLflow has not seen yet, as of some seconds ago; some are normal while trials train.
        n_best: Trials that no other beats; more than one only with two objectives.
        n_pruned: Trials that were pruned.
        n_diverged: Trials whose loss grew beyond all bounds; `n_failed` counts them as well.
        behind_seconds: Seconds in which MLflow has seen nothing, though it is behind; 0 while changes reach it.
        phase: What the run is doing.
        searched: Names of the hyperparameters that are searched.
        n_repeats: Repeats of this phase that have ended, and those that were asked for; None while trials are trained.
            Then the other numbers are of repeats as well.
    """

    n_trials: int
    n_finished: int
    n_failed: int
    running: Mapping[int, int]
    best: Incumbent | None
    seconds: float
    seconds_left: float | None
    ended: TrialEnded | None = None
    n_behind: int = 0
    n_best: int = 1
    n_pruned: int = 0
    n_diverged: int = 0
    behind_seconds: float = 0.0
    phase: Phase = Phase.TRAINING
    searched: tuple[str, ...] = ()
    n_repeats: tuple[int, int] | None = None
