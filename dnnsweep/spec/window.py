"""The window W: how many suggestions may be ahead of the results told to the sampler."""

from __future__ import annotations

import math
from typing import Final

MIN_WINDOW: Final = 4
MAX_WINDOW: Final = 64


def window(n_trials: int) -> int:
    """Return how many suggestions may be ahead of the results told: an eighth of the budget, from 4 to 64.

    Small enough that most suggestions know most results, large enough to keep several trainers busy; from the
    budget alone, so that the same file gives the same trials whatever runs it.

    Example:
        >>> window(30), window(100), window(5000)
        (4, 13, 64)
    """
    return min(max(MIN_WINDOW, math.ceil(n_trials / 8)), MAX_WINDOW)
