"""How much work a function does, counted and not timed: a clock says more about the machine than about the code."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable

#: What the largest files of ten thousand entries may take, a few hundred calls for each; anything quadratic takes more.
MAX_CALLS = 9_000_000


def n_calls(function: Callable[[], object]) -> int:
    """Return how many functions were called, built-in ones too."""
    profile = cProfile.Profile()
    profile.runcall(function)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]
