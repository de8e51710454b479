"""Points of a search space as numbers between 0 and 1, between which distances mean something."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dnnsweep.space.cases import active_domain, sampling_order
from dnnsweep.space.domains import (
    Choice,
    Conditional,
    Domain,
    Leaf,
    Range,
    Searched,
    SearchSpace,
    from_scalars,
    leaves,
    scalar_domains,
    to_scalars,
)

#: Coordinate of a hyperparameter that a point does not have.
ABSENT: Final = 0.5
#: How likely a neighbour has a value of its own, and how far a number moves then at most.
CHANGE: Final = 0.3
STEP: Final = 0.15


class Coordinates:
    """Turns points of a space into coordinates.

    A range has one coordinate, on its logarithm if `log`; so have listed numbers, by their order. Other lists have one
    coordinate for each value. A conditional hyperparameter also has one for each branch.

    Args:
        space: A space whose conditions form no circle.
        defaults: Values of hyperparameters whose conditions do not hold.
    """

    def __init__(self, space: SearchSpace, defaults: Mapping[str, Any]) -> None:
        self._space = space
        self._defaults = defaults
        self._order = sampling_order(space)
        sizes = [size for name in self._order for size in _sizes(space[name])]
        self.groups: Final[Sequence[int]] = [group for group, size in enumerate(sizes) for _ in range(size)]

    def encode(self, params: Mapping[str, Any]) -> list[float]:
        """Return the coordinates of a point, which has a value for each hyperparameter."""
        point = {name: _hashable(params[name]) for name in self._order}
        return [number for name in self._order for number in _encode(self._space[name], point[name], point)]

    def draw(self, chance: random.Random) -> list[float]:
        """Return the coordinates of a random point."""
        return self.encode(self._walk({}, chance))

    def neighbour(self, params: Mapping[str, Any], chance: random.Random) -> list[float]:
        """Return the coordinates of a random point that shares most values with another, or has similar ones."""
        return self.encode(self._walk(params, chance))

    def _walk(self, near: Mapping[str, Any], chance: random.Random) -> dict[str, Any]:
        point: dict[str, Any] = {}
        for name in self._order:
            domain = active_domain(self._space[name], point)
            if domain is None:
                point[name] = self._defaults[name]
            elif name in near and domain.contains(value := _hashable(near[name])):
                point[name] = _move(domain, value, chance)
            else:
                point[name] = from_scalars(domain, [_draw(one, chance) for one in scalar_domains(domain).values()])
        return point


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _move(domain: Leaf, value: Any, chance: random.Random) -> Any:
    """Return a value near another one: most often itself."""
    scalars = zip(scalar_domains(domain).values(), to_scalars(domain, value), strict=True)
    moved = [_moved(one, scalar, chance) if chance.random() < CHANGE else scalar for one, scalar in scalars]
    return from_scalars(domain, moved)


def _moved(domain: Domain, value: Any, chance: random.Random) -> Any:
    if isinstance(domain, Choice):
        return _draw(domain, chance)
    return _value_at(domain, _unit(domain, value) + chance.uniform(-STEP, STEP))


def _draw(domain: Domain, chance: random.Random) -> Any:
    return chance.choice(domain.values) if isinstance(domain, Choice) else _value_at(domain, chance.random())


def _value_at(domain: Range, unit: float) -> float:
    """Return the number at a coordinate; the nearest one that the range has."""
    share = min(max(unit, 0.0), 1.0)
    if domain.log:
        number = math.exp(math.log(domain.low) + share * (math.log(domain.high) - math.log(domain.low)))
    else:
        number = domain.low + share * (domain.high - domain.low)
    step = domain.step or (1 if domain.is_integer else None)
    if step is not None:
        number = domain.low + round((number - domain.low) / step) * step
    number = min(max(number, domain.low), domain.high)
    return round(number) if domain.is_integer else number


def _unit(domain: Range, value: float) -> float:
    """Return the coordinate of a number."""
    if domain.low == domain.high:
        return 0.0
    low, high, number = (math.log(n) if domain.log else n for n in (domain.low, domain.high, value))
    return (number - low) / (high - low)


def _sizes(domain: Searched) -> Iterator[int]:
    """Yield the number of coordinates of each group of a hyperparameter."""
    if isinstance(domain, Conditional):
        yield len(domain.branches)
    for _, leaf in leaves(domain):
        yield from (_size(scalar) for scalar in scalar_domains(leaf).values())


def _size(domain: Domain) -> int:
    return 1 if isinstance(domain, Range) or _is_ordered(domain) else len(domain.values)


def _is_ordered(domain: Choice) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in domain.values)


def _encode(domain: Searched, value: Any, point: Mapping[str, Any]) -> Iterator[float]:
    """Yield the coordinates of a hyperparameter's value at a point."""
    if not isinstance(domain, Conditional):
        yield from _encode_leaf(domain, value)
        return
    chosen = domain.chosen(point)
    yield from _one_hot(len(domain.branches), chosen)
    for index, (_, leaf) in enumerate(leaves(domain)):
        yield from _encode_leaf(leaf, value) if index == chosen else _encode_nothing(leaf)


def _encode_leaf(domain: Leaf, value: Any) -> Iterator[float]:
    for scalar, one in zip(scalar_domains(domain).values(), to_scalars(domain, value), strict=True):
        yield from _encode_scalar(scalar, one)


def _encode_nothing(domain: Leaf) -> Iterator[float]:
    for scalar in scalar_domains(domain).values():
        yield from [ABSENT if isinstance(scalar, Range) or _is_ordered(scalar) else 0.0] * _size(scalar)


def _encode_scalar(domain: Domain, value: Any) -> list[float]:
    if isinstance(domain, Range):
        return [_unit(domain, value)]
    if _is_ordered(domain):
        return [sorted(domain.values).index(value) / max(len(domain.values) - 1, 1)]
    return _one_hot(len(domain.values), next((i for i, one in enumerate(domain.values) if _is_same(one, value)), None))


def _is_same(listed: Any, value: Any) -> bool:
    return Choice((listed,)).contains(value)


def _one_hot(size: int, chosen: int | None) -> list[float]:
    """Return coordinates that put any two values at a distance of 1."""
    return [math.sqrt(0.5) if index == chosen else 0.0 for index in range(size)]
