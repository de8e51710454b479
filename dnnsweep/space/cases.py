"""Search spaces with conditions: the order in which values are chosen, and the cases that conditions distinguish."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from dnnsweep.space.domains import (
    Branch,
    Choice,
    Conditional,
    Domain,
    Layers,
    Leaf,
    Range,
    Searched,
    SearchSpace,
    branches_of,
    from_scalars,
    leaves,
    scalar_domains,
)

#: The most cases that the conditions of a space may distinguish, which bounds the work of listing them.
MAX_CASES: Final = 1_000
#: The most branches that a space may have.
MAX_BRANCHES: Final = 100


class _Other:
    """Stands for all values of a hyperparameter that no condition names."""

    def __repr__(self) -> str:
        return "OTHER"


OTHER: Final = _Other()
Case = Mapping[str, Any]


def sampling_order(space: SearchSpace) -> tuple[str, ...]:
    """Return the hyperparameters in the order of the space, each after those that its conditions name.

    Hyperparameters whose conditions form a circle, and those that depend on them, are left out.

    Example:
        >>> from dnnsweep.space.domains import Branch
        >>> adam = Conditional((Branch(Range(0.0, 0.5), {"optimizer": ("adam",)}),))
        >>> sampling_order({"dropout": adam, "optimizer": Choice(("sgd", "adam"))})
        ('optimizer', 'dropout')
    """
    waiting, ordered = dict.fromkeys(space), dict[str, None]()
    while ready := next((name for name in waiting if prerequisites(space[name]) <= ordered.keys()), None):
        ordered[ready] = waiting.pop(ready)
    return tuple(ordered)


def prerequisites(domain: Searched) -> frozenset[str]:
    """Return the hyperparameters that a domain's conditions name."""
    return frozenset(name for _, branch in branches_of(domain) for name in branch.when)


def active_domain(domain: Searched, values: Mapping[str, Any]) -> Leaf | None:
    """Return the domain that applies when other hyperparameters have these values; None if none does."""
    if not isinstance(domain, Conditional):
        return domain
    index = domain.chosen(values)
    return None if index is None else domain.branches[index].domain


def has_no_branch(domain: Searched, values: Mapping[str, Any]) -> bool:
    """Return whether no branch of a domain can hold, whatever the missing values are."""
    try:
        return active_domain(domain, values) is None
    except KeyError:
        return False


def named_values(space: SearchSpace) -> dict[str, tuple[Any, ...]]:
    """Return the values that conditions name, by hyperparameter."""
    listed: dict[str, dict[Any, None]] = {}
    for domain in space.values():
        for _, branch in branches_of(domain):
            for name, values in branch.when.items():
                listed.setdefault(name, {}).update(dict.fromkeys(values))
    return {name: tuple(values) for name, values in listed.items()}


def cases(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Case]:
    """Return every combination of values that conditions distinguish.

    In each case every hyperparameter has exactly one domain, or none.

    Args:
        space: A space whose conditions form no circle.
        defaults: Values of hyperparameters whose conditions do not hold.

    Returns:
        For each case, the hyperparameters that conditions name, each with one of the named values or `OTHER`, which
        stands for all its other values. A space without conditions has one case.

    Example:
        >>> from dnnsweep.space.domains import Branch
        >>> adam = Conditional((Branch(Range(0.0, 0.5), {"optimizer": ("adam",)}),))
        >>> cases({"optimizer": Choice(("sgd", "nadam", "adam")), "dropout": adam}, {})
        [{'optimizer': 'adam'}, {'optimizer': OTHER}]
    """
    named, combinations = named_values(space), list[dict[str, Any]]([{}])
    for name in sampling_order(space):
        if name in named:
            combinations = [
                {**case, name: value}
                for case in combinations
                for value in _distinct(active_domain(space[name], case), named[name], defaults.get(name))
            ]
    return list(combinations)


def _distinct(domain: Leaf | None, named: tuple[Any, ...], default: Any) -> list[Any]:
    """Return the values of a hyperparameter that conditions distinguish in a case."""
    if domain is None:
        return [default if default in named else OTHER]
    possible = [value for value in named if domain.contains(value)]
    return possible if domain.n_values == len(possible) else [*possible, OTHER]


def sometimes_absent(space: SearchSpace, defaults: Mapping[str, Any]) -> frozenset[str]:
    """Return the hyperparameters that have no domain in some case; see `cases` for the arguments."""
    all_cases = cases(space, defaults)
    return frozenset(
        name for name, domain in space.items() if any(active_domain(domain, case) is None for case in all_cases)
    )


@dataclass(frozen=True, slots=True)
class Subspace:
    """The values of a hyperparameter in one case.

    Args:
        domain: The domain that applies; a single value if there is nothing to choose.
        without: Values of the domain that belong to other cases.
    """

    domain: Leaf
    without: tuple[Any, ...] = ()

    @property
    def n_values(self) -> int | None:
        """Return the number of values; None if they cannot be counted."""
        n_values = self.domain.n_values
        return None if n_values is None else n_values - sum(map(self.domain.contains, self.without))


def subspaces(space: SearchSpace, case: Case, defaults: Mapping[str, Any]) -> dict[str, Subspace]:
    """Return the values of each hyperparameter in a case.

    Args:
        space: The space that was passed to `cases`.
        case: One of the cases that `cases` returned.
        defaults: The defaults that were passed to `cases`.
    """
    named = named_values(space)
    return {
        name: _subspace(active_domain(domain, case), case.get(name, OTHER), named.get(name, ()), defaults.get(name))
        for name, domain in space.items()
    }


def _subspace(domain: Leaf | None, value: Any, named: tuple[Any, ...], default: Any) -> Subspace:
    if domain is None:
        return Subspace(Choice((default,)))
    return Subspace(domain, named) if value is OTHER else Subspace(Choice((value,)))


def countable(space: SearchSpace) -> dict[str, Searched]:
    """Return the space of a grid's values: each range with `steps` becomes the list of its values."""
    return {name: _countable(domain) for name, domain in space.items()}


def _countable(domain: Searched) -> Searched:
    if not isinstance(domain, Conditional):
        return _listed(domain)
    return Conditional(tuple(Branch(_listed(branch.domain), branch.when) for branch in domain.branches))


def _listed(domain: Leaf) -> Leaf:
    if isinstance(domain, Layers):
        return Layers(_listed_numbers(domain.layers), _listed_numbers(domain.units))
    return _listed_numbers(domain)


def _listed_numbers(domain: Domain) -> Domain:
    return Choice(domain.grid()) if isinstance(domain, Range) and domain.steps is not None else domain


def grid_size(space: SearchSpace, defaults: Mapping[str, Any] = MappingProxyType({})) -> int | None:
    """Return the number of points in the grid of a search space; None if it has no grid.

    Args:
        space: A space whose conditions form no circle.
        defaults: Values of hyperparameters whose conditions do not hold.

    Example:
        >>> grid_size({"dropout": Range(0.0, 0.5, steps=6), "batch_norm": Choice((True, False))})
        12
    """
    if any(leaf.n_values is None for domain in space.values() for _, leaf in leaves(domain)):
        return None
    listed = countable(space)
    return sum(
        math.prod(subspace.n_values or 0 for subspace in subspaces(listed, case, defaults).values())
        for case in cases(listed, defaults)
    )


def first_point(space: SearchSpace, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point of a search space: the given values, and the first value of every other domain.

    Args:
        space: A space whose conditions form no circle.
        defaults: Values of hyperparameters whose conditions do not hold.
        given: Values to use, by hyperparameter.
    """
    point: dict[str, Any] = {}
    for name in sampling_order(space):
        domain = active_domain(space[name], point)
        point[name] = given.get(name, defaults.get(name) if domain is None else _first(domain))
    return {name: point[name] for name in space}


def _first(domain: Leaf) -> Any:
    scalars = scalar_domains(domain).values()
    firsts = [scalar.values[0] if isinstance(scalar, Choice) else scalar.low for scalar in scalars]
    return from_scalars(domain, firsts)
