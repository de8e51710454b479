"""A Gaussian process: what trials say about points that were not tried.

The covariance of two points is Matern's with smoothness 5/2 and a length scale for each group of coordinates,

    k(x, z) = s^2 (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r),    r^2 = sum over groups g of |x_g - z_g|^2 / l_g^2,

and each observation has noise of variance n^2. Values are standardized, and s, n and all l_g maximize the posterior
density under log-normal priors. These keep a process that has seen little from being sure.

References:
    Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006: algorithm 2.1 and equation 5.9.
    Hvarfner, Hellsten & Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions, 2024 (arXiv
        2402.02229): length scales that grow with the number of dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float64]

#: Mean and standard deviation of the logarithms of signal and noise variances, and of length scales.
SIGNAL: Final = (0.0, 1.0)
NOISE: Final = (math.log(0.05), 2.0)
LENGTH: Final = (math.log(0.7), 1.0)
#: Logarithms between which each of them is sought.
BOUNDS: Final = (-14.0, 7.0)
#: Added to variances, so that equal points can be told apart in floating point.
JITTER: Final = 1e-8
ROOT_5: Final = math.sqrt(5)


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A process that has seen some points.

    Args:
        noise: Standard deviation of an observation about the process, in units of the values.
        points: Coordinates of the points, [points, coordinates].
        groups: The group of each coordinate, from 0.
        shift: Mean of the values.
        scale: Standard deviation of the values.
        log_parameters: Logarithms of signal and noise variance, then of the length scale of each group.
        factor: Lower Cholesky factor of the observations' covariance.
        weights: Covariance, inverted, times the standardized values.
    """

    noise: float
    points: Floats
    groups: Sequence[int]
    shift: float
    scale: float
    log_parameters: Floats
    factor: Floats
    weights: Floats

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the process, without noise, at some points."""
        signal, _, lengths = _unpacked(self.log_parameters)
        squares = _squares(points, self.points, self.groups, len(lengths))
        covariances = _matern(squares, signal, lengths)[0]  # [points, seen]
        explained = solve_triangular(self.factor, covariances.T, lower=True)
        variances = np.maximum(signal - (explained**2).sum(axis=0), 0.0)
        return self.shift + self.scale * (covariances @ self.weights), self.scale * np.sqrt(variances)


def fit_process(points: Floats, groups: Sequence[int], values: Floats) -> GaussianProcess:
    """Return the process that explains some values best.

    Args:
        points: Coordinates of each point, between 0 and 1, [points, coordinates].
        groups: The group of each coordinate, from 0; the coordinates of a group share a length scale.
        values: One value for each point; not all of them equal.

    Example:
        >>> xs = np.linspace(0, 1, 9)[:, None]
        >>> mean, _ = fit_process(xs, [0], np.sin(3 * xs[:, 0])).predict(np.array([[0.55]]))
        >>> round(float(mean[0]), 2), round(math.sin(3 * 0.55), 2)
        (1.0, 1.0)
    """
    shift, scale = float(values.mean()), float(values.std())
    standard = (values - shift) / scale
    n_groups = max(groups, default=-1) + 1
    squares, prior = _squares(points, points, groups, n_groups), _prior(n_groups)
    starts = (prior[0], prior[0] - np.array([0.0, 2.0] + [1.0] * n_groups))
    bounds = [BOUNDS] * len(prior[0])
    found = [
        minimize(_loss, start, (squares, standard, prior), "L-BFGS-B", jac=True, bounds=bounds) for start in starts
    ]
    best = np.asarray(min(found, key=lambda one: float(one.fun)).x)
    signal, noise, lengths = _unpacked(best)
    covariance = _matern(squares, signal, lengths)[0] + (noise + JITTER) * np.eye(len(values))
    factor = np.asarray(np.linalg.cholesky(covariance), np.float64)
    weights = np.asarray(cho_solve((factor, True), standard))
    return GaussianProcess(scale * math.sqrt(noise), points, groups, shift, scale, best, factor, weights)


def _prior(n_groups: int) -> tuple[Floats, Floats]:
    """Return means and standard deviations of the logarithms of all parameters."""
    length = LENGTH[0] + math.log(max(n_groups, 1)) / 2
    means, deviations = zip(SIGNAL, NOISE, *[(length, LENGTH[1])] * n_groups, strict=True)
    return np.array(means), np.array(deviations)


def _unpacked(log_parameters: Floats) -> tuple[float, float, Floats]:
    signal, noise, *lengths = np.exp(log_parameters)
    return float(signal), float(noise), np.array(lengths)


def _squares(ones: Floats, others: Floats, groups: Sequence[int], n_groups: int) -> Floats:
    """Return the squared distances of points in each group, [groups, ones, others]."""
    squares = np.zeros((n_groups, len(ones), len(others)))
    for column, group in enumerate(groups):
        squares[group] += (ones[:, column, None] - others[None, :, column]) ** 2
    return squares


def _matern(squares: Floats, signal: float, lengths: Floats) -> tuple[Floats, Floats]:
    """Return the covariance, and what its derivative by the logarithm of each length has in common."""
    distances = np.sqrt(np.tensordot(lengths**-2.0, squares, axes=1))
    decay = signal * np.exp(-ROOT_5 * distances)
    return decay * (1 + ROOT_5 * distances + 5 / 3 * distances**2), decay * 5 / 3 * (1 + ROOT_5 * distances)


def _loss(
    log_parameters: Floats, squares: Floats, values: Floats, prior: tuple[Floats, Floats]
) -> tuple[float, Floats]:
    """Return the negative logarithm of the posterior density, up to a constant, and its gradient."""
    signal, noise, lengths = _unpacked(log_parameters)
    covariance, slope = _matern(squares, signal, lengths)
    factor = cho_factor(covariance + (noise + JITTER) * np.eye(len(values)), lower=True)
    weights = cho_solve(factor, values)
    inner = cho_solve(factor, np.eye(len(values))) - np.outer(weights, weights)  # twice the gradient by the covariance
    by_lengths = np.tensordot(squares, inner * slope, axes=2) * lengths**-2.0
    gradient = np.concatenate([[np.sum(inner * covariance), noise * np.trace(inner)], by_lengths]) / 2
    means, deviations = prior
    standard = (log_parameters - means) / deviations
    loss = values @ weights / 2 + np.log(np.diag(factor[0])).sum() + standard @ standard / 2
    return float(loss), gradient + standard / deviations
