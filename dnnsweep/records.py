"""What travels between processes and modules: frozen records of plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dnnsweep.ranking import Rank


class Task(StrEnum):
    """What the target asks for; decides the network's head, its loss and its metrics."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class State(StrEnum):
    """Where a trial stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAILED = "FAILED"


class Reason(StrEnum):
    """Why a trial ended."""

    COMPLETED = "completed"
    EARLY_STOPPED = "early_stopped"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    TIMEOUT = "timeout"
    KILLED = "killed"
    STOPPED = "stopped"

    @property
    def state(self) -> State:
        """Return the state that this reason leaves a trial in."""
        if self in (Reason.COMPLETED, Reason.EARLY_STOPPED):
            return State.COMPLETE
        return State.PRUNED if self is Reason.PRUNED else State.FAILED

    @property
    def is_in_budget(self) -> bool:
        """Return whether a trial that ended so counts as one of the trials asked for."""
        return self is not Reason.STOPPED


class SweepState(StrEnum):
    """Where a sweep stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    INTERRUPTED = "INTERRUPTED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    COMPLETE = "COMPLETE"


CLASS_METRICS = ("loss", "accuracy")
NUMBER_METRICS = ("loss", "mse", "mae")
#: Measured on the validation rows alone, where a sweep file names them.
CLASS_SCORES = ("val_auc", "val_f1", "val_precision", "val_recall")
MAXIMIZED = frozenset({"accuracy", "auc", "f1", "precision", "recall", "r2"})


def metrics_of(task: Task) -> tuple[str, ...]:
    """Return the metrics that are always computed for a task, on the training and on the validation rows.

    Example:
        >>> metrics_of(Task.BINARY)
        ('loss', 'accuracy', 'val_loss', 'val_accuracy')
    """
    names = NUMBER_METRICS if task is Task.REGRESSION else CLASS_METRICS
    return (*names, *(f"val_{name}" for name in names), *(["val_r2"] if task is Task.REGRESSION else []))


def scores_of(task: Task) -> tuple[str, ...]:
    """Return the metrics that are computed for a task where a sweep file names them.

    All are those of scikit-learn over all validation rows: the area under the ROC curve (each class against the rest,
    averaged over classes), and F1, precision and recall, averaged over classes.
    """
    return () if task is Task.REGRESSION else CLASS_SCORES


def direction_of(metric: str) -> str:
    """Return `maximize` or `minimize`: the better end of a metric."""
    return "maximize" if metric.removeprefix("val_") in MAXIMIZED else "minimize"


@dataclass(frozen=True, slots=True)
class Series:
    """One value per epoch of a metric, of the whole network or of one of its layers.

    Args:
        metric: Its name, `val_loss` for example.
        values: One per epoch, from epoch 1; may hold NaN and infinities.
        layer: The layer that it belongs to; None for the network.
    """

    metric: str
    values: tuple[float, ...]
    layer: str | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Everything measured while a trial trained.

    Args:
        series: Each of the same length, one value per epoch.
        ended_at: When each epoch ended, in milliseconds since 1970 (UTC).
    """

    series: tuple[Series, ...] = ()
    ended_at: tuple[int, ...] = ()

    @property
    def n_epochs(self) -> int:
        """Return the number of epochs measured."""
        return len(self.ended_at)

    def values(self, metric: str) -> tuple[float, ...]:
        """Return the network's values of a metric, one per epoch; empty if it was not measured."""
        return next((s.values for s in self.series if s.metric == metric and s.layer is None), ())

    def at(self, epoch: int) -> dict[str, float]:
        """Return the network's metrics at an epoch, counted from 1."""
        return {s.metric: s.values[epoch - 1] for s in self.series if s.layer is None}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A point of the search space before training.

    Args:
        number: The trial's number in its sweep, from 0.
        params: Every knob, fixed ones too; widths of `hidden` as a tuple.
        seed: What weights, row order and dropout start from, in [0, 2**31).
        attempt: How often it has been started, from 1.
        best: Rank of the best trial known when it is handed to a trainer, which need not save the model of a trial that
            ranks behind it; None if there is none.
    """

    number: int
    params: Mapping[str, Any]
    seed: int
    attempt: int = 1
    best: Rank | None = None


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What a trainer says after each epoch.

    Args:
        number: The trial.
        attempt: Which start of it.
        epoch: From 1.
        metrics: The network's metrics at this epoch.
        ended_at: When the epoch ended, in milliseconds since 1970 (UTC).
        layers: Metrics of single layers: metric -> layer -> value.
    """

    number: int
    attempt: int
    epoch: int
    metrics: Mapping[str, float]
    ended_at: int
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Began:
    """What a trainer says when it takes a suggestion up, which may have waited in line.

    Args:
        number: The trial.
        attempt: Which start of it.
    """

    number: int
    attempt: int


def curve_of(reports: Iterable[EpochReport]) -> Curve:
    """Turn epoch reports, in order, into a curve.

    Example:
        >>> curve_of([EpochReport(0, 1, 1, {"loss": 0.5}, 10), EpochReport(0, 1, 2, {"loss": 0.4}, 20)]).values("loss")
        (0.5, 0.4)
    """
    ordered = list(reports)
    columns: dict[tuple[str, str | None], list[float]] = {}
    for report in ordered:
        for metric, value in report.metrics.items():
            columns.setdefault((metric, None), []).append(value)
        for metric, values in report.layers.items():
            for layer, value in values.items():
                columns.setdefault((metric, layer), []).append(value)
    series = tuple(Series(metric, tuple(values), layer) for (metric, layer), values in columns.items())
    return Curve(series, tuple(report.ended_at for report in ordered))


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How one attempt at a trial ended.

    Args:
        number: The trial.
        attempt: Which start of it.
        reason: Why it ended.
        curve: All epochs, the one in which it diverged included.
        best_epoch: The epoch whose weights were kept, from 1; None where there is none.
        seconds: Time from taking the suggestion up to the end.
        error: The text of the error, for `failed`, `timeout` and `killed`.
        model_path: Where the trainer saved the Keras model with the kept weights, if it did.
    """

    number: int
    attempt: int
    reason: Reason
    curve: Curve
    best_epoch: int | None
    seconds: float
    error: str | None = None
    model_path: str | None = None


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What a trainer found in the data: enough to describe them, not the rows.

    Args:
        fingerprint: SHA-256 over every value and name, before any split; equal data have equal fingerprints.
        task: Decided from the target, or as the sweep file says.
        n_features: Inputs of the network, after one-hot encoding and flattening.
        columns: Names of the columns as they were found.
        classes: Labels in the order of the outputs; empty for regression.
        n_train: Training rows.
        n_validation: Validation rows.
        n_test: Test rows.
        notes: What was done to the data that a person should know, one sentence each.
        traits: What rows and target were like before, for code that encodes them alike. Words: `frame` (columns of a
            table, not an array), `reshaped` (rows of several dimensions, or single numbers), `cast` (numbers of a type
            that is converted before scaling: to float32 in an array, to float64 in a frame), `text` (columns of it),
            `only_text`, `mixed_text` (booleans, whole numbers or categories in text columns), `missing_numbers`,
            `missing_text`, `column_target` (of shape (rows, 1)), `text_target`, `own_test` (the file holds test rows
            apart), `dictionary_of_arrays` (a function returned one), `dated` (rows are split by dates). Where a builder
            makes the networks, also how it is called (`dictionary`, or `takes_NAME` for each parameter) and how they
            take rows (`flat_input`, `one_input` of another shape, `many_inputs`,
            `named_inputs`).
    """

    fingerprint: str
    task: Task
    n_features: int
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    n_train: int
    n_validation: int
    n_test: int
    notes: tuple[str, ...] = ()
    traits: tuple[str, ...] = field(default=(), compare=False)  # equal rows may come as an array or as a frame


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as the ledger knows it; what queries return.

    Args:
        sweep: The sweep's name.
        number: From 0, dense.
        value: The objective at the best epoch; None unless the state is COMPLETE.
        params: Every knob, fixed ones too.
        state: Where it stands.
        reason: Why it ended; None before.
        best_epoch: The epoch whose weights were kept, from 1.
        epochs: Epochs trained.
        seconds: Time it trained.
        run_id: The MLflow run; None until the run was created.
        seed: What weights, row order and dropout started from.
        attempts: How often it was started.
        error: The text of the error, if it failed by one.
        metrics: The network's metrics at the best epoch.
        started_at: Start of the last attempt, in milliseconds since 1970 (UTC).
        ended_at: End of the trial, likewise.
    """

    sweep: str
    number: int
    value: float | None
    params: Mapping[str, Any]
    state: State
    reason: Reason | None
    best_epoch: int | None
    epochs: int
    seconds: float | None
    run_id: str | None
    seed: int
    attempts: int
    error: str | None
    metrics: Mapping[str, float]
    started_at: int | None
    ended_at: int | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON: no tuple, no enumeration, no number that is not finite."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as the ledger knows it; what `list` and `show` return.

    Args:
        id: Unique over all ledgers.
        name: Unique in a ledger.
        state: Where it stands.
        description: From the sweep file.
        source: Where the data come from.
        metric: The objective's metric.
        direction: `maximize` or `minimize`.
        n_trials: Trials asked for.
        n_finished: Trials ended that count in the budget.
        n_running: Trials being trained.
        n_failed: Trials ended without a value (diverged, failed, timeout, killed).
        best_number: The best trial.
        best_value: Its value.
        window: How many suggestions may be ahead of the results told to the sampler.
        data: The summary of the data, as plain JSON; empty until a worker has loaded the data of a submitted sweep.
        spec: The sweep file, resolved, as plain JSON.
        run_id: The parent run in MLflow; None until it was created.
        n_undelivered: Outbox entries that MLflow has not seen yet.
        error: Why it was given up, if it was.
        created_at: In milliseconds since 1970 (UTC).
        ended_at: Likewise; None while it runs.
        seconds: Wall time over all runs of the sweep.
        trainer: How its trials are trained: `array`, `fit` or `compiled`; `auto` until that was decided.
        slots: Trials side by side in one program.
        device: What they are trained on, `cpu` or `gpu`.
    """

    id: str
    name: str
    state: SweepState
    description: str | None
    source: str
    metric: str
    direction: str
    n_trials: int
    n_finished: int
    n_running: int
    n_failed: int
    best_number: int | None
    best_value: float | None
    window: int
    data: Mapping[str, Any]
    spec: Mapping[str, Any]
    run_id: str | None
    n_undelivered: int
    error: str | None
    created_at: int
    ended_at: int | None
    seconds: float
    trainer: str = "fit"
    slots: int = 1
    device: str = "cpu"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value
