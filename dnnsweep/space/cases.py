"""Search spaces with conditions: in which order values are chosen, and which cases there are."""

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

#: The most cases that the conditions of a space may tell apart, and the most branches that it may have: what bounds
#: the work of looking at all of them.
MAX_CASES: Final = 1_000
MAX_BRANCHES: Final = 100


class _Other:
    """Stands for all values of a hyperparameter that no condition names."""

    def __repr__(self) -> str:
        return "OTHER"


OTHER: Final = _Other()
Case = Mapping[str, Any]


def sampling_order(space: SearchSpace) -> tuple[str, ...]:
    """Return the hyperparameters in the order of the space, but each after those that its conditions name.

    Those of a circle, and what waits for them, are left out.

    Example:
        >>> from dnnsweep.space.domains import Branch
        >>> adam = Conditional((Branch(Range(0.0, 0.5), {"optimizer": ("adam",)}),))
        >>> sampling_order({"dropout": adam, "optimizer": Choice(("sgd", "adam"))})
        ('optimizer', 'dropout')
    """
    waiting, found = dict.fromkeys(space), dict[str, None]()
    while ready := next((name for name in waiting if prerequisites(space[name]) <= found.keys()), None):
        found[ready] = waiting.pop(ready)
    return tuple(found)


def prerequisites(domain: Searched) -> frozenset[str]:
    """Return the hyperparameters that the conditions of a domain name."""
    return frozenset(name for _, branch in branches_of(domain) for name in branch.when)


def active_domain(domain: Searched, values: Mapping[str, Any]) -> Leaf | None:
    """Return the domain that counts where other hyperparameters have these values; None if none does."""
    if not isinstance(domain, Conditional):
        return domain
    index = domain.chosen(values)
    return None if index is None else domain.branches[index].domain


def has_no_branch(domain: Searched, known: Mapping[str, Any]) -> bool:
    """Return whether no branch of a domain holds, whatever the values are that are not known."""
    try:
        return active_domain(domain, known) is None
    except KeyError:
        return False


def named_values(space: SearchSpace) -> dict[str, tuple[Any, ...]]:
    """Return the values of each hyperparameter that conditions name."""
    found: dict[str, dict[Any, None]] = {}
    for domain in space.values():
        for _, branch in branches_of(domain):
            for name, values in branch.when.items():
                found.setdefault(name, {}).update(dict.fromkeys(values))
    return {name: tuple(values) for name, values in found.items()}


def cases(space: SearchSpace, defaults: Mapping[str, Any]) -> list[Case]:
    """Return every combination of what conditions look at: in each, every hyperparameter has one domain or none.

    Args:
        space: Without circles.
        defaults: The values of hyperparameters that have no domain.

    Returns:
        For each case, the hyperparameters that conditions name, with a value that is named or `OTHER` for all the
        others that it may have. A space without conditions is one case.

    Example:
        >>> from dnnsweep.space.domains import Branch
        >>> adam = Conditional((Branch(Range(0.0, 0.5), {"optimizer": ("adam",)}),))
        >>> cases({"optimizer": Choice(("sgd", "nadam", "adam")), "dropout": adam}, {})
        [{'optimizer': 'adam'}, {'optimizer': OTHER}]
    """
    known, found = named_values(space), list[dict[str, Any]]([{}])
    for name in sampling_order(space):
        if name in known:
            found = [
                {**case, name: value}
                for case in found
                for value in _values(active_domain(space[name], case), known[name], defaults.get(name))
            ]
    return list(found)


def _values(domain: Leaf | None, known: tuple[Any, ...], default: Any) -> list[Any]:
    if domain is None:
        return [default if default in known else OTHER]
    own = [value for value in known if domain.contains(value)]
    return own if domain.n_values == len(own) else [*own, OTHER]


def sometimes_absent(space: SearchSpace, defaults: Mapping[str, Any]) -> frozenset[str]:
    """Return the hyperparameters that have no domain in some case; arguments as of `cases`."""
    known = cases(space, defaults)
    return frozenset(
        name for name, domain in space.items() if any(active_domain(domain, case) is None for case in known)
    )


@dataclass(frozen=True, slots=True)
class Subspace:
    """What a hyperparameter is taken from in one case.

    Args:
        domain: The one that counts; of one value where there is nothing to choose.
        without: Values of it that belong to other cases.
    """

    domain: Leaf
    without: tuple[Any, ...] = ()

    @property
    def n_values(self) -> int | None:
        """Return how many values there are; None if they cannot be counted."""
        n_values = self.domain.n_values
        return None if n_values is None else n_values - sum(map(self.domain.contains, self.without))


def subspaces(space: SearchSpace, case: Case, defaults: Mapping[str, Any]) -> dict[str, Subspace]:
    """Return what each hyperparameter is taken from in a case.

    Args:
        space: As `cases` was given it.
        case: One of them.
        defaults: As `cases` was given them.
    """
    known = named_values(space)
    return {
        name: _part(active_domain(domain, case), case.get(name, OTHER), known.get(name, ()), defaults.get(name))
        for name, domain in space.items()
    }


def _part(domain: Leaf | None, value: Any, known: tuple[Any, ...], default: Any) -> Subspace:
    if domain is None:
        return Subspace(Choice((default,)))
    return Subspace(domain, known) if value is OTHER else Subspace(Choice((value,)))


def countable(space: SearchSpace) -> dict[str, Searched]:
    """Return a space of the values that a grid takes: ranges that say `steps` are lists of these."""
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
    """Return how many points the grid of a search space has; None if it has none.

    Args:
        space: Without circles.
        defaults: The values of hyperparameters whose conditions do not hold.

    Example:
        >>> grid_size({"dropout": Range(0.0, 0.5, steps=6), "batch_norm": Choice((True, False))})
        12
    """
    if any(leaf.n_values is None for domain in space.values() for _, leaf in leaves(domain)):
        return None
    listed = countable(space)
    return sum(
        math.prod(part.n_values or 0 for part in subspaces(listed, case, defaults).values())
        for case in cases(listed, defaults)
    )


def first_point(space: SearchSpace, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point of a search space: what is given, and the first value of everything else.

    Args:
        space: Without circles.
        defaults: The values of hyperparameters whose conditions do not hold.
        given: Values that are tried first.
    """
    point: dict[str, Any] = {}
    for name in sampling_order(space):
        domain = active_domain(space[name], point)
        point[name] = given.get(name, defaults.get(name) if domain is None else _first(domain))
    return {name: point[name] for name in space}


def _first(domain: Leaf) -> Any:
    firsts = [one.values[0] if isinstance(one, Choice) else one.low for one in scalar_domains(domain).values()]
    return from_scalars(domain, firsts)
