"""Sizes that follow from the budget: the window W, and the population of NSGA-II."""

from __future__ import annotations

import math
from typing import Final

MIN_WINDOW: Final = 4
MAX_WINDOW: Final = 64
MIN_POPULATION: Final = 8
MAX_POPULATION: Final = 50


def window(n_trials: int) -> int:
    """Return how many suggestions may be ahead of the results told: an eighth of the budget, from 4 to 64.

    It is small enough that most suggestions know most results, and large enough to keep several trainers busy. It
    depends on the budget alone, so that the same file gives the same trials wherever it runs.

    Example:
        >>> window(30), window(100), window(5000)
        (4, 13, 64)
    """
    return min(max(MIN_WINDOW, math.ceil(n_trials / 8)), MAX_WINDOW)


def population(n_trials: int) -> int:
    """Return the size of a generation of NSGA-II: a fifth of the budget, from 8 to 50 trials.

    Fewer trials would be too much alike to breed from, and more would leave too few generations.

    Example:
        >>> population(30), population(100), population(5000)
        (8, 20, 50)
    """
    return min(max(MIN_POPULATION, math.ceil(n_trials / 5)), MAX_POPULATION)
