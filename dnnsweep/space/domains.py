"""Domains: the values that a sweep searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A domain of listed values, in the order of the sweep file."""

    values: tuple[Any, ...]

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
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    is_integer: bool = False

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
        return plain


def is_on_grid(value: float, low: float, step: float) -> bool:
    """Optuna's rule: the number of steps from low is whole, up to 1e-8."""
    n_steps = (value - low) / step
    return abs(n_steps - round(n_steps)) < 1e-8


Domain = Choice | Range
SearchSpace = Mapping[str, Domain]
