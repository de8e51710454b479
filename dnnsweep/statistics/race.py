"""Races: candidates are repeated in paired blocks until they are told apart.

Each candidate but the leader is asked after each block whether it can still be the best. A test martingale bets
against that: for a candidate and an opponent, the stake after n blocks is

    E = mean over f of  prod over i of (1 - f x_i),    x_i = clip(d_i / s_i, -1, 1),

with d_i the candidate's score minus the opponent's in block i, s_i the root mean square of d_1 to d_i, and the
fractions f of `FRACTIONS`. If the candidate is the best, d_i is symmetric about a value of at least zero, x_i has the
sign of d_i and grows with it, so no factor has an expectation above 1. The candidate leaves when the mean of E over its
opponents reaches 1 / level. By Ville's inequality that happens to the best one with a probability of at most `level` in
the whole race, however often one looks and however many candidates there are. Neither normality nor a number of blocks
is assumed, and three equal differences in a row prove nothing, other than in a t test.

References:
    Ramdas, Ruf, Larsson & Koolen, Admissible anytime-valid sequential inference must rely on nonnegative martingales,
        2020 (arXiv 2009.03167): test martingales for symmetry.
    Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS B, 2024 (arXiv 2010.09686).
    Vovk & Wang, E-values: calibration, combination and applications, Annals of Statistics, 2021: means of e-values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnsweep.statistics.paired_scores import Scores, averageable, difference

LEVEL: Final = 0.05
#: Full blocks before a candidate may leave.
MIN_BLOCKS: Final = 3
#: Shares of the stake that are bet; below 1, so that one block never ends a bet for good.
FRACTIONS: Final = np.array([0.2, 0.4, 0.6, 0.8, 0.95])


@dataclass(frozen=True, slots=True)
class Race:
    """How a race stands.

    Args:
        live: The candidates that are still in it, in their order.
        leader: The live candidate with the best mean, or mean rank if a repeat of a live candidate diverged.
        left_after: Candidate -> the number of blocks after which it left.
        is_over: Whether no other block is needed.
    """

    live: tuple[int, ...]
    leader: int
    left_after: dict[int, int]
    is_over: bool


def race(scores: Scores, max_blocks: int, level: float = LEVEL) -> Race:
    """Return how a race stands after the blocks that were run.

    It depends on the scores alone, so a race that was interrupted goes on as if it had not been.

    Args:
        scores: One row for each candidate, one column for each full block. What a candidate has scored after it left
            is not looked at.
        max_blocks: Blocks after which the race is over.
        level: The probability, at most, that the best candidate leaves.

    Raises:
        ValueError: There is no block yet, or a live candidate has no repeat in a block.

    Example:
        >>> race(np.array([[5.0] * 6, [1.0] * 6]), max_blocks=30).left_after
        {1: 6}
    """
    n_candidates, n_blocks = scores.shape
    if n_blocks == 0:
        raise ValueError("a race must have a full block before it has a leader")
    left_after, n_full = departures(scores, level)
    if n_full < n_blocks:
        raise ValueError(f"all live candidates must have a repeat in block {n_full}; got none for one of them")
    live = tuple(candidate for candidate in range(n_candidates) if candidate not in left_after)
    is_over = n_blocks >= max_blocks or (len(live) == 1 and n_blocks >= MIN_BLOCKS)
    return Race(live, leader(scores, live), left_after, is_over)


class Departures(NamedTuple):
    """Who has left a race, as far as its blocks are full.

    Args:
        left_after: Candidate -> the number of blocks after which it left.
        n_full: Blocks before the first one in which a live candidate has no repeat yet.
    """

    left_after: dict[int, int]
    n_full: int


def departures(scores: Scores, level: float = LEVEL) -> Departures:
    """Return who has left a race whose last blocks may still run.

    Args:
        scores: One row for each candidate, one column for each block; NaN where there is no repeat yet.
        level: The probability, at most, that the best candidate leaves.
    """
    live, left_after = list(range(len(scores))), dict[int, int]()
    stakes, running = np.ones((len(scores), len(scores))), stakes_against(scores)
    for n_run in range(1, scores.shape[1] + 1):
        if np.isnan(scores[live, n_run - 1]).any():
            return Departures(left_after, n_run - 1)
        pairs = np.ix_(live, live)
        stakes[pairs] = running[*pairs, n_run - 1]  # those of who left stay as they were
        if n_run >= MIN_BLOCKS and len(live) > 1:
            for candidate in _leavers(stakes, live, leader(scores[:, :n_run], live), level):
                live.remove(candidate)
                left_after[candidate] = n_run
    return Departures(left_after, scores.shape[1])


def _leavers(stakes: NDArray[np.float64], live: Sequence[int], leads: int, level: float) -> list[int]:
    n_opponents = len(stakes) - 1
    means = (stakes.sum(1) - stakes.diagonal()) / n_opponents
    return [candidate for candidate in live if candidate != leads and means[candidate] >= 1 / level]


def leader(scores: Scores, live: Sequence[int]) -> int:
    """Return the best of the live candidates; the first of equal ones."""
    means = averageable(scores[list(live)]).mean(axis=1)
    return live[int(np.argmax(means))]


def stakes_against(scores: Scores) -> NDArray[np.float64]:
    """Return the stake against each candidate, in favour of each opponent, after each block; 1 before the first."""
    bets = _bets(difference(scores[:, None], scores[None]))  # [candidates, opponents, blocks]
    logs = [np.log1p(-fraction * bets).cumsum(axis=-1) for fraction in FRACTIONS]
    return np.asarray(np.exp(logs).mean(axis=0))


def _bets(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    is_finite = np.isfinite(differences)
    squares = np.where(is_finite, differences, 0.0) ** 2
    scales = np.sqrt(squares.cumsum(axis=-1) / np.maximum(is_finite.cumsum(axis=-1), 1))
    finite = np.divide(differences, scales, out=np.zeros_like(differences), where=is_finite & (scales > 0))
    return np.clip(np.where(is_finite, finite, np.sign(differences)), -1.0, 1.0)
