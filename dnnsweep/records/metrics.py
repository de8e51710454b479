"""The metrics of each task, and whether more or less of a metric is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Task(StrEnum):
    """What is to be predicted; decides the network's output, its loss and its metrics."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class ClassScore:
    """A score of the answers to the validation rows, of which more is better.

    Args:
        name: Name in the sweep file.
        function: Name of the function in `sklearn.metrics`. It takes the classes of the rows and the network's answers:
            probabilities for `val_auc`, classes for all others.
        options: Keyword arguments of the function.
    """

    name: str
    function: str
    options: Mapping[str, Any] = field(default_factory=dict)


_OVER_CLASSES: Final = {"average": "macro", "zero_division": 0}

CLASS_METRICS = ("loss", "accuracy")
NUMBER_METRICS = ("loss", "mse", "mae")
#: Metrics that are measured on the validation rows only, if a sweep file names them. Adding a line makes a score known
#: to sweep files, `fit` and exported code; trial arrays compute it in `trainers.array.scores`.
CLASS_SCORES: Final[Mapping[str, ClassScore]] = {
    score.name: score
    for score in (
        ClassScore("val_auc", "roc_auc_score"),
        ClassScore("val_f1", "f1_score", _OVER_CLASSES),
        ClassScore("val_precision", "precision_score", _OVER_CLASSES),
        ClassScore("val_recall", "recall_score", _OVER_CLASSES),
    )
}
#: Scores are rounded to so many decimals: how they are computed shows in the last digits, and 0.9 shall be 0.9.
SCORE_DECIMALS: Final = 12
#: The number of weights of the network, which belongs to the trial and not to an epoch.
N_PARAMETERS = "n_parameters"
MAXIMIZED = frozenset({"accuracy", "r2", *(name.removeprefix("val_") for name in CLASS_SCORES)})


def four_digits(value: float) -> float:
    """Return a number rounded to four digits: what is measured of layers is exact to no more, and short to store.

    Example:
        >>> four_digits(0.000123456789)
        0.0001235
    """
    return float(f"{value:.4g}")


def metrics_for(task: Task) -> tuple[str, ...]:
    """Return the metrics that are always computed for a task, on the training and on the validation rows.

    Example:
        >>> metrics_for(Task.BINARY)
        ('loss', 'accuracy', 'val_loss', 'val_accuracy')
    """
    names = NUMBER_METRICS if task is Task.REGRESSION else CLASS_METRICS
    return (*names, *(f"val_{name}" for name in names), *(["val_r2"] if task is Task.REGRESSION else []))


def scores_for(task: Task) -> tuple[str, ...]:
    """Return the metrics that are computed for a task where a sweep file names them.

    All are those of scikit-learn over all validation rows: the area under the ROC curve (each class against the rest,
    averaged over classes), and F1, precision and recall, averaged over classes.
    """
    return () if task is Task.REGRESSION else tuple(CLASS_SCORES)


def direction_of(metric: str) -> str:
    """Return whether to `maximize` or to `minimize` a metric."""
    return "maximize" if metric.removeprefix("val_") in MAXIMIZED else "minimize"


def spread_of(metric: str) -> str:
    """Return the name of the standard deviation of a metric over the folds of a trial."""
    return f"{metric}_std"


def size_metric(n_parameters: int | None) -> dict[str, float]:
    """Return the size of a network as a metric, if it is known."""
    return {} if n_parameters is None else {N_PARAMETERS: float(n_parameters)}


@dataclass(frozen=True, slots=True)
class Objective:
    """What a sweep improves.

    Args:
        metric: Name of the metric.
        direction: Whether to `maximize` or to `minimize` the metric.
    """

    metric: str
    direction: str

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"

    def cost(self, value: float) -> float:
        """Return a value as a cost, of which less is better."""
        return -value if self.direction == "maximize" else value
