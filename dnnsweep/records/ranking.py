"""Which of two trials is the better one, which trials no other beats, and which is good enough."""

from __future__ import annotations

import math
from collections.abc import Iterable

#: A trial's objective; with two objectives a tuple of both.
Value = float | tuple[float, ...]

#: What trials are ordered by, best first: the objectives as costs, then `val_loss`, then the number.
Rank = tuple[float, ...]


def values_of(value: Value) -> tuple[float, ...]:
    """Return the values of all objectives."""
    return value if isinstance(value, tuple) else (value,)


def rank(value: Value, val_loss: float | None, number: int, *directions: str) -> Rank:
    """Return what a complete trial is ordered by.

    Args:
        value: Its objective, or both.
        val_loss: At its best epoch; none ranks behind all others of equal value.
        number: The trial's.
        directions: `maximize` or `minimize`, of each objective.

    Example:
        >>> rank(0.9, 0.2, 7, "maximize") < rank(0.8, 0.1, 3, "maximize")
        True
    """
    pairs = zip(values_of(value), directions, strict=True)
    costs = (-one if direction == "maximize" else one for one, direction in pairs)
    return (*costs, math.inf if val_loss is None else val_loss, number)


def beats(one: Rank, other: Rank) -> bool:
    """Return whether a trial leaves no reason to take another.

    With one objective it ranks before it. With two it is nowhere worse and somewhere better, which many trials are
    not to each other; trials that are equal in both do not beat each other.

    Example:
        >>> beats((0.1, 500, 0.3, 0), (0.2, 900, 0.1, 1)), beats((0.1, 500, 0.3, 0), (0.2, 400, 0.1, 1))
        (True, False)
    """
    mine, others = one[:-2], other[:-2]
    if len(mine) == 1:
        return one < other
    return mine != others and all(here <= there for here, there in zip(mine, others, strict=True))


def pareto_front(ranks: Iterable[Rank]) -> list[Rank]:
    """Return the ranks that no other beats, best first in the first objective.

    With one objective that is the best one; with two it is the Pareto front.

    Args:
        ranks: Of finite numbers, of at most two objectives.

    Example:
        >>> pareto_front([(3.0, 1.0, 0.5, 0), (2.0, 2.0, 0.5, 1), (3.0, 2.0, 0.5, 2), (2.0, 2.0, 0.4, 3)])
        [(2.0, 2.0, 0.4, 3), (2.0, 2.0, 0.5, 1), (3.0, 1.0, 0.5, 0)]

    References:
        Kung, Luccio & Preparata, On finding the maxima of a set of vectors, 1975.
    """
    found: list[Rank] = []
    for each in sorted(ranks):  # whatever beats it came before it, and the last one found is the best in the second
        if not found or not beats(found[-1], each):
            found.append(each)
    return found


def reaches_target(value: float | None, target: float | None, direction: str) -> bool:
    """Return whether a value is as good as a target; never where one of them is None.

    Example:
        >>> reaches_target(0.97, 0.95, "maximize"), reaches_target(0.97, 0.95, "minimize")
        (True, False)
    """
    if value is None or target is None:
        return False
    return value >= target if direction == "maximize" else value <= target
