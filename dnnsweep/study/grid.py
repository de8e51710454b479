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
    """Hands out the points of a grid, each once, in an order drawn from the sweep's seed.

    A trial that was stopped has not tried its point, so the point is handed out again once all others were.

    Args:
        space: A space with finitely many points.
        seed: Seed of the sweep.
        defaults: Values of hyperparameters whose conditions do not hold.
    """

    def __init__(self, space: SearchSpace, seed: int, defaults: Mapping[str, Any] = MappingProxyType({})) -> None:
        listed = countable(space)
        self._cases = [subspaces(listed, case, defaults) for case in cases(listed, defaults)]
        sizes = [math.prod(subspace.n_values or 0 for subspace in case.values()) for case in self._cases]
        self._axes = [{name: _axes(subspace) for name, subspace in case.items()} for case in self._cases]
        self._ends = list(accumulate(sizes))
        self.size = self._ends[-1]
        self._order = np.random.default_rng(seeds.derive(seed, "grid", 0)).permutation(self.size)
        self._positions = dict[int, int]()
        self._handed_out, self._stopped = Counter[int](), Counter[int]()

    def has_point(self, number: int) -> bool:
        """Return whether there is a point for a trial, given the trials that have ended so far."""
        return number < self.size or self._untried() is not None

    def position(self, number: int) -> int:
        """Return the position, in the grid's order, of the point that a trial is to try.

        Raises:
            ValueError: All points were tried.
        """
        position = number if number < self.size else self._untried()
        if position is None:
            raise ValueError(f"the grid of {self.size} points is exhausted")
        return position

    def _untried(self) -> int | None:
        return next((position for position, n in self._stopped.items() if n == self._handed_out[position]), None)

    def begin(self, number: int, position: int) -> dict[str, Any]:
        """Record that a trial tries the point at a position, and return the point."""
        self._positions[number] = position
        self._handed_out[position] += 1
        return self._point(int(self._order[position]))

    def _point(self, index: int) -> dict[str, Any]:
        case_index = bisect.bisect_right(self._ends, index)
        case = self._cases[case_index]
        axes = self._axes[case_index]
        shape = [len(axis) for scalars in axes.values() for axis in scalars]
        first = self._ends[case_index - 1] if case_index else 0
        indices = iter(np.unravel_index(index - first, shape) if shape else ())
        return {
            name: from_scalars(case[name].domain, [axis[int(next(indices))] for axis in scalars])
            for name, scalars in axes.items()
        }

    def end(self, number: int, reason: Reason) -> None:
        """Record how a trial ended; called in the order of trial numbers."""
        if reason is Reason.STOPPED:
            self._stopped[self._positions[number]] += 1


def _axes(subspace: Subspace) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        tuple(value for value in scalar.grid() if value not in subspace.without)
        for scalar in scalar_domains(subspace.domain).values()
    )
