"""Ratios and their spread; straight lines."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """What a number of trials costs: a part for the start, and a part for each."""

    fixed: float
    per_trial: float

    @classmethod
    def through(cls, few: tuple[int, float], many: tuple[int, float]) -> Line:
        """Return the line through the seconds of two numbers of trials.

        Example:
            >>> Line.through((2, 12.0), (6, 20.0))
            Line(fixed=8.0, per_trial=2.0)
        """
        per_trial = (many[1] - few[1]) / (many[0] - few[0])
        return cls(few[1] - few[0] * per_trial, per_trial)

    def at(self, n_trials: int) -> float:
        """Return what so many trials cost.

        Example:
            >>> Line(fixed=8.0, per_trial=2.0).at(100)
            208.0
        """
        return self.fixed + n_trials * self.per_trial


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the median and, behind it, the smallest and largest value.

    Example:
        >>> spread([2.0, 1.0, 4.0])
        '2 [1, 4]'
        >>> spread([1234.5])
        '1230 [1230, 1230]'
    """
    return "{} [{}, {}]".format(
        *(_shown(value, digits) for value in (statistics.median(values), min(values), max(values)))
    )


def _shown(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text else text


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Return how many times faster, repetition by repetition.

    Example:
        >>> ratios([10.0, 12.0], [1.0, 2.0])
        [10.0, 6.0]
    """
    return [a / b for a, b in zip(slow, fast, strict=True)]


def verdict(values: Sequence[float], goal: float, *, is_limit: bool = False) -> str:
    """Return a goal and whether the median meets it.

    Args:
        values: One of each repetition.
        goal: What they should be at least.
        is_limit: Whether it is what they should be at most.

    Example:
        >>> verdict([24.0, 26.0, 31.0], 25)
        '25: met'
        >>> verdict([24.0, 26.0, 31.0], 25, is_limit=True)
        'at most 25: missed'
    """
    middle = statistics.median(values)
    is_met = middle <= goal if is_limit else middle >= goal
    return f"{'at most ' if is_limit else ''}{goal:g}: {'met' if is_met else 'missed'}"
