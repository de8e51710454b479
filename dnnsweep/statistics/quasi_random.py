"""Quasi-random points, which fill a cube more evenly than random ones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_PRIMES: Final = (2, 3, 5, 7, 11, 13)


def halton(n_points: int, n_dimensions: int, seed: int | None = None) -> NDArray[np.float64]:
    """Return the first points of a Halton sequence, [points, dimensions], each coordinate in [0, 1).

    Args:
        n_points: How many points.
        n_dimensions: How many coordinates a point has, at most six.
        seed: What a shift of all points (modulo 1) is drawn from; None shifts nothing.

    References:
        Halton, On the efficiency of certain quasi-random sequences of points, Numerische Mathematik 2, 1960.
        Cranley & Patterson, Randomization of number theoretic methods for multiple integration, 1976: the shift.

    Example:
        >>> halton(3, 2).round(3).tolist()
        [[0.0, 0.0], [0.5, 0.333], [0.25, 0.667]]
    """
    columns = [[_radical_inverse(index, base) for index in range(n_points)] for base in _PRIMES[:n_dimensions]]
    points = np.array(columns).reshape(n_dimensions, n_points).T
    shift = np.zeros(n_dimensions) if seed is None else np.random.default_rng(seed).random(n_dimensions)
    return np.asarray((points + shift) % 1.0)


def _radical_inverse(index: int, base: int) -> float:
    """Return the number whose digits behind the point are those of an index in reverse."""
    inverse, weight = 0.0, 1.0 / base
    while index:
        index, digit = divmod(index, base)
        inverse += digit * weight
        weight /= base
    return inverse
