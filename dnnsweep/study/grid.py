"""The grid: every point of a finite search space once, in an order drawn from the sweep's seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from dnnsweep import seeds
from dnnsweep.records import Reason
from dnnsweep.space import SearchSpace


class Grid:
    """Hands out the points of a grid.

    A trial that was stopped did not try its point: once all others were handed out it is handed out again.

    Args:
        space: Finite.
        seed: The sweep's.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._axes = {name: domain.grid() for name, domain in space.items()}
        self._shape = tuple(len(values) for values in self._axes.values())
        self.size = int(np.prod(self._shape))
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
        indices = np.unravel_index(self._order[place], self._shape) if self._shape else ()
        return {name: values[int(index)] for (name, values), index in zip(self._axes.items(), indices, strict=True)}

    def end(self, number: int, reason: Reason) -> None:
        """Note how a trial ended, in the order of numbers."""
        if reason is Reason.STOPPED:
            self._stopped[self._points[number]] += 1
