"""Which of two trials is better, which trials no other trial beats, and whether a trial is good enough."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

#: What trials are ordered by, best first: the objectives as costs, then `val_loss`, then the number.
Rank = tuple[float, ...]


def rank(values: Sequence[float], val_loss: float | None, number: int, *directions: str) -> Rank:
    """Return what a complete trial is ordered by.

    Args:
        values: The value of each objective.
        val_loss: The loss on the validation rows at the best epoch; trials without one rank last among equal values.
        number: The trial's number.
        directions: `maximize` or `minimize` for each objective.

    Example:
        >>> rank((0.9,), 0.2, 7, "maximize") < rank((0.8,), 0.1, 3, "maximize")
        True
    """
    pairs = zip(values, directions, strict=True)
    costs = (-value if direction == "maximize" else value for value, direction in pairs)
    return (*costs, math.inf if val_loss is None else val_loss, number)


def beats(one: Rank, other: Rank) -> bool:
    """Return whether a trial leaves no reason to take another.

    With one objective a trial beats those that rank after it. With two it beats those that it equals or betters in
    both objectives and betters in one; trials that are equal in both do not beat each other.

    Example:
        >>> beats((0.1, 500, 0.3, 0), (0.2, 900, 0.1, 1)), beats((0.1, 500, 0.3, 0), (0.2, 400, 0.1, 1))
        (True, False)
    """
    costs, other_costs = one[:-2], other[:-2]
    if len(costs) == 1:
        return one < other
    pairs = zip(costs, other_costs, strict=True)
    return costs != other_costs and all(cost <= other_cost for cost, other_cost in pairs)


def pareto_front(ranks: Iterable[Rank]) -> list[Rank]:
    """Return the ranks that no other beats, best first in the first objective.

    With one objective that is the best one; with two it is the Pareto front.

    Args:
        ranks: Ranks of complete trials, of finite numbers, with at most two objectives.

    Example:
        >>> pareto_front([(3.0, 1.0, 0.5, 0), (2.0, 2.0, 0.5, 1), (3.0, 2.0, 0.5, 2), (2.0, 2.0, 0.4, 3)])
        [(2.0, 2.0, 0.4, 3), (2.0, 2.0, 0.5, 1), (3.0, 1.0, 0.5, 0)]

    References:
        Kung, Luccio & Preparata, On finding the maxima of a set of vectors, 1975.
    """
    front: list[Rank] = []
    for candidate in sorted(ranks):  # what beats it came before, and the last of the front is best in the second
        if not front or not beats(front[-1], candidate):
            front.append(candidate)
    return front


def reaches_target(value: float | None, target: float | None, direction: str) -> bool:
    """Return whether a value is as good as a target; never where one of them is None.

    Example:
        >>> reaches_target(0.97, 0.95, "maximize"), reaches_target(0.97, 0.95, "minimize")
        (True, False)
    """
    if value is None or target is None:
        return False
    return value >= target if direction == "maximize" else value <= target
