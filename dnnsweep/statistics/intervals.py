"""Intervals of means."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

#: The confidence of every interval that an answer shows.
CONFIDENCE: Final = 0.90


class Interval(NamedTuple):
    """The values that are plausible."""

    low: float
    high: float

    def covers(self, value: float) -> bool:
        """Return whether a value is one of them."""
        return self.low <= value <= self.high


def t_quantile(degrees_of_freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return how many standard errors an interval reaches to each side.

    Example:
        >>> round(t_quantile(9), 4)
        1.8331
    """
    return float(stdtrit(degrees_of_freedom, (1 + confidence) / 2))


def mean_interval(
    values: NDArray[np.float64], n_validation: int = 0, n_training: int = 1, confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of a mean of repeats for new data of the same source.

    The variance is s^2 (1 / n + n_validation / n_training). The second term stands for the overlap of the splits: all
    of them come from the same rows, so more repeats do not make it smaller.

    Args:
        values: Values of the repeats that did not diverge.
        n_validation: Validation rows of each split. 0 gives the interval of the mean for these rows alone.
        n_training: Training rows of each split.
        confidence: How often the interval is to hold the truth.

    Returns:
        Everything, if there are fewer than two values.

    References:
        Nadeau & Bengio, Inference for the generalization error, Machine Learning 52, 2003.

    Example:
        >>> [round(end, 3) for end in mean_interval(np.array([1.0, 2.0, 3.0]), n_validation=1, n_training=4)]
        [-0.23, 4.23]
    """
    n = len(values)
    if n < 2:
        return Interval(-math.inf, math.inf)
    error = math.sqrt(float(np.var(values, ddof=1)) * (1 / n + n_validation / n_training))
    return around(float(np.mean(values)), t_quantile(n - 1, confidence) * error)


def folded_mean_interval(
    means: NDArray[np.float64],
    spreads: NDArray[np.float64],
    n_folds: int,
    n_validation: int,
    n_training: int,
) -> Interval:
    """Return the interval of a mean of repeats that are cross-validations, for new data of the same source.

    The folds of a repeat validate on all rows, so the means of repeats differ less than new data would make them. The
    variance is therefore that of all folds of all repeats, corrected for their overlap as in `mean_interval`.

    Args:
        means: Mean over the folds of each repeat that did not diverge.
        spreads: Standard deviation over the folds of each repeat, with the number of folds as divisor.
        n_folds: Folds of a repeat.
        n_validation: Validation rows of a fold. 0 gives the interval of the mean for these rows alone.
        n_training: Training rows of a fold.

    Returns:
        Everything, if there are fewer than two values.

    References:
        Bouckaert & Frank, Evaluating the replicability of significance tests for comparing learning algorithms, PAKDD
            2004: the corrected repeated k-fold test.

    Example:
        >>> folds = np.array([1.0, 2.0, 3.0])
        >>> mean, spread = folds.mean(keepdims=True), np.array([folds.std()])
        >>> folded_mean_interval(mean, spread, 3, 1, 4) == mean_interval(folds, 1, 4)
        True
    """
    n = len(means) * n_folds
    if n < 2:
        return Interval(-math.inf, math.inf)
    squares = n_folds * float((spreads**2 + (means - means.mean()) ** 2).sum())
    error = math.sqrt(squares / (n - 1) * (1 / n + n_validation / n_training))
    return around(float(means.mean()), t_quantile(n - 1) * error)


def around(centre: float, reach: float) -> Interval:
    """Return the interval with a centre and a reach to each side."""
    return Interval(centre - reach, centre + reach)
