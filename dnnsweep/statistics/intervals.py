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


def around(centre: float, reach: float) -> Interval:
    """Return the interval with a centre and a reach to each side."""
    return Interval(centre - reach, centre + reach)
