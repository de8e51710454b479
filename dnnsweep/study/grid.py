"""The grid: every point of a finite search space once, in an order drawn from the sweep's seed."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any

import numpy as np

from dnnsweep import seeds
from dnnsweep.records import Reason
from dnnsweep.space import SearchSpace, Subspace, cases, countable, from_scalars, scalar_domains, subspaces


class Grid:
    """Hands out the points of a grid: those of each case that its conditions tell apart, one case after the other.

    A trial that was stopped did not try its point: once all others were handed out it is handed out again.

    Args:
        space: Finite.
        seed: The sweep's.
        defaults: The values of hyperparameters whose conditions do not hold.
    """

    def __init__(self, space: SearchSpace, seed: int, defaults: Mapping[str, Any] = MappingProxyType({})) -> None:
        listed = countable(space)
        self._cases = [subspaces(listed, case, defaults) for case in cases(listed, defaults)]
        sizes = [math.prod(part.n_values or 0 for part in case.values()) for case in self._cases]
        self._axes = [{name: _axes(part) for name, part in case.items()} for case in self._cases]
        self._ends = list(accumulate(sizes))
        self.size = self._ends[-1]
        self._order = np.random.default_rng(seeds.derive(seed, "grid", 0)).permutation(self.size)
        self._points = dict[int, int]()
        self._handed_out, self._stopped = Counter[int](), Counter[int]()

    def has_point(self, number: int) -> bool:
        """Return whether there is a point for a trial, as far as is known by now."""
        return number < self.size or self._left_over() is not None

    def place(self, number: int) -> int:
        """Return the place in the order of the point that a trial is to try.

        Raises:
            ValueError: All points were tried.
        """
        place = number if number < self.size else self._left_over()
        if place is None:
            raise ValueError(f"the grid of {self.size} points is exhausted")
        return place

    def _left_over(self) -> int | None:
        return next((place for place, n in self._stopped.items() if n == self._handed_out[place]), None)

    def begin(self, number: int, place: int) -> dict[str, Any]:
        """Note that a trial tries the point at a place, and return the point."""
        self._points[number] = place
        self._handed_out[place] += 1
        return self._point(int(self._order[place]))

    def _point(self, index: int) -> dict[str, Any]:
        number = bisect.bisect_right(self._ends, index)
        case = self._cases[number]
        axes = self._axes[number]
        shape = [len(axis) for own in axes.values() for axis in own]
        first = self._ends[number - 1] if number else 0
        indices = iter(np.unravel_index(index - first, shape) if shape else ())
        return {
            name: from_scalars(case[name].domain, [axis[int(next(indices))] for axis in own])
            for name, own in axes.items()
        }

    def end(self, number: int, reason: Reason) -> None:
        """Note how a trial ended, in the order of numbers."""
        if reason is Reason.STOPPED:
            self._stopped[self._points[number]] += 1


def _axes(part: Subspace) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        tuple(value for value in one.grid() if value not in part.without)
        for one in scalar_domains(part.domain).values()
    )
