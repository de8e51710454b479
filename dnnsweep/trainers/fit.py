"""The reference trainer: one Keras model for each suggestion, trained with `model.fit`."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from dnnsweep import datasets, spec
from dnnsweep.errors import TrainerError
from dnnsweep.records import DataSummary, EpochReport, Reason, Suggestion, Task, TrialResult, curve_of
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import Job
from dnnsweep.trainers.rows import row_order
from dnnsweep.trainers.stopping import Stopping, is_diverged

MAX_ERROR_CHARACTERS: Final = 500
#: Above this, the network before is freed at once: a quarter of a second against tens of megabytes.
LARGE_PARAMETERS: Final = 1_000_000


class FitTrainer:
    """Trains with plain Keras; what a faster trainer is held to.

    A result depends on the suggestion and the data only, not on what was trained before, nor on global seeds.
    TensorFlow is loaded by the first `train`, so that mistakes in the data show without waiting for it.

    Args:
        job: What to train on and how.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._opened: tuple[spec.SweepSpec, datasets.Dataset] | None = None
        self._held: tuple[Any, ...] = ()

    def open(self) -> DataSummary:
        """Load the data and say what they are.

        Raises:
            DataError: The data cannot be used as the sweep file asks.
            SpecError: The sweep file is wrong, or names a metric that the data's task does not have.
        """
        return self._load()[1].summary

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        """Train a suggestion to its end; an error while training becomes a result with reason `failed`.

        Raises:
            TrainerError: Keras does not run on TensorFlow.
            Exception: Whatever `report` raises; it ends the attempt without a result.
        """
        from dnnsweep import networks  # noqa: F401  loading TensorFlow is not part of the first trial

        course = _Course(suggestion, report, time.perf_counter())
        sweep, data = self._opened or self._load()
        course.stopping = Stopping.of(sweep.training.early_stopping)
        try:
            return self._train(course, sweep, data)
        except Exception as error:
            if error is course.report_error or isinstance(error, TrainerError):
                raise
            return course.end(Reason.FAILED, error=one_line(error))

    def _train(self, course: _Course, sweep: spec.SweepSpec, data: datasets.Dataset) -> TrialResult:
        from dnnsweep import networks

        hp, seed = Hyperparameters.of(course.suggestion.params), course.suggestion.seed
        task, n_train, n_epochs = data.summary.task, data.summary.n_train, sweep.training.epochs
        network = networks.build(hp, data.summary.n_features, task, data.n_outputs, seed)
        networks.compile_(network, hp, task, networks.n_steps(n_train, hp.batch_size))
        if network.count_params() > LARGE_PARAMETERS:
            gc.collect()  # the networks before this one lie in reference cycles

        def after_epoch(measured: Mapping[str, float]) -> bool:
            penalty = networks.l2_penalty(network, hp)
            course.add({**in_own_units(measured, task, data.target_std), "l2_penalty": penalty})
            if course.stopping.is_improved:
                course.weights = network.get_weights()
            return course.is_over

        x, y, validation = self._hold(data)
        orders = (row_order(seed, epoch, n_train) for epoch in count(1))
        batches = networks.batches_of(x, y, orders, hp.batch_size)
        networks.fit(network, batches, validation, n_epochs, after_epoch)
        if course.is_diverged:
            return course.end(Reason.DIVERGED)
        network.set_weights(course.weights)
        model = course.model_path(self._job.models)
        if model is not None:
            networks.save(network, hp, task, model)
        is_whole = len(course.reports) == n_epochs
        return course.end(Reason.COMPLETED if is_whole else Reason.EARLY_STOPPED, model=model)

    def _hold(self, data: datasets.Dataset) -> tuple[Any, ...]:
        """Return training rows and validation as TensorFlow has them: one copy for all trials."""
        from dnnsweep import networks

        if not self._held:
            validation = networks.evaluation_of(*networks.hold(data.x_validation, data.y_validation))
            self._held = (*networks.hold(data.x_train, data.y_train), validation)
        return self._held

    def _load(self) -> tuple[spec.SweepSpec, datasets.Dataset]:
        sweep = spec.check(self._job.spec)
        data = datasets.load(sweep.dataset, sweep.task, self._job.data)
        spec.check_task(sweep, data.summary.task)
        self._opened = (sweep, data)
        return self._opened


@dataclass(slots=True)
class _Course:
    """One attempt at a trial: what was measured and kept so far."""

    suggestion: Suggestion
    report: Callable[[EpochReport], None]
    began: float
    stopping: Stopping = field(default_factory=Stopping)
    reports: list[EpochReport] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    is_diverged: bool = False
    report_error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Return whether no further epoch should be trained."""
        return self.is_diverged or self.stopping.is_over

    def add(self, metrics: Mapping[str, float]) -> None:
        """Take down an epoch, pass it on, and judge it."""
        number, attempt, epoch = self.suggestion.number, self.suggestion.attempt, len(self.reports) + 1
        self.reports.append(EpochReport(number, attempt, epoch, metrics, round(time.time() * 1000)))
        try:
            self.report(self.reports[-1])
        except Exception as error:
            self.report_error = error
            raise
        self.is_diverged = is_diverged(metrics)
        self.stopping = self.stopping.after(metrics)

    def model_path(self, folder: str | None) -> Path | None:
        """Return where the model of this attempt is saved, if it is."""
        if folder is None:
            return None
        return Path(folder) / f"trial-{self.suggestion.number}-{self.suggestion.attempt}.keras"

    def end(self, reason: Reason, error: str | None = None, model: Path | None = None) -> TrialResult:
        """Return how the attempt ended."""
        return TrialResult(
            number=self.suggestion.number,
            attempt=self.suggestion.attempt,
            reason=reason,
            curve=curve_of(self.reports),
            best_epoch=None if reason in (Reason.DIVERGED, Reason.FAILED) else self.stopping.best_epoch,
            seconds=time.perf_counter() - self.began,
            error=error,
            model_path=None if model is None else str(model),
        )


def in_own_units(measured: Mapping[str, float], task: Task, target_std: float) -> dict[str, float]:
    """Return an epoch's metrics, those of regression in the units of the target as well.

    Args:
        measured: `loss` and `val_loss`; `accuracy` and `val_accuracy` for classes, `mae` and `val_mae` for regression.
        task: Of the data.
        target_std: What the target was divided by before training; 1 for classes.

    Returns:
        The metrics of `records.metrics_of`. For regression `mse` is `loss * target_std**2` and `mae` is multiplied by
        `target_std`; `loss` stays in units of the standardised target.

    Example:
        >>> in_own_units({"loss": 0.5, "mae": 0.25, "val_loss": 1.0, "val_mae": 0.75}, Task.REGRESSION, 2.0)
        {'loss': 0.5, 'mse': 2.0, 'mae': 0.5, 'val_loss': 1.0, 'val_mse': 4.0, 'val_mae': 1.5}
    """
    if task is not Task.REGRESSION:
        return dict(measured)
    values: dict[str, float] = {}
    for prefix in ("", "val_"):
        loss = measured[f"{prefix}loss"]
        values |= {f"{prefix}loss": loss, f"{prefix}mse": loss * target_std**2}
        values[f"{prefix}mae"] = measured[f"{prefix}mae"] * target_std
    return values


def one_line(error: Exception) -> str:
    r"""Return an error as `TypeName: message` in one line.

    Example:
        >>> one_line(ValueError("two\n  lines"))
        'ValueError: two lines'
    """
    text = " ".join(f"{type(error).__name__}: {error}".replace("\0", "").split())
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[: MAX_ERROR_CHARACTERS - 3]}..."
