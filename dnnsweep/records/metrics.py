"""What is measured, by the task of the data, and which end of it is the better one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What the target asks for; decides the network's head, its loss and its metrics."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


CLASS_METRICS = ("loss", "accuracy")
NUMBER_METRICS = ("loss", "mse", "mae")
#: Measured on the validation rows alone, where a sweep file names them.
CLASS_SCORES = ("val_auc", "val_f1", "val_precision", "val_recall")
#: Weights of the network; a number of the trial, not of an epoch.
N_PARAMETERS = "n_parameters"
MAXIMIZED = frozenset({"accuracy", "auc", "f1", "precision", "recall", "r2"})


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
    return () if task is Task.REGRESSION else CLASS_SCORES


def direction_of(metric: str) -> str:
    """Return `maximize` or `minimize`: the better end of a metric."""
    return "maximize" if metric.removeprefix("val_") in MAXIMIZED else "minimize"


def size_metric(n_parameters: int | None) -> dict[str, float]:
    """Return the size of a network as a metric, if it is known."""
    return {} if n_parameters is None else {N_PARAMETERS: float(n_parameters)}


@dataclass(frozen=True, slots=True)
class Objective:
    """What a sweep improves, or one of two such things.

    Args:
        metric: Its name.
        direction: `maximize` or `minimize`.
    """

    metric: str
    direction: str

    def __str__(self) -> str:
        return f"{self.direction} {self.metric}"
