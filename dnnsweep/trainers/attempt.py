"""The course of one attempt at a trial: what was measured, and how it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dnnsweep.records import (
    EpochReport,
    Objective,
    Reason,
    Suggestion,
    Task,
    TrialResult,
    curve_from_reports,
    size_metric,
)
from dnnsweep.records.ranking import Rank, beats, pareto_front, rank

MAX_ERROR_CHARACTERS: Final = 500


@dataclass(slots=True)
class Attempt:
    """One attempt at a trial.

    Args:
        suggestion: What is trained.
        began: When, by `time.perf_counter`.
        reports: Of each epoch so far.
        n_parameters: Weights of the network, once it is known.
    """

    suggestion: Suggestion
    began: float = field(default_factory=time.perf_counter)
    reports: list[EpochReport] = field(default_factory=list)
    n_parameters: int | None = None

    def add(self, metrics: Mapping[str, float], ended_at: int | None = None) -> EpochReport:
        """Take down an epoch that has just ended.

        Args:
            metrics: What was measured.
            ended_at: When, in milliseconds since 1970 (UTC); None for now.
        """
        number, attempt, epoch = self.suggestion.number, self.suggestion.attempt, len(self.reports) + 1
        moment = round(time.time() * 1000) if ended_at is None else ended_at
        self.reports.append(EpochReport(number, attempt, epoch, metrics, moment))
        return self.reports[-1]

    def is_late(self, limit: float | None) -> bool:
        """Return whether the attempt has lasted longer than a limit in seconds, if there is one."""
        return limit is not None and time.perf_counter() - self.began > limit

    def end_late(self, limit: float | None) -> TrialResult:
        """Return the end of an attempt that has lasted longer than a limit in seconds."""
        return self.end(Reason.TIMEOUT, error=f"it trained longer than training.timeout_seconds = {limit:g}")

    def model_path(self, folder: str | None) -> Path | None:
        """Return where the model of this attempt is saved, if it is."""
        if folder is None:
            return None
        return Path(folder) / f"trial-{self.suggestion.number}-{self.suggestion.attempt}.keras"

    def end(
        self, reason: Reason, best_epoch: int | None = None, error: str | None = None, model: Path | None = None
    ) -> TrialResult:
        """Return how the attempt ended; a trial that is not complete has no best epoch."""
        return TrialResult(
            number=self.suggestion.number,
            attempt=self.suggestion.attempt,
            reason=reason,
            curve=curve_from_reports(self.reports),
            best_epoch=None if reason in (Reason.DIVERGED, Reason.FAILED) else best_epoch,
            seconds=time.perf_counter() - self.began,
            error=error,
            model_path=None if model is None else str(model),
            n_parameters=self.n_parameters,
        )


class Champions:
    """Knows the trials that no other beats, as far as a trainer can: from its own results, and from suggestions.

    Args:
        objectives: One, so that there is one champion, or two.
        is_final: Whether results of its own stand; else they may be pruned afterwards, and only those count that
            suggestions tell of.
    """

    def __init__(self, objectives: Sequence[Objective], *, is_final: bool = True) -> None:
        self._objectives = objectives
        self._is_final = is_final
        self._front: list[Rank] = []

    def are_joined_by(self, course: Attempt, best_epoch: int | None) -> bool:
        """Return whether none beats a complete trial, so that its model is worth saving; remember it then."""
        self._front = pareto_front({*self._front, *course.suggestion.front})
        mine = None if best_epoch is None else self._rank(course, best_epoch)
        if mine is None or any(beats(known, mine) for known in self._front):
            return False
        if self._is_final:
            self._front = pareto_front({*self._front, mine})
        return True

    def _rank(self, course: Attempt, epoch: int) -> Rank | None:
        metrics = {**course.reports[epoch - 1].metrics, **size_metric(course.n_parameters)}
        values = tuple(metrics.get(one.metric, math.nan) for one in self._objectives)
        if not all(map(math.isfinite, values)):
            return None
        directions = (one.direction for one in self._objectives)
        return rank(values, metrics.get("val_loss"), course.suggestion.number, *directions)


def in_own_units(
    measured: Mapping[str, float], task: Task, target_std: float, variance: float = 1.0
) -> dict[str, float]:
    """Return an epoch's metrics, those of regression in the units of the target as well.

    Args:
        measured: `loss` and `val_loss`; `accuracy` and `val_accuracy` for classes, `mae` and `val_mae` for regression.
        task: Of the data.
        target_std: What the target was divided by before training; 1 for classes.
        variance: Of the standardised target of the validation rows.

    Returns:
        The metrics of `records.metrics_of`. For regression `mse` is `loss * target_std**2` and `mae` is multiplied by
        `target_std`; `loss` stays in units of the standardised target.

    Example:
        >>> in_own_units({"loss": 0.5, "mae": 0.25, "val_loss": 1.0, "val_mae": 0.75}, Task.REGRESSION, 2.0)
        {'loss': 0.5, 'mse': 2.0, 'mae': 0.5, 'val_loss': 1.0, 'val_mse': 4.0, 'val_mae': 1.5, 'val_r2': 0.0}
    """
    if task is not Task.REGRESSION:
        return dict(measured)
    values: dict[str, float] = {}
    for prefix in ("", "val_"):
        loss = measured[f"{prefix}loss"]
        values |= {f"{prefix}loss": loss, f"{prefix}mse": loss * target_std**2}
        values[f"{prefix}mae"] = measured[f"{prefix}mae"] * target_std
    return {**values, "val_r2": r2(measured["val_loss"], variance)}


def r2(mean_square: float, variance: float) -> float:
    """Return the coefficient of determination; of a target that does not vary, 1 if it is met and 0 if it is not.

    Args:
        mean_square: Of the errors.
        variance: Of the target; in the same units.
    """
    if variance == 0:
        return 1.0 if mean_square == 0 else 0.0
    return 1 - mean_square / variance


def one_line(error: Exception) -> str:
    r"""Return an error as `TypeName: message` in one line.

    Example:
        >>> one_line(ValueError("two\n  lines"))
        'ValueError: two lines'
    """
    text = " ".join(f"{type(error).__name__}: {error}".replace("\0", "").split())
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[: MAX_ERROR_CHARACTERS - 3]}..."
