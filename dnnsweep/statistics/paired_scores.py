"""Scores of candidates in paired blocks, ready to be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: [candidates, blocks]: larger is better, -inf where a repeat diverged, NaN where none was run.
Scores = NDArray[np.float64]


def oriented(values: Sequence[Sequence[float | None]], direction: str) -> Scores:
    """Return scores of which the larger is the better.

    Args:
        values: One sequence for each candidate with its value in each block, from the first block on; None, NaN or
            infinite where the repeat diverged. A candidate that left early has a shorter sequence.
        direction: `maximize` or `minimize`.

    Example:
        >>> oriented([[0.5, None], [0.25]], "minimize")
        array([[-0.5 ,  -inf],
               [-0.25,   nan]])
    """
    sign = -1.0 if direction == "minimize" else 1.0
    scores = np.full((len(values), max(map(len, values), default=0)), np.nan)
    for row, line in zip(scores, values, strict=True):
        row[: len(line)] = [sign * value if value is not None and math.isfinite(value) else -np.inf for value in line]
    return scores


def difference(one: Scores, other: Scores) -> Scores:
    """Return by how much a candidate is better, block by block.

    A repeat that diverged is worse than each that did not, by infinitely much. Two that diverged are equal.

    Example:
        >>> difference(np.array([3.0, -np.inf, -np.inf, 1.0]), np.array([1.0, 1.0, -np.inf, np.nan]))
        array([  2., -inf,   0.,  nan])
    """
    return np.subtract(
        one, other, out=np.zeros(np.broadcast_shapes(one.shape, other.shape)), where=_is_unequal(one, other)
    )


def _is_unequal(one: Scores, other: Scores) -> NDArray[np.bool_]:
    return np.asarray(one != other)  # NaN is unequal to everything, so that it is kept


def averageable(scores: Scores) -> Scores:
    """Return scores that can be averaged: the scores, or their ranks in their blocks if a repeat diverged.

    A penalty for diverged repeats would decide the comparison by its size; ranks need none.

    Returns:
        The scores if none of them diverged. Otherwise, for each candidate and block, how many candidates of the block
        it beats, ties counting half.

    Example:
        >>> averageable(np.array([[3.0, 1.0], [2.0, -np.inf], [np.nan, 1.0]]))
        array([[1. , 1.5],
               [0. , 0. ],
               [nan, 1.5]])
    """
    if not np.isneginf(scores).any():
        return scores
    with np.errstate(invalid="ignore"):
        n_beaten = (scores[:, None] > scores[None]).sum(1) + 0.5 * ((scores[:, None] == scores[None]).sum(1) - 1)
    return np.where(np.isnan(scores), np.nan, n_beaten)


def without_divergence(scores: Scores) -> Scores:
    """Return scores in which diverged repeats have the worst score of their block that did not diverge.

    Effects are sums, which ranks cannot be. So an effect may be understated where something diverged, never overstated
    by a penalty.

    Raises:
        ValueError: All repeats of a block diverged.

    Example:
        >>> without_divergence(np.array([[3.0, 1.0], [2.0, -np.inf]]))
        array([[3., 1.],
               [2., 1.]])
    """
    worst = np.min(scores, axis=0, where=np.isfinite(scores), initial=np.inf)
    if np.isinf(worst).any():
        raise ValueError("each block must have a repeat that did not diverge; leave out the blocks without one")
    return np.where(np.isneginf(scores), worst, scores)
