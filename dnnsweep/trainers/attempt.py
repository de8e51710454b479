"""One attempt at a trial: what was measured, how it ended, and whether its model is worth saving."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from dnnsweep.records import (
    EpochReport,
    LayerMetrics,
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
        began: Time at which it began, by `time.perf_counter`.
        reports: One report for each epoch so far.
        n_parameters: Number of weights of the network; None until it is built.
    """

    suggestion: Suggestion
    began: float = field(default_factory=time.perf_counter)
    reports: list[EpochReport] = field(default_factory=list)
    n_parameters: int | None = None

    def add(
        self,
        metrics: Mapping[str, float],
        ended_at: int | None = None,
        layers: LayerMetrics | None = None,
    ) -> EpochReport:
        """Record an epoch that has just ended.

        Args:
            metrics: What was measured of the network.
            ended_at: Time at which it ended, in milliseconds since 1970 (UTC); None for now.
            layers: What was measured of its hidden layers: metric -> layer -> value.
        """
        suggestion, epoch = self.suggestion, len(self.reports) + 1
        moment = round(time.time() * 1000) if ended_at is None else ended_at
        report = EpochReport(
            suggestion.number, suggestion.attempt, epoch, metrics, moment, layers or {}, suggestion.fold
        )
        self.reports.append(report)
        return self.reports[-1]

    def is_late(self, limit: float | None) -> bool:
        """Return whether the attempt has lasted longer than a limit in seconds, if there is one."""
        return limit is not None and time.perf_counter() - self.began > limit

    def end_late(self, limit: float | None) -> TrialResult:
        """Return the result of an attempt that has lasted longer than a limit in seconds."""
        return self.end(Reason.TIMEOUT, error=f"it trained longer than training.timeout_seconds = {limit:g}")

    def model_path(self, folder: str | None) -> Path | None:
        """Return the file that the model of this attempt is saved in, if it is saved.

        Args:
            folder: Folder for models; None if no model is saved.
        """
        if folder is None:
            return None
        return Path(folder) / f"trial-{self.suggestion.number}-{self.suggestion.attempt}.keras"

    def end(
        self, reason: Reason, best_epoch: int | None = None, error: str | None = None, model: Path | None = None
    ) -> TrialResult:
        """Return the result of the attempt; a trial that diverged or failed has no best epoch.

        Args:
            reason: Why it ended.
            best_epoch: Epoch whose weights are kept; None if there is none.
            error: What went wrong; None if nothing did.
            model: File that its model is saved in; None if it is not.
        """
        fields: dict[str, Any] = {
            "number": self.suggestion.number,
            "attempt": self.suggestion.attempt,
            "reason": reason,
            "curve": curve_from_reports(self.reports),
            "best_epoch": None if reason in (Reason.DIVERGED, Reason.FAILED) else best_epoch,
            "seconds": time.perf_counter() - self.began,
            "error": error,
            "model_path": None if model is None else str(model),
            "n_parameters": self.n_parameters,
        }
        fold = self.suggestion.fold
        return TrialResult(**fields) if fold is None else FoldResult(**fields, fold=fold)


@dataclass(frozen=True, slots=True)
class FoldResult(TrialResult):
    """How one fold of a trial ended; never leaves the trainer.

    Args:
        fold: The fold, from 0.
        save: Writes the model with the kept weights to a path; None where there is no model, or none is wanted.
    """

    fold: int = 0
    save: Callable[[Path], None] | None = None


class ParetoFront:
    """The trials that no other beats, as far as a trainer knows: from its own results, and from suggestions.

    Args:
        objectives: Objectives of the sweep, one or two. With one, the front is a single trial.
        is_final: Whether the trainer's own results count. If they may be pruned afterwards, only those count that
            suggestions name.
        keeps_all: Whether the model of each trial with a value is worth saving.
    """

    def __init__(self, objectives: Sequence[Objective], *, is_final: bool = True, keeps_all: bool = False) -> None:
        self._objectives = objectives
        self._is_final = is_final
        self._keeps_all = keeps_all
        self._ranks: list[Rank] = []

    def add_if_unbeaten(self, attempt: Attempt, best_epoch: int | None) -> bool:
        """Add a trial unless another one beats it; return whether its model is worth saving: whether none does.

        Args:
            attempt: A complete attempt at the trial.
            best_epoch: Epoch whose weights are kept; None if there is none.
        """
        self._ranks = pareto_front({*self._ranks, *attempt.suggestion.front})
        rank_of_trial = None if best_epoch is None else self._rank(attempt, best_epoch)
        if rank_of_trial is None or any(beats(other, rank_of_trial) for other in self._ranks):
            return self._keeps_all and rank_of_trial is not None
        if self._is_final:
            self._ranks = pareto_front({*self._ranks, rank_of_trial})
        return True

    def end(
        self,
        attempt: Attempt,
        reason: Reason,
        best_epoch: int | None,
        models: str | None,
        save: Callable[[Path], None],
    ) -> TrialResult:
        """Return the result of an attempt, with its model saved if no other trial beats it.

        The model of a fold is saved later, if at all, when the other folds have ended.

        Args:
            attempt: The attempt.
            reason: Why it ended.
            best_epoch: Epoch whose weights are kept; None if there is none.
            models: Folder for models; None saves no model.
            save: Writes the model with these weights to a path.
        """
        result = attempt.end(reason, best_epoch)
        if isinstance(result, FoldResult):
            return replace(result, save=save if result.fold == 0 else None)
        path = attempt.model_path(models)
        if not self.add_if_unbeaten(attempt, result.best_epoch) or path is None:
            return result
        save(path)
        return replace(result, model_path=str(path))

    def _rank(self, attempt: Attempt, epoch: int) -> Rank | None:
        metrics = {**attempt.reports[epoch - 1].metrics, **size_metric(attempt.n_parameters)}
        values = tuple(metrics.get(objective.metric, math.nan) for objective in self._objectives)
        if not all(map(math.isfinite, values)):
            return None
        directions = (objective.direction for objective in self._objectives)
        return rank(values, metrics.get("val_loss"), attempt.suggestion.number, *directions)


def with_exact_shares(measured: Mapping[str, float], n_train: int, n_validation: int) -> dict[str, float]:
    """Return an epoch's means with accuracies as whole numbers of rows over all rows.

    Keras divides in single precision, in which 743 of 1,000 rows are 0.74299997 or 0.74300003. The number of right rows
    can be told from that below eight million rows.

    Args:
        measured: Means over an epoch.
        n_train: Number of training rows, which `accuracy` is a share of.
        n_validation: Number of validation rows, which `val_accuracy` is a share of.

    Example:
        >>> with_exact_shares({"val_loss": 0.5, "val_accuracy": 0.74299997}, 10, 1000)
        {'val_loss': 0.5, 'val_accuracy': 0.743}
    """
    n_rows = {"accuracy": n_train, "val_accuracy": n_validation}
    return {
        name: round(value * n_rows[name]) / n_rows[name] if name in n_rows else value
        for name, value in measured.items()
    }


def in_own_units(
    measured: Mapping[str, float], task: Task, target_std: float, variance: float = 1.0
) -> dict[str, float]:
    """Return an epoch's metrics, those of regression in the units of the target as well.

    Args:
        measured: Means over an epoch: `loss` and `val_loss`; `accuracy` and `val_accuracy` for classes, `mae` and
            `val_mae` for regression.
        task: Task of the data.
        target_std: What the target was divided by before training; 1 for classes.
        variance: Variance of the standardised target over the validation rows.

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
    """Return the coefficient of determination; for a target that does not vary, 1 without any error and 0 otherwise.

    Args:
        mean_square: Mean square of the errors.
        variance: Variance of the target, in the same units.
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
