"""The hyperparameters of a search space as Optuna's parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection

from dnnsweep.space import (
    Choice,
    Conditional,
    Domain,
    Leaf,
    SearchSpace,
    from_scalars,
    has_no_branch,
    leaves,
    sampling_order,
    scalar_domains,
    to_scalars,
)

#: Directions of an objective, as Optuna has them.
DIRECTIONS: Final = {"maximize": StudyDirection.MAXIMIZE, "minimize": StudyDirection.MINIMIZE}


class Parameters:
    """Translates between hyperparameters and Optuna's parameters.

    A parameter has the name of its hyperparameter. Optuna requires that the distribution of a name never changes, so
    branch i of a conditional hyperparameter is a parameter of its own, `name[i]`, which only those trials have for
    which the branch holds. Layers are two parameters, `name.layers` and `name.units`.

    Args:
        space: A space whose conditions form no circle.
        defaults: Values of hyperparameters whose conditions do not hold.
    """

    def __init__(self, space: SearchSpace, defaults: Mapping[str, Any]) -> None:
        self._space = space
        self._defaults = defaults
        self._order = sampling_order(space)
        self._numbers = {
            key: numbers
            for name in self._order
            for index, (_, leaf) in enumerate(leaves(space[name]))
            for key, numbers in zip(self._keys(name, index), scalar_domains(leaf).values(), strict=True)
        }
        self.distributions = {key: distribution(numbers) for key, numbers in self._numbers.items()}

    @property
    def optional(self) -> frozenset[str]:
        """Return the names of the parameters that not every trial has."""
        conditional = [name for name in self._order if isinstance(self._space[name], Conditional)]
        return frozenset(
            key
            for name in conditional
            for index, _ in enumerate(leaves(self._space[name]))
            for key in self._keys(name, index)
        )

    def _keys(self, name: str, index: int) -> tuple[str, ...]:
        domain = self._space[name]
        is_conditional = isinstance(domain, Conditional)
        leaf = domain.branches[index].domain if isinstance(domain, Conditional) else domain
        return tuple(f"{name}[{index}]{part}" if is_conditional else f"{name}{part}" for part in scalar_domains(leaf))

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Let the sampler choose a value for each hyperparameter; those without a domain take their default.

        Args:
            trial: Trial that the study has just been asked for.
        """
        values: dict[str, Any] = {}
        for name in self._order:
            active = self._active(name, values)
            if active is None:
                values[name] = self._defaults[name]
            else:
                leaf, keys = active
                values[name] = from_scalars(leaf, [self._suggest(trial, key) for key in keys])
        return {name: values[name] for name in self._space}

    def _suggest(self, trial: optuna.Trial, key: str) -> Any:
        value = trial._suggest(key, self.distributions[key])  # noqa: SLF001  what `Study.ask` calls
        return decode(self._numbers[key], value)

    def _active(self, name: str, values: Mapping[str, Any]) -> tuple[Leaf, tuple[str, ...]] | None:
        domain = self._space[name]
        if not isinstance(domain, Conditional):
            return domain, self._keys(name, 0)
        index = domain.chosen(values)
        return None if index is None else (domain.branches[index].domain, self._keys(name, index))

    def encode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return Optuna's parameters for values of hyperparameters.

        Args:
            values: Values of all hyperparameters or of some; with a conditional one stand those that it depends on.
        """
        return dict(self._encoded_items(values))

    def _encoded_items(self, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        complete: dict[str, Any] = {}
        for name in self._order:
            if name not in values and not has_no_branch(self._space[name], complete):
                continue
            active = self._active(name, complete)
            complete[name] = values.get(name, self._defaults.get(name))
            if active is not None:
                leaf, keys = active
                yield from zip(keys, map(encode, to_scalars(leaf, complete[name])), strict=True)


def distribution(domain: Domain) -> BaseDistribution:
    """Return a domain as a distribution of Optuna."""
    if isinstance(domain, Choice):
        return CategoricalDistribution([encode(value) for value in domain.values])
    if domain.is_integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def encode(value: Any) -> Any:
    """Return a value as a category of Optuna, which must be a scalar: widths become text."""
    return json.dumps(list(value)) if isinstance(value, list | tuple) else value


def decode(domain: Domain, value: Any) -> Any:
    """Return Optuna's value of a parameter as the sweep file has it."""
    if not isinstance(domain, Choice):
        return value
    return next(choice for choice in domain.values if encode(choice) == value and type(encode(choice)) is type(value))
