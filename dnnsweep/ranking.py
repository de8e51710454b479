"""Which of two trials is the better one, and which is good enough."""

from __future__ import annotations

import math

#: What trials are ordered by, best first: the value as a cost, then `val_loss`, then the number.
Rank = tuple[float, float, int]


def rank(value: float, val_loss: float | None, number: int, direction: str) -> Rank:
    """Return what a complete trial is ordered by.

    Args:
        value: Its objective.
        val_loss: At its best epoch; none ranks behind all others of equal value.
        number: The trial's.
        direction: `maximize` or `minimize`.

    Example:
        >>> rank(0.9, 0.2, 7, "maximize") < rank(0.8, 0.1, 3, "maximize")
        True
    """
    return (-value if direction == "maximize" else value), (math.inf if val_loss is None else val_loss), number


def is_as_good(value: float | None, target: float | None, direction: str) -> bool:
    """Return whether a value is as good as a target; never where one of them is None.

    Example:
        >>> is_as_good(0.97, 0.95, "maximize"), is_as_good(0.97, 0.95, "minimize")
        (True, False)
    """
    if value is None or target is None:
        return False
    return value >= target if direction == "maximize" else value <= target
