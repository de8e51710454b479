"""Intervals of a test score: of *this model*, from the test rows, and of *this recipe*, from seeds and rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from dnnsweep.statistics.intervals import CONFIDENCE, Interval, around, t_quantile

#: Resamples of rows. A standard error of so many is known to 3 %.
N_RESAMPLES: Final = 500

#: Rows (indices, with repetitions) -> the score of each model on them, [models].
Metric = Callable[[NDArray[np.intp]], NDArray[np.float64]]


def wilson(n_correct: float, n_rows: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of one model's accuracy.

    References:
        Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.

    Example:
        >>> [round(end, 4) for end in wilson(81, 263, confidence=0.95)]
        [0.2553, 0.3662]
    """
    z = float(ndtri((1 + confidence) / 2))
    share, scale = n_correct / n_rows, 1 + z * z / n_rows
    reach = z / scale * math.sqrt(share * (1 - share) / n_rows + (z / (2 * n_rows)) ** 2)
    return around((share + z * z / (2 * n_rows)) / scale, reach)


def model_interval(
    metric: Metric, n_rows: int, seed: int, *, is_loss: bool = False, confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of one model's score, by a bootstrap over the test rows.

    It reaches t quantiles of the bootstrap's standard error to each side; percentiles of the bootstrap would be too
    short for few rows.

    Args:
        metric: The metric of one model.
        n_rows: How many test rows there are, at least two.
        seed: Where the resamples start.
        is_loss: Whether the metric is positive and without a largest value, such as a loss or a mean absolute error.
            Its interval is symmetric on a logarithmic scale, because the errors of large losses are larger.
        confidence: How often the interval is to hold the truth.
    """
    (score,) = metric(np.arange(n_rows))
    error = math.sqrt(_rows_variance(_resampled(metric, n_rows, seed)[:, 0], n_rows))
    return _interval(float(score), t_quantile(n_rows - 1, confidence) * error, is_loss=is_loss)


def recipe_interval(
    metric: Metric, n_rows: int, seed: int, *, is_loss: bool = False, confidence: float = CONFIDENCE
) -> Interval:
    """Return the interval of a recipe's mean score: other seeds, other test rows, the same development rows.

    A two-way bootstrap takes the spread of the ten seeds for the true one, and is too short where seeds matter. So the
    variance is a sum of components, of seeds and of rows, with their interaction counted once, and the quantile is that
    of t at Satterthwaite's degrees of freedom.

    Args:
        metric: The metric of each model, one for each seed, at least two.
        n_rows: How many test rows there are, at least two.
        seed: Where the resamples start.
        is_loss: Whether the metric is positive and without a largest value, such as a loss or a mean absolute error.
        confidence: How often the interval is to hold the truth.

    References:
        Satterthwaite, An approximate distribution of estimates of variance components, 1946.
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007: what a two-way bootstrap estimates.
    """
    scores, resampled = metric(np.arange(n_rows)), _resampled(metric, n_rows, seed)
    n_seeds, means = len(scores), resampled.mean(axis=1)
    variances = Variances(
        of_seeds=float(scores.var(ddof=1)) / n_seeds,
        of_rows=float(_rows_variance(means, n_rows)),
        shared=float(_rows_variance(resampled - means[:, None], n_rows).sum()) / (n_seeds - 1) / n_seeds,
    )
    return _interval(float(scores.mean()), variances.reach(n_seeds, n_rows, confidence), is_loss=is_loss)


def recipe_accuracy(is_correct: NDArray[np.bool_], confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of a recipe's mean accuracy: another seed, other test rows, the same development rows.

    Like `recipe_interval`, but exact sums replace the bootstrap, and z^2 / 4 rows that all models get right and as many
    that all get wrong are added, after Agresti and Coull. Without them a recipe without a mistake would be certain.

    Args:
        is_correct: Whether a model is right, [seeds, rows], at least two seeds.
        confidence: How often the interval is to hold the truth.

    References:
        Agresti & Coull, Approximate is better than "exact" for interval estimation of binomial proportions, 1998.

    Example:
        >>> low, high = recipe_accuracy(np.ones((10, 36), dtype=bool))
        >>> round(low, 2), high
        (0.94, 1.0)
    """
    n_seeds, n_rows = is_correct.shape
    seeds, rows = is_correct.mean(axis=1), is_correct.mean(axis=0)
    n_added = float(ndtri((1 + confidence) / 2)) ** 2 / 4
    n = n_rows + 2 * n_added
    centre = (rows.sum() + n_added) / n
    squares = ((rows - centre) ** 2).sum() + n_added * (centre**2 + (1 - centre) ** 2)
    residuals = is_correct - seeds[:, None] - rows + rows.mean()
    variances = Variances(
        of_seeds=float(seeds.var(ddof=1)) / n_seeds,
        of_rows=float(squares) / (n * (n - 1)),
        shared=float((residuals**2).sum()) / ((n_seeds - 1) * (n_rows - 1) * n_seeds * n_rows),
    )
    low, high = around(float(centre), variances.reach(n_seeds, n_rows, confidence))
    return Interval(max(low, 0.0), min(high, 1.0))


class Variances(NamedTuple):
    """Components of the variance of a mean score over seeds and rows.

    Args:
        of_seeds: The part that more seeds would make smaller.
        of_rows: The part that more rows would make smaller.
        shared: The interaction of seeds and rows, which both parts contain.
    """

    of_seeds: float
    of_rows: float
    shared: float

    def reach(self, n_seeds: int, n_rows: int, confidence: float) -> float:
        """Return how far an interval reaches to each side."""
        total = self.of_seeds + self.of_rows
        if total == 0:
            return 0.0
        variance = max(total - self.shared, self.of_seeds, self.of_rows)
        degrees_of_freedom = total**2 / (self.of_seeds**2 / (n_seeds - 1) + self.of_rows**2 / (n_rows - 1))
        return t_quantile(degrees_of_freedom, confidence) * math.sqrt(variance)


def _resampled(metric: Metric, n_rows: int, seed: int) -> NDArray[np.float64]:
    """Return the score of each model on resamples, [resamples, models], without those that have none.

    A resample without rows of a class has no AUC, for example.
    """
    rng = np.random.default_rng(seed)
    resampled = np.array([metric(rng.integers(0, n_rows, n_rows)) for _ in range(N_RESAMPLES)])
    return np.asarray(resampled[np.isfinite(resampled).all(axis=1)])


def _rows_variance(resampled: NDArray[np.float64], n_rows: int) -> NDArray[np.float64]:
    return np.asarray(resampled.var(axis=0) * n_rows / (n_rows - 1))  # a bootstrap divides by n


def _interval(score: float, reach: float, *, is_loss: bool) -> Interval:
    if is_loss and score > 0:
        return Interval(score * math.exp(-reach / score), score * math.exp(reach / score))
    return around(score, reach)
