"""Where the vector that the compiled program measures in an epoch holds each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnnsweep.records import SCORE_DECIMALS, Task, direction_of
from dnnsweep.trainers.array.types import SlotValues
from dnnsweep.trainers.attempt import in_own_units

Vector = Sequence[float] | NDArray[np.floating]  # (metrics,)


@dataclass(frozen=True, slots=True)
class Monitor:
    """A metric that a rule of the compiled program watches.

    Args:
        index: Position of the measured value in the vector of metrics.
        scale: Factor that converts the measured value to the metric's units; inside a program, of each slot (slots,).
        offset: Number that is added after scaling; inside a program, of each slot (slots,).
        is_maximized: Whether a larger value is a better one.
        min_delta: Amount by which a value must beat the best one to count as an improvement, in the metric's units.
    """

    index: int
    scale: float | SlotValues = 1.0
    offset: float | SlotValues = 0.0
    is_maximized: bool = False
    min_delta: float = 0.0


@dataclass(frozen=True, slots=True)
class MetricLayout:
    """The metrics of an epoch, in the order of the vector that holds them, and their units.

    Args:
        task: Task of the data; the metric beside the loss is `mae` for regression and `accuracy` otherwise.
        scores: Scores of the validation rows that a sweep asks for, by the names of `records.scores_for`.
        has_learning_rate: Whether the program knows learning rates, because a trial may reduce its own on a plateau.
        target_std: Standard deviation that the target was divided by before training; 1 for classes.
        validation_variance: Variance of the standardised target over the validation rows.

    Example:
        >>> layout = MetricLayout(Task.REGRESSION, target_std=2.0)
        >>> layout.names
        ('loss', 'mae', 'val_loss', 'val_mae', 'l2_penalty')
        >>> layout.value([0.5, 0.25, 1.0, 0.75, 0.0], "val_mae")
        0.75
        >>> layout.monitor("val_mae", min_delta=0.5)
        Monitor(index=3, scale=2.0, offset=0.0, is_maximized=False, min_delta=0.5)
    """

    task: Task
    scores: tuple[str, ...] = ()
    has_learning_rate: bool = False
    target_std: float = 1.0
    validation_variance: float = 1.0

    @property
    def metric(self) -> str:
        """Return the metric that the program measures beside the loss."""
        return "mae" if self.task is Task.REGRESSION else "accuracy"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the metrics in the order of the vector."""
        rate = ("learning_rate",) if self.has_learning_rate else ()
        return ("loss", self.metric, "val_loss", f"val_{self.metric}", "l2_penalty", *self.scores, *rate)

    def index(self, name: str) -> int:
        """Return the position of a measured metric in the vector."""
        return self.names.index(name)

    def value(self, vector: Vector, name: str) -> float:
        """Return a measured metric of an epoch as the vector (metrics,) holds it."""
        return float(vector[self.index(name)])

    def in_own_units(self, vector: Vector) -> dict[str, float]:
        """Return the metrics that every trainer reports, from the vector (metrics,) of an epoch.

        The learning rate is left out: the program knows one for each slot, but not each slot's schedule.
        """
        measured = dict(zip(self.names, map(float, vector), strict=True))
        penalty = measured.pop("l2_penalty")
        measured.pop("learning_rate", None)
        measured |= {name: round(measured[name], SCORE_DECIMALS) for name in self.scores}
        reported = in_own_units(measured, self.task, self.target_std, self.validation_variance)
        return {**reported, "l2_penalty": penalty}

    def monitor(self, metric: str, min_delta: float = 0.0) -> Monitor:
        """Return how a rule watches a metric of the sweep file.

        Args:
            metric: Name of the metric; `mse` and `r2` are computed from the loss.
            min_delta: Amount by which a value must beat the best one, in the metric's units.
        """
        prefix, name = ("val_", metric[4:]) if metric.startswith("val_") else ("", metric)
        measured = prefix + {"mse": "loss", "r2": "loss"}.get(name, name)
        scale, offset = self._conversion(name)
        return Monitor(self.index(measured), scale, offset, direction_of(metric) == "maximize", min_delta)

    def _conversion(self, name: str) -> tuple[float, float]:
        """Return the factor that converts a measured metric to its units, and what is added after it."""
        if name == "r2":  # 1 - mse / variance; without variance there is nothing to explain
            variance = self.validation_variance
            return (-1 / variance, 1.0) if variance else (0.0, 0.0)
        return {"mse": self.target_std**2, "mae": self.target_std}.get(name, 1.0), 0.0
