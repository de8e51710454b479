"""Scores of validation rows by scikit-learn: what every other way to compute them is held to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from dnnsweep.records import CLASS_SCORES, SCORE_DECIMALS


def scores(names: Collection[str], y: NDArray[Any], answers: NDArray[Any]) -> dict[str, float]:
    """Return scores of a network's answers.

    Args:
        names: Names of scores, from `records.scores_for`.
        y: Class indices (rows,).
        answers: Probabilities (rows, classes), or (rows, 1) of the second of two classes.

    Returns:
        Name -> score; NaN where there is none, because an answer is not finite or all rows are of one class.

    Example:
        >>> scores(["val_auc", "val_recall"], np.array([0, 1, 1]), np.array([[0.4], [0.3], [0.8]]))
        {'val_auc': 0.5, 'val_recall': 0.75}
    """
    if not np.isfinite(answers).all():
        return dict.fromkeys(names, float("nan"))
    is_binary = answers.shape[1] == 1
    labels = (answers[:, 0] > 0.5).astype(y.dtype) if is_binary else answers.argmax(axis=1)

    def score(name: str) -> float:
        if name == "val_auc":
            return _auc(y, answers)
        class_score = CLASS_SCORES[name]
        return float(getattr(metrics, class_score.function)(y, labels, **class_score.options))

    return {name: round(score(name), SCORE_DECIMALS) for name in names}


def _auc(y: NDArray[Any], answers: NDArray[Any]) -> float:
    """Return the mean area under the ROC curve over the classes that some rows belong to and others do not."""
    if answers.shape[1] == 1:
        return float(metrics.roc_auc_score(y, answers[:, 0])) if len(np.unique(y)) == 2 else float("nan")
    areas = [metrics.roc_auc_score(y == label, answers[:, label]) for label in np.unique(y) if (y != label).any()]
    return float(np.mean(areas)) if areas else float("nan")
