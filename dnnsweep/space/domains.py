"""Domains: the values that a sweep searches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A domain of listed values, in the order of the sweep file."""

    values: tuple[Any, ...]

    @property
    def n_values(self) -> int:
        """Return how many values a grid takes from it: all of them."""
        return len(self.values)

    def grid(self) -> tuple[Any, ...]:
        """Return the values that a grid takes from it."""
        return self.values

    def contains(self, value: Any) -> bool:
        """Return whether a parsed value is in the domain; true is not 1."""
        return any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in self.values)

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        return [list(value) if isinstance(value, tuple) else value for value in self.values]


@dataclass(frozen=True, slots=True)
class Range:
    """A domain of numbers.

    Args:
        low: Included.
        high: Included.
        log: Whether the logarithm is uniform.
        step: Distance of the grid that starts at `low`; None for every number (for whole numbers, 1).
        is_integer: Whether the values are whole numbers.
        steps: How many values a grid takes from it, evenly from `low` to `high`, or evenly in the logarithm.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    is_integer: bool = False
    steps: int | None = None

    @property
    def n_values(self) -> int | None:
        """Return how many values a grid takes from it; None if it does not say which."""
        if self.steps is not None:
            return self.steps if self.low < self.high else 1
        if self.step is None and not self.is_integer:
            return 1 if self.low == self.high else None
        return round((self.high - self.low) / (self.step or 1)) + 1

    def grid(self) -> tuple[float, ...]:
        """Return the values that a grid takes from it, smallest first; whole numbers that coincide count once.

        Raises:
            ValueError: It does not say which.
        """
        n_values = self.n_values
        if n_values is None:
            raise ValueError("a range of numbers needs step or steps to be a grid")
        values = [self._at(index, n_values - 1) for index in range(n_values)]
        return tuple(dict.fromkeys(round(value) for value in values)) if self.is_integer else tuple(values)

    def _at(self, index: int, last: int) -> float:
        if index in (0, last):  # without rounding
            return self.high if index == last and last else self.low
        if self.steps is None:
            return float(Decimal(str(self.low)) + index * Decimal(str(self.step or 1)))
        if self.log:
            return float(math.exp(math.log(self.low) + (math.log(self.high) - math.log(self.low)) * index / last))
        return self.low + (self.high - self.low) * index / last

    def contains(self, value: Any) -> bool:
        """Return whether a parsed value is in the domain."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.is_integer and value != int(value):
            return False
        return self.step is None or is_on_grid(value, self.low, self.step)

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        plain: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            plain["log"] = True
        if self.step is not None:
            plain["step"] = self.step
        if self.steps is not None:
            plain["steps"] = self.steps
        return plain


def is_on_grid(value: float, low: float, step: float) -> bool:
    """Optuna's rule: the number of steps from low is whole, up to 1e-8."""
    n_steps = (value - low) / step
    return abs(n_steps - round(n_steps)) < 1e-8


Domain = Choice | Range
SearchSpace = Mapping[str, Domain]


def grid_size(space: SearchSpace) -> int | None:
    """Return how many points the grid of a search space has; None if it has none.

    Example:
        >>> grid_size({"dropout": Range(0.0, 0.5, steps=6), "batch_norm": Choice((True, False))})
        12
    """
    size = 1
    for domain in space.values():
        if domain.n_values is None:
            return None
        size *= (
            len(domain.grid()) if isinstance(domain, Range) and domain.is_integer and domain.steps else domain.n_values
        )
    return size
