"""Domains: the values of a hyperparameter that a sweep searches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """A domain of listed values, in the order of the sweep file."""

    values: tuple[Any, ...]

    @property
    def n_values(self) -> int:
        """Return the number of values that a grid takes: all of them."""
        return len(self.values)

    def grid(self) -> tuple[Any, ...]:
        """Return the values that a grid takes from it."""
        return self.values

    def contains(self, value: Any) -> bool:
        """Return whether a parsed value is in the domain; true does not equal 1."""
        return any(value == listed and isinstance(value, bool) == isinstance(listed, bool) for listed in self.values)

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        return [list(value) if isinstance(value, tuple) else value for value in self.values]


@dataclass(frozen=True, slots=True)
class Range:
    """A domain of numbers.

    Args:
        low: Smallest value, inclusive.
        high: Largest value, inclusive.
        log: Whether values are sampled uniformly in the logarithm.
        step: Distance between values, counted from `low`; None allows every number (every whole number).
        is_integer: Whether the values are whole numbers.
        steps: Number of values that a grid takes, evenly spaced from `low` to `high` (in the logarithm if `log`).
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    is_integer: bool = False
    steps: int | None = None

    @property
    def n_values(self) -> int | None:
        """Return the number of values that a grid takes; None if the range does not define any."""
        if self.steps is not None:
            return self.steps if self.low < self.high else 1
        if self.step is None and not self.is_integer:
            return 1 if self.low == self.high else None
        return round((self.high - self.low) / (self.step or 1)) + 1

    def grid(self) -> tuple[float, ...]:
        """Return the values that a grid takes from it, smallest first; whole numbers that coincide count once.

        Raises:
            ValueError: The range has neither `step` nor `steps`.
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
    """Return whether a value is a whole number of steps from `low`, up to 1e-8 as in Optuna."""
    n_steps = (value - low) / step
    return abs(n_steps - round(n_steps)) < 1e-8


Domain = Choice | Range


@dataclass(frozen=True, slots=True)
class Layers:
    """A domain of hidden layers that are all of one width.

    Args:
        layers: Numbers of layers, from 1 on: without any layer, a width would mean nothing.
        units: Widths, which all layers share.
    """

    layers: Domain
    units: Domain

    @property
    def n_values(self) -> int:
        """Return the number of values."""
        return (self.layers.n_values or 1) * (self.units.n_values or 1)  # whole numbers can be counted

    def contains(self, value: Any) -> bool:
        """Return whether parsed widths are in the domain."""
        is_even = isinstance(value, tuple) and len(set(value)) == 1
        return is_even and self.layers.contains(len(value)) and self.units.contains(value[0])

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        return {"layers": self.layers.to_json(), "units": self.units.to_json()}


#: A domain without conditions.
Leaf = Choice | Range | Layers


@dataclass(frozen=True, slots=True)
class Branch:
    """A domain and the condition under which it applies.

    Args:
        domain: Domain of the hyperparameter while the condition holds.
        when: Other hyperparameters -> allowed values of each; empty for the branch that applies otherwise.
    """

    domain: Leaf
    when: Mapping[str, tuple[Any, ...]]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether the branch applies when other hyperparameters have these values.

        Raises:
            KeyError: The answer depends on a hyperparameter whose value is missing; the error names it.
        """
        if any(values[name] not in allowed for name, allowed in self.when.items() if name in values):
            return False
        for name in self.when:
            if name not in values:
                raise KeyError(name)
        return True

    def to_json(self) -> Any:
        """Return the branch as a sweep file writes it."""
        domain = self.domain.to_json()
        plain = {"values": domain} if isinstance(domain, list) else domain
        if not self.when:
            return plain
        return {"when": {name: list(values) for name, values in self.when.items()}, **plain}


@dataclass(frozen=True, slots=True)
class Conditional:
    """A domain that depends on other hyperparameters: the first branch that holds decides.

    Args:
        branches: Branches in the order of the sweep file; if none holds, the hyperparameter is not searched.
    """

    branches: tuple[Branch, ...]

    def chosen(self, values: Mapping[str, Any]) -> int | None:
        """Return the index of the branch that holds for these values of other hyperparameters; None if none does.

        Raises:
            KeyError: The answer depends on a hyperparameter whose value is missing; the error names it.
        """
        return next((index for index, branch in enumerate(self.branches) if branch.holds(values)), None)

    def contains(self, value: Any) -> bool:
        """Return whether a parsed value is in any of the branches."""
        return any(branch.domain.contains(value) for branch in self.branches)

    def to_json(self) -> Any:
        """Return the domain as a sweep file writes it."""
        plain = [branch.to_json() for branch in self.branches]
        return plain[0] if len(plain) == 1 else plain


Searched = Leaf | Conditional
SearchSpace = Mapping[str, Searched]


def branches_of(domain: Searched) -> Iterator[tuple[str, Branch]]:
    """Yield the branches of a domain, each with its suffix in a YAML path: empty for a single one, else `.0`, `.1`."""
    branches = domain.branches if isinstance(domain, Conditional) else ()
    for index, branch in enumerate(branches):
        yield f".{index}" if len(branches) > 1 else "", branch


def leaves(domain: Searched) -> Iterator[tuple[str, Leaf]]:
    """Yield the unconditional domains in a domain, each with its suffix in a YAML path."""
    if isinstance(domain, Conditional):
        yield from ((suffix, branch.domain) for suffix, branch in branches_of(domain))
    else:
        yield "", domain


def scalar_domains(domain: Leaf) -> dict[str, Domain]:
    """Return the scalar domains that a domain is sampled from: itself, or the number and the width of layers.

    Example:
        >>> list(scalar_domains(Choice((1, 2)))), list(scalar_domains(Layers(Choice((1, 2)), Choice((8, 16)))))
        ([''], ['.layers', '.units'])
    """
    return {".layers": domain.layers, ".units": domain.units} if isinstance(domain, Layers) else {"": domain}


def to_scalars(domain: Leaf, value: Any) -> tuple[Any, ...]:
    """Split a value of a domain into scalars, one for each of its `scalar_domains`."""
    return (len(value), value[0]) if isinstance(domain, Layers) else (value,)


def from_scalars(domain: Leaf, scalars: Sequence[Any]) -> Any:
    """Join scalars, one for each of the `scalar_domains`, to a value of a domain.

    Example:
        >>> from_scalars(Layers(Choice((1, 2)), Choice((8, 16))), (2, 8))
        (8, 8)
    """
    return (scalars[1],) * scalars[0] if isinstance(domain, Layers) else scalars[0]
