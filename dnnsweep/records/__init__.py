"""Frozen records of plain data, which travel between modules and processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dnnsweep.records.data_traits import BuilderCall, DataTrait, InputForm, decode_traits, encode_traits
from dnnsweep.records.findings import Finding, FindingCode
from dnnsweep.records.metrics import (
    CLASS_METRICS,
    CLASS_SCORES,
    MAXIMIZED,
    N_PARAMETERS,
    NUMBER_METRICS,
    SCORE_DECIMALS,
    ClassScore,
    Objective,
    Task,
    direction_of,
    metrics_for,
    scores_for,
    size_metric,
    spread_of,
)
from dnnsweep.records.ranking import Rank
from dnnsweep.records.repeats import Candidate, Confirmed, Purpose, Repeat, Retraining, TestAnswers
from dnnsweep.records.states import Reason, State
from dnnsweep.records.sweeps import SWEEP_COLUMNS, Sweep, SweepState, insert_names, to_plain

__all__ = [
    "CLASS_METRICS",
    "CLASS_SCORES",
    "MAXIMIZED",
    "NUMBER_METRICS",
    "N_PARAMETERS",
    "SCORE_DECIMALS",
    "SWEEP_COLUMNS",
    "TRIAL_COLUMNS",
    "AttemptStarted",
    "BuilderCall",
    "Candidate",
    "ClassScore",
    "Confirmed",
    "Curve",
    "DataSummary",
    "DataTrait",
    "EpochReport",
    "Finding",
    "FindingCode",
    "InputForm",
    "LayerMetrics",
    "Objective",
    "Purpose",
    "Reason",
    "Repeat",
    "Retraining",
    "Series",
    "State",
    "Suggestion",
    "Sweep",
    "SweepState",
    "Task",
    "TestAnswers",
    "Trial",
    "TrialResult",
    "curve_from_reports",
    "decode_traits",
    "direction_of",
    "encode_traits",
    "metrics_for",
    "scores_for",
    "size_metric",
    "spread_of",
    "to_plain",
]


#: Metric -> layer -> value.
LayerMetrics: TypeAlias = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """One value per epoch of a metric, of the whole network or of one of its layers.

    Args:
        metric: Name of the metric, such as `val_loss`.
        values: One value per epoch, from epoch 1; may hold NaN and infinities.
        layer: The layer that the values belong to; None for the whole network.
    """

    metric: str
    values: tuple[float, ...]
    layer: str | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Everything measured while a trial trained.

    Args:
        series: All that was measured; every series has one value per epoch.
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

    def until(self, epoch: int) -> Curve:
        """Return its first epochs, up to one counted from 1."""
        series = tuple(Series(s.metric, s.values[:epoch], s.layer) for s in self.series)
        return Curve(series, self.ended_at[:epoch])

    def at(self, epoch: int) -> dict[str, float]:
        """Return the network's metrics at an epoch, counted from 1."""
        return {s.metric: s.values[epoch - 1] for s in self.series if s.layer is None}

    def layers_at(self, epoch: int) -> LayerMetrics:
        """Return the metrics of single layers at an epoch, counted from 1."""
        by_metric: dict[str, dict[str, float]] = {}
        for series in self.series:
            if series.layer is not None:
                by_metric.setdefault(series.metric, {})[series.layer] = series.values[epoch - 1]
        return by_metric


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A point of the search space before training.

    Args:
        number: The trial's number in its sweep, from 0.
        params: Every hyperparameter, fixed ones too; widths of `hidden` as a tuple.
        seed: What weights, row order and dropout start from, in [0, 2**31).
        attempt: How often the trial has been started, from 1.
        front: Ranks of the trials that no other is known to beat when it is handed to a trainer, which need not save
            the model of a trial that one of them beats.
        fold: The fold that validates, from 0; None for the whole trial. Trainers make such suggestions of one.
        block: The block of a repeat, from 0, which says how the development rows are split; None for a trial.
        retraining: How it is trained on all development rows; None for trials, and for repeats in blocks.
    """

    number: int
    params: Mapping[str, Any]
    seed: int
    attempt: int = 1
    front: tuple[Rank, ...] = ()
    fold: int | None = None
    block: int | None = None
    retraining: Retraining | None = None

    @property
    def is_repeat(self) -> bool:
        """Return whether this is no trial, so that it is trained once and on rows of its own."""
        return self.block is not None or self.retraining is not None


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What a trainer reports after each epoch.

    Args:
        number: Number of the trial.
        attempt: The attempt at the trial, from 1.
        epoch: The epoch, from 1.
        metrics: The network's metrics at this epoch.
        ended_at: When the epoch ended, in milliseconds since 1970 (UTC).
        layers: Metrics of single layers.
        fold: The fold that was trained, from 0; None for the whole trial.
    """

    number: int
    attempt: int
    epoch: int
    metrics: Mapping[str, float]
    ended_at: int
    layers: LayerMetrics = field(default_factory=dict)
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """What a trainer reports when it starts on a suggestion, which may have waited in line.

    Args:
        number: Number of the trial.
        attempt: The attempt at the trial, from 1.
    """

    number: int
    attempt: int


def curve_from_reports(reports: Iterable[EpochReport]) -> Curve:
    """Turn epoch reports, in order, into a curve.

    Example:
        >>> reports = [EpochReport(0, 1, 1, {"loss": 0.5}, 10), EpochReport(0, 1, 2, {"loss": 0.4}, 20)]
        >>> curve_from_reports(reports).values("loss")
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
        number: Number of the trial.
        attempt: The attempt at the trial, from 1.
        reason: Why it ended.
        curve: All epochs, the one in which it diverged included.
        best_epoch: The epoch whose weights were kept, from 1; None where there is none.
        seconds: Time from the start on the suggestion to the end.
        error: The text of the error, for `failed`, `timeout` and `killed`.
        model_path: Path of the Keras model with the kept weights, if the trainer saved one.
        n_parameters: Number of weights of the network; None where no network was built.
        test: What the network answers for the test rows; None unless a retraining opens them.
        findings: What is wrong with the training, as the controller finds it.
    """

    number: int
    attempt: int
    reason: Reason
    curve: Curve
    best_epoch: int | None
    seconds: float
    error: str | None = None
    model_path: str | None = None
    n_parameters: int | None = None
    test: TestAnswers | None = field(default=None, compare=False)
    findings: tuple[Finding, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """Return the network's metrics at the best epoch, and its size; {} where there is no best epoch."""
        if self.best_epoch is None:
            return {}
        return self.curve.at(self.best_epoch) | size_metric(self.n_parameters)


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What a trainer found in the data: enough to describe them, not the rows.

    Args:
        fingerprint: SHA-256 over every value and name, before any split; equal data have equal fingerprints.
        task: The task, which the target decides unless the sweep file does.
        n_features: Number of inputs of the network, after one-hot encoding and flattening.
        columns: Names of the columns in the data.
        classes: Labels in the order of the outputs; empty for regression.
        n_train: Number of training rows.
        n_validation: Number of validation rows.
        n_test: Number of test rows.
        notes: What was done to the data that a person should know, one sentence each.
        traits: Traits of rows and target before they were encoded, for code that encodes them in the same way.
        builder_call: Call of the user's function that builds the networks; None without one.
        reading: How the columns of a table were read, as plain JSON; empty where they were taken as pandas reads them.
        constant_loss: Loss of the best constant answer to the training rows; 0 where it is not known.
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
    traits: tuple[DataTrait, ...] = field(default=(), compare=False)  # equal rows may come as an array or as a frame
    builder_call: BuilderCall | None = field(default=None, compare=False)
    reading: Mapping[str, Any] = field(default_factory=dict, compare=False)
    constant_loss: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as the ledger knows it; what queries return.

    Args:
        sweep: Name of the sweep.
        number: Number of the trial, from 0, without gaps.
        params: Every hyperparameter, fixed ones too.
        state: State of the trial.
        reason: Why the trial ended; None before.
        best_epoch: The epoch whose weights were kept, from 1.
        epochs: Number of epochs trained.
        seconds: Time for which the trial trained.
        run_id: The MLflow run; None until it was created.
        seed: Seeds weights, row order and dropout.
        attempts: How often the trial was started.
        error: Text of the error that the trial failed with.
        metrics: The network's metrics at the best epoch, and its number of weights.
        started_at: Start of the last attempt, in milliseconds since 1970 (UTC).
        ended_at: End of the trial, in milliseconds since 1970 (UTC).
        values: The value of each objective at the best epoch, `value` the first one; None unless the state is COMPLETE.
        confirmed: What repeats of its hyperparameters say; None if it was not repeated.
        findings: What is wrong with its training.
    """

    sweep: str
    number: int
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
    values: tuple[float, ...] | None
    confirmed: Confirmed | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def value(self) -> float | None:
        """Return the value of the first objective; None unless the state is COMPLETE."""
        return None if self.values is None else self.values[0]

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain JSON, without tuples, enumerations and numbers that are not finite."""
        return {name: to_plain(getattr(self, name)) for name in TRIAL_COLUMNS}


#: What programs read of a trial: its fields, and the value of the first objective beside all values.
TRIAL_COLUMNS = insert_names(Trial.__slots__, "value", before="params")
