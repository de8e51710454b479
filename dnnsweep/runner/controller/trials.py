"""The trials of a sweep as its controller follows them: which ones trainers hold, and how the others ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dnnsweep.records import Reason, State, TrialResult
from dnnsweep.runner.controller.attempts import Attempt

#: Why a trial ended, and its values; no values unless it is complete.
Outcome = tuple[Reason, tuple[float, ...] | None]


@dataclass(slots=True)
class TrialState:
    """Where one trial stands.

    Which attempt a trainer holds at it is not told here: `Trials` keeps these apart, as most trials have ended.

    Args:
        outcome: How the trial ended; None before.
        error: Why the trial failed, if it did.
        n_lost: How often the trial has lost its trainer.
    """

    outcome: Outcome | None = None
    error: str | None = None
    n_lost: int = 0


class Trials:
    """All trials of a sweep, by number.

    Attributes:
        n_finished: Trials that have ended and count in the budget.
        n_failed: Finished trials without a value, except pruned ones.
        n_pruned: Trials that were pruned.
        n_diverged: Trials that diverged, which count as failed, too.
        n_ended: Trials that have ended, in the budget or not.
    """

    def __init__(self) -> None:
        self._states: dict[int, TrialState] = {}
        #: Trials that trainers hold: running ones, and pruned ones that their trainers have yet to leave.
        self._held: dict[int, Attempt] = {}
        self.n_finished = self.n_failed = self.n_pruned = self.n_diverged = 0
        self.n_ended = 0

    def _state(self, number: int) -> TrialState:
        return self._states.setdefault(number, TrialState())

    def held(self) -> list[Attempt]:
        """Return the attempts that trainers hold: at running trials, and at pruned ones that they have yet to leave."""
        return list(self._held.values())

    def running(self) -> list[Attempt]:
        """Return the attempts at running trials, in the order in which they were handed out."""
        return [attempt for number, attempt in self._held.items() if self.outcome(number) is None]

    def running_attempt(self, number: int) -> Attempt | None:
        """Return the attempt at a trial; None if the trial does not run."""
        attempt = self._held.get(number)
        return attempt if self.outcome(number) is None else None

    def is_held(self, attempt: Attempt) -> bool:
        """Return whether a trainer still holds an attempt."""
        return self._held.get(attempt.number) is attempt

    def outcome(self, number: int) -> Outcome | None:
        """Return how a trial ended; None if it has not."""
        state = self._states.get(number)
        return None if state is None else state.outcome

    def error(self, number: int) -> str | None:
        """Return why a trial failed; None if it did not."""
        state = self._states.get(number)
        return None if state is None else state.error

    def hold(self, attempt: Attempt) -> None:
        """Note that a trainer holds an attempt: at a queued trial, or at a pruned one that it has yet to leave."""
        self._held[attempt.number] = attempt

    def release(self, number: int) -> None:
        """Note that no trainer holds a trial any more: it is queued again, or was left after it was pruned."""
        self._held.pop(number, None)

    def count_loss(self, number: int) -> int:
        """Note that a trial has lost its trainer; return how often it has."""
        state = self._state(number)
        state.n_lost += 1
        return state.n_lost

    def restore(self, number: int, outcome: Outcome) -> None:
        """Note how a trial ended in an earlier run of the sweep."""
        self._state(number).outcome = outcome
        reason, _ = outcome
        self.n_ended += 1
        self.n_finished += reason.is_in_budget
        self.n_failed += reason.is_in_budget and reason.state is State.FAILED
        self.n_pruned += reason is Reason.PRUNED
        self.n_diverged += reason is Reason.DIVERGED

    def end(self, number: int, outcome: Outcome, error: str | None) -> None:
        """Note how a trial ended just now, and that its trainer does not hold it any more."""
        self.release(number)
        self.restore(number, outcome)
        self._state(number).error = error


def evaluate(result: TrialResult, *metrics: str) -> tuple[TrialResult, tuple[float, ...] | None]:
    """Return a trainer's result and the trial's values: each objective at the best epoch.

    Args:
        result: The result that the trainer returned.
        metrics: The metric of each objective.

    Returns:
        The result, as `diverged` where the objective is not finite; and the values, None unless the trial is complete.
    """
    if result.reason.state is not State.COMPLETE:
        return result, None
    if result.best_epoch is None:
        return replace(result, reason=Reason.FAILED, error="the monitor had no value in any epoch"), None
    measured = result.metrics
    missing = [metric for metric in metrics if metric not in measured]
    if missing:
        error = f"the trainer did not measure {' and '.join(missing)}"
        return replace(result, reason=Reason.FAILED, best_epoch=None, error=error), None
    values = tuple(measured[metric] for metric in metrics)
    if all(map(math.isfinite, values)):
        return result, values
    return replace(result, reason=Reason.DIVERGED, best_epoch=None), None
