"""Whether one candidate is better than another, in the next repeat and on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from dnnsweep.statistics.intervals import CONFIDENCE, Interval
from dnnsweep.statistics.paired_scores import Scores, averageable, difference

#: The probability of outperformance from which on a difference matters (Bouthillier et al. recommend it).
MEANINGFUL: Final = 0.75
N_RESAMPLES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Outperformance:
    """How often one candidate is better than another in a block.

    Args:
        probability: P(A > B), the share of blocks in which it is better; ties count half.
        interval: Where that probability is plausibly, for splits and seeds like those of the blocks.
    """

    probability: float
    interval: Interval

    @property
    def is_tied(self) -> bool:
        """Whether the difference is too small to matter."""
        return self.probability < MEANINGFUL

    @property
    def is_better(self) -> bool:
        """Whether the first one is better: by enough to matter, and not plausibly by luck."""
        return not self.is_tied and self.interval.low > 0.5


def outperformance(one: Scores, other: Scores, confidence: float = CONFIDENCE) -> Outperformance:
    """Return how often one candidate is better than another.

    The interval is Clopper and Pearson's. A bootstrap over the blocks, as in the paper, would call three wins out of
    three certain.

    Args:
        one: Scores of the first candidate, block by block.
        other: Scores of the second one in the same blocks. Blocks that one of them lacks (NaN) are left out.
        confidence: How often the interval is to hold the truth.

    Raises:
        ValueError: They have no block in common.

    References:
        Bouthillier et al., Accounting for variance in machine learning benchmarks, MLSys 2021 (arXiv 2103.03098).

    Example:
        >>> outperformance(np.array([3.0, 3.0, 1.0, 1.0]), np.array([2.0, 2.0, 1.0, 2.0])).probability
        0.625
    """
    differences = difference(one, other)
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    if n == 0:
        raise ValueError("two candidates must have a block in common to be compared")
    n_won = float((differences > 0).sum() + 0.5 * (differences == 0).sum())
    return Outperformance(n_won / n, _exact_interval(n_won, n, confidence))


def _exact_interval(n_won: float, n: int, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low = float(betaincinv(n_won, n - n_won + 1, tail)) if n_won > 0 else 0.0
    high = float(betaincinv(n_won + 1, n - n_won, 1 - tail)) if n_won < n else 1.0
    return Interval(low, high)


def is_better_than_baseline(winner: int, baseline: int, scores: Scores) -> bool:
    """Return whether the winner is another one than the baseline, and better.

    Where it is not, the first sentence of an answer is "no better than the baseline".

    Args:
        winner: The winner's row.
        baseline: The baseline's row.
        scores: All candidates and blocks.
    """
    return winner != baseline and outperformance(scores[winner], scores[baseline]).is_better


def p_best(scores: Scores, winner: int, seed: int, n_resamples: int = N_RESAMPLES) -> NDArray[np.float64]:
    """Return for each candidate how often it is the best when the blocks are drawn again.

    Each resample draws as many blocks with replacement. Candidates are compared by their mean difference to the winner
    in the blocks drawn that they have; a candidate without one of them is not the best. Equal ones share a resample.

    Args:
        scores: All candidates and blocks; NaN where a candidate had left.
        winner: A candidate that has all blocks.
        seed: Where the resamples start. The same one gives the same answer.
        n_resamples: How many resamples are drawn.

    Example:
        >>> p_best(np.array([[3.0, 1.0], [2.0, 2.0]]), winner=0, seed=0).round(1)
        array([0.5, 0.5])
    """
    usable = averageable(scores)
    differences = usable - usable[winner]
    is_run = ~np.isnan(differences)
    n_blocks = scores.shape[1]
    counts = np.random.default_rng(seed).multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), n_resamples)
    totals, n_drawn = counts @ np.where(is_run, differences, 0.0).T, counts @ is_run.T
    means = np.divide(totals, n_drawn, out=np.full_like(totals, -np.inf), where=n_drawn > 0)
    is_first = np.isclose(means, means.max(axis=1, keepdims=True), rtol=0, atol=1e-12)
    return np.asarray((is_first / is_first.sum(axis=1, keepdims=True)).mean(axis=0))
