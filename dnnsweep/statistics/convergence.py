"""What another trial is expected to gain: a bound on how much better than the best trial a point of the space may be.

A Gaussian process of the objective over the search space gives a mean m and a deviation d at each point. As costs, of
which less is better, what another trial gains is at most

    min over trials of (m + b d)  -  min over the space of (m - b d)

with b = 1. The smallest lower bound over the space is sought among points that are handed in. Makarova and others let b
grow with the number of trials, to 2.5 after a hundred: a bound that seldom fails, where this one says what to expect.
docs/stopping.md compares both on recorded tables.

Of the costs only those below the median are taken as they are. All others count as the median: how bad a bad trial was
says nothing about where the best ones are, and a loss of 1e6 would hide all differences among them. So count trials
without a value, because they were pruned or diverged. Costs that are all positive, which losses are, are described by
their logarithms: they differ by factors, and none is below 0.

References:
    Makarova et al., Automatic Termination for Hyperparameter Optimization, AutoML 2022 (arXiv 2104.08166): the bound,
        and a comparison with the noise of the best trial.
    Srinivas, Krause, Kakade & Seeger, Gaussian Process Optimization in the Bandit Setting, ICML 2010: what b must be
        for a bound that holds with a chosen probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from dnnsweep.statistics.gaussian_process import Floats, fit_process

#: Deviations between the mean and its bounds, b.
REACH: Final = 1.0
#: Trials that a process is fitted to, at most: fitting it takes a time that grows with their cube.
MAX_TRIALS: Final = 300


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be expected of another trial.

    Args:
        gain: Upper bound of what it improves on the best one; infinite where nothing is known.
        noise: Standard deviation of a cost as good as the best, as far as the process tells noise from structure.
    """

    gain: float
    noise: float


def expected_gain(
    points: Floats, groups: Sequence[int], costs: Floats, candidates: Floats, reach: float = REACH
) -> Outlook:
    """Return what is to be expected of another trial.

    Args:
        points: Coordinates of the trials in their order, [trials, coordinates].
        groups: The group of each coordinate, from 0; the coordinates of a group share a length scale.
        costs: The cost of each trial; infinite for a trial that was pruned or diverged.
        candidates: Coordinates of points that may be tried, [candidates, coordinates].
        reach: Deviations between the mean and its bounds, b.
    """
    chosen, clipped = _chosen(costs), clip_costs(costs)
    known, seen = points[chosen], clipped[chosen]
    if np.ptp(seen) == 0:
        return Outlook(math.inf, 0.0)
    is_positive = bool(seen.min() > 0)
    with threadpool_limits(1):  # more threads only wait for the cores on which trainers work
        process = fit_process(known, groups, np.log(seen) if is_positive else seen)
        mean, deviation = process.predict(np.concatenate([known, candidates]))
    upper = float((mean + reach * deviation)[: len(known)].min())
    lower = float((mean - reach * deviation).min())
    if is_positive:
        return Outlook(math.exp(upper) - math.exp(lower), process.noise * float(seen.min()))
    return Outlook(upper - lower, process.noise)


def clip_costs(costs: Floats) -> Floats:
    """Return costs of which none is above the median.

    Where half of the costs are the best one, or half are infinite, the next finite one takes the median's place.

    Example:
        >>> clip_costs(np.array([1.0, 2.0, 3.0, 9.0, np.inf])).tolist()
        [1.0, 2.0, 3.0, 3.0, 3.0]
        >>> clip_costs(np.array([1.0, 2.0, np.inf, np.inf, np.inf])).tolist()
        [1.0, 2.0, 2.0, 2.0, 2.0]
    """
    finite = costs[np.isfinite(costs)]
    middle = float(np.quantile(costs, 0.5, method="lower"))
    above_best = finite[finite > finite.min()]
    ceiling = max(middle, float(above_best.min(initial=finite.max())))
    return np.minimum(costs, min(ceiling, float(finite.max())))


def _chosen(costs: Floats) -> list[int]:
    """Return the trials to learn from: the best ones, and the newest of the others."""
    by_cost = np.argsort(costs, kind="stable").tolist()
    n_best = MAX_TRIALS * 2 // 3
    return sorted([*by_cost[:n_best], *sorted(by_cost[n_best:])[n_best - MAX_TRIALS :]])
