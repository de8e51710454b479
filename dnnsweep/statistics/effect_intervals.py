"""Intervals of effects over blocks: for each player alone, and for all players at once.

Ten blocks tell the spread of one effect badly, and t quantiles pay for that. But the effects of all players are
averages of the same trainings, so that their spreads tend to be alike. Empirical Bayes uses that: the variance of each
effect is drawn towards what is usual among the players, by as much as their variances agree,

    v_i = (d_0 v_0 + d s_i^2) / (d_0 + d),    d = blocks - 1,

with d_0 and v_0 fitted to the logarithms of all s_i^2, and t quantiles at d_0 + d degrees of freedom. Simultaneous
intervals use v_i, or s_i^2 where that is larger: a player that varies much more than the others is not taken for one of
them. The interval of one effect is the plain t interval, and no simultaneous one is shorter.

References:
    Smyth, Linear models and empirical Bayes methods for assessing differential expression, Statistical Applications in
        Genetics and Molecular Biology 3, 2004, sections 3 and 6.
    Hothorn, Bretz & Westfall, Simultaneous inference in general parametric models, Biometrical Journal 50, 2008: max-t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from dnnsweep.statistics.intervals import CONFIDENCE, Interval, around, mean_interval

N_DRAWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one player.

    Args:
        mean: The mean over blocks.
        interval: The interval of this effect if it were the only one that is looked at.
        simultaneous: The interval that holds together with those of all other players.
    """

    mean: float
    interval: Interval
    simultaneous: Interval

    @property
    def is_seen(self) -> bool:
        """Whether the effect is told from none, with all players looked at."""
        return not self.simultaneous.covers(0.0)


def effect_intervals(effects: NDArray[np.float64], seed: int, confidence: float = CONFIDENCE) -> list[Effect]:
    """Return the effect of each player with its intervals.

    Args:
        effects: Effect of each player in each block, [blocks, players], at least two blocks.
        seed: Where the simulation of the simultaneous intervals starts.
        confidence: How often an interval, or all simultaneous ones together, are to hold the truth.

    Raises:
        ValueError: There are fewer than two blocks.
    """
    n_blocks = len(effects)
    if n_blocks < 2:
        raise ValueError(f"intervals of effects must have at least two blocks; got {n_blocks}")
    own = effects.var(axis=0, ddof=1)
    spread = moderated(own, n_blocks - 1)
    quantile = max_t_quantile(effects, spread.degrees_of_freedom, seed, confidence)
    reaches = (quantile * np.sqrt(np.maximum(spread.variances, own) / n_blocks)).tolist()
    return [_effect(values, reach, confidence) for values, reach in zip(effects.T, reaches, strict=True)]


def _effect(values: NDArray[np.float64], reach: float, confidence: float) -> Effect:
    mean, alone = float(values.mean()), mean_interval(values, confidence=confidence)
    return Effect(mean, alone, around(mean, max(reach, alone.high - mean)))


class Spread(NamedTuple):
    """Variances of effects, and how well they are known."""

    variances: NDArray[np.float64]
    degrees_of_freedom: float


def moderated(variances: NDArray[np.float64], degrees_of_freedom: int) -> Spread:
    """Return variances that borrow from each other.

    A variance of exactly 0 stays, and gives nothing: that player changes nothing in any block.

    Args:
        variances: Sample variance of each player.
        degrees_of_freedom: How well each of them is known.

    Returns:
        The variances. Together they know no more than the sum of what they know alone, which bounds the degrees of
        freedom.
    """
    is_positive = variances > 0
    known, own = variances[is_positive], degrees_of_freedom
    if len(known) < 2:
        return Spread(variances, own)
    logs = np.log(known) - digamma(own / 2) + math.log(own / 2)
    usual, excess = float(logs.mean()), float(logs.var(ddof=1) - polygamma(1, own / 2))
    if excess <= 0:  # they differ no more than by chance
        return Spread(np.where(is_positive, math.exp(usual), 0.0), own * len(known))
    prior = 2 * _inverse_trigamma(excess)
    centre = math.exp(usual + float(digamma(prior / 2)) - math.log(prior / 2))
    borrowed = np.where(is_positive, (prior * centre + own * variances) / (prior + own), 0.0)
    return Spread(borrowed, min(prior + own, own * len(known)))


def _inverse_trigamma(value: float) -> float:
    """Return where the trigamma function has a value, by Newton's method as in Smyth's appendix."""
    found = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, found))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, found))
        found += step
        if abs(step) < 1e-9 * found:
            break
    return found


def max_t_quantile(
    effects: NDArray[np.float64],
    degrees_of_freedom: float,
    seed: int,
    confidence: float = CONFIDENCE,
    n_draws: int = N_DRAWS,
) -> float:
    """Return how many standard errors simultaneous intervals reach to each side.

    It is the quantile of the largest |t| of all players, simulated with the correlations of their effects. Resampling
    the blocks themselves instead gives intervals that are too short, because their spread is taken for the true one.

    Args:
        effects: Effect of each player in each block, [blocks, players].
        degrees_of_freedom: How well the variances are known.
        seed: Where the draws start.
        confidence: How often all intervals together are to hold the truth.
        n_draws: How often the largest |t| is drawn.

    Returns:
        0 if no player has a spread.
    """
    varying = effects[:, effects.std(axis=0) > 0]
    n_players = varying.shape[1]
    if n_players == 0:
        return 0.0
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((n_draws, n_players)) @ _root(np.atleast_2d(np.corrcoef(varying.T)))
    variances = rng.chisquare(degrees_of_freedom, (n_draws, n_players)) / degrees_of_freedom
    return float(np.quantile((np.abs(draws) / np.sqrt(variances)).max(axis=1), confidence))


def _root(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric square root; correlations of few blocks have no Cholesky factor."""
    values, vectors = np.linalg.eigh(correlations)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)
