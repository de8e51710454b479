"""Metrics of several networks on chosen rows, in NumPy: those of scikit-learn, fast enough for a bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dnnsweep.statistics.expected_score import Metric

#: Outputs of all networks, [models, rows, outputs].
Outputs = NDArray[np.float64]
#: Probabilities are kept this far from 0 and 1 before their logarithm is taken, as in Keras.
EPSILON: Final = 1e-7


def metric_of(name: str, targets: NDArray[Any], outputs: Outputs) -> Metric:
    """Return a metric as a function of rows.

    Args:
        name: `loss` (cross-entropy), `accuracy`, `auc`, `f1`, `precision` or `recall` for classes; `mse`, `mae` or `r2`
            for numbers.
        targets: Class indices (rows,), or numbers.
        outputs: What each network answers: probabilities [models, rows, classes], or [models, rows, 1] of the second of
            two classes, or numbers [models, rows, 1].
    """
    return _METRICS[name](targets, outputs)


def labels_of(outputs: Outputs) -> NDArray[np.intp]:
    """Return the class that each network answers, [models, rows]."""
    if outputs.shape[2] == 1:
        return (outputs[:, :, 0] > 0.5).astype(np.intp)
    return np.asarray(outputs.argmax(axis=2))


def _mean_of(by_row: NDArray[np.float64]) -> Metric:
    """Return the metric that is the mean of a value of each row, [models, rows]."""
    return lambda rows: np.asarray(by_row[:, rows].mean(axis=1))


def _loss(targets: NDArray[Any], outputs: Outputs) -> Metric:
    if outputs.shape[2] == 1:
        of_target = np.where(targets == 1, outputs[:, :, 0], 1 - outputs[:, :, 0])
    else:
        of_target = outputs[:, np.arange(len(targets)), targets.astype(np.intp)]
    return _mean_of(-np.log(np.clip(of_target, EPSILON, 1 - EPSILON)))


def _accuracy(targets: NDArray[Any], outputs: Outputs) -> Metric:
    return _mean_of((labels_of(outputs) == targets).astype(float))


def _mse(targets: NDArray[Any], outputs: Outputs) -> Metric:
    return _mean_of((outputs[:, :, 0] - targets) ** 2)


def _mae(targets: NDArray[Any], outputs: Outputs) -> Metric:
    return _mean_of(np.abs(outputs[:, :, 0] - targets))


def _r2(targets: NDArray[Any], outputs: Outputs) -> Metric:
    squares = (outputs[:, :, 0] - targets) ** 2

    def score(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        spread = float(np.var(targets[rows]))
        return 1 - squares[:, rows].mean(axis=1) / spread if spread > 0 else np.full(len(squares), np.nan)

    return score


def _auc(targets: NDArray[Any], outputs: Outputs) -> Metric:
    """Return the area under the ROC curve, the mean over classes against the rest.

    It is the share of pairs of a row of the class and another one that are in the right order, ties counting half.

    References:
        Mann and Whitney, On a test of whether one of two random variables is stochastically larger, 1947.
    """
    n_models, n_rows, n_outputs = outputs.shape
    classes = [1] if n_outputs == 1 else range(n_outputs)
    is_class = np.array([targets == label for label in classes])  # [classes, rows]
    ties = [[_ties(outputs[model, :, column]) for column in range(n_outputs)] for model in range(n_models)]

    def score(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        counts = np.bincount(rows, minlength=n_rows)
        inside = is_class * counts
        usable = [c for c, n in enumerate(inside.sum(axis=1)) if 0 < n < len(rows)]
        if not usable:
            return np.full(n_models, np.nan)
        areas = [[_area(of_model[c], inside[c], counts) for c in usable] for of_model in ties]
        return np.asarray(np.mean(areas, axis=1))

    return score


#: Rows in the order of their values, and where each run of equal values starts.
_Ties = tuple[NDArray[np.intp], NDArray[np.intp]]


def _ties(values: NDArray[np.float64]) -> _Ties:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    return order, np.flatnonzero(np.append(True, ordered[1:] > ordered[:-1]))


def _area(ties: _Ties, inside: NDArray[np.intp], counts: NDArray[np.intp]) -> float:
    order, starts = ties
    of_class = np.add.reduceat(inside[order], starts)
    others = np.add.reduceat((counts - inside)[order], starts)
    n_right = float((of_class * (others.cumsum() - others / 2)).sum())
    return n_right / (float(of_class.sum()) * float(others.sum()))


def _average_of(by_class: Callable[..., NDArray[np.float64]]) -> Callable[[NDArray[Any], Outputs], Metric]:
    """Return a metric that is averaged over the classes that occur in targets or answers.

    Args:
        by_class: Counts of right answers, of targets and of answers -> the metric of each class, [models, classes].
    """

    def metric(targets: NDArray[Any], outputs: Outputs) -> Metric:
        n_models, n_classes = len(outputs), max(2, outputs.shape[2])
        cells = targets.astype(np.intp) * n_classes + labels_of(outputs)
        cells += n_classes**2 * np.arange(n_models)[:, None]  # [models, rows]: a cell of each network's confusion

        def score(rows: NDArray[np.intp]) -> NDArray[np.float64]:
            counts = np.bincount(cells[:, rows].ravel(), minlength=n_models * n_classes**2)
            confusion = counts.reshape(n_models, n_classes, n_classes)
            n_right, n_true = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2)
            n_answered = confusion.sum(axis=1)
            values = by_class(n_right, n_true, n_answered)
            return np.asarray(values.sum(axis=1) / (n_true + n_answered > 0).sum(axis=1))

        return score

    return metric


def _share(n: NDArray[np.intp], of: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.divide(n, of, out=np.zeros(n.shape), where=of > 0)


_METRICS: Final[Mapping[str, Callable[[NDArray[Any], Outputs], Metric]]] = {
    "loss": _loss,
    "accuracy": _accuracy,
    "auc": _auc,
    "f1": _average_of(lambda n_right, n_true, n_answered: _share(2 * n_right, n_true + n_answered)),
    "precision": _average_of(lambda n_right, _, n_answered: _share(n_right, n_answered)),
    "recall": _average_of(lambda n_right, n_true, _: _share(n_right, n_true)),
    "mse": _mse,
    "mae": _mae,
    "r2": _r2,
}
