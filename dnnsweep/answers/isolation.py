"""One hyperparameter compared on equal terms: each of its values with its own best learning rate and optimizer.

The values are first tried with the same number of quasi-random settings of a step, each in block 0. The best setting of
each value is then repeated in other blocks. Block 0 is left out of the comparison, as it has chosen the settings and is
too good for them.

References:
    Godbole, Dahl, Gilmer, Shallue & Nado, Deep learning tuning playbook, 2023: nuisance hyperparameters are tuned for
        each value of a scientific one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from dnnsweep import seeds
from dnnsweep.answers.changes import MeasuredChange, measure_change
from dnnsweep.answers.configurations import configuration_key
from dnnsweep.answers.confirmation import SplitSizes, confirm
from dnnsweep.answers.number_texts import finite, setting_text
from dnnsweep.answers.recorded_scores import by_place, score_of
from dnnsweep.records import Candidate, Objective, Repeat
from dnnsweep.records.sweeps import to_plain
from dnnsweep.space import Choice, Conditional, Layers, Leaf, Range, SearchSpace, active_domain, leaves, sampling_order
from dnnsweep.statistics.intervals import Interval
from dnnsweep.statistics.quasi_random import halton

#: Hyperparameters of a step, of which each value gets its own best ones.
TUNED: Final = ("optimizer", "learning_rate")
N_POINTS: Final = 32
#: A learning rate that is not searched is tried down to its part of this, and up to its multiple.
REACH: Final = 30.0
#: The most values that are compared.
MAX_VALUES: Final = 8


@dataclass(frozen=True, slots=True)
class Base:
    """The configuration that the compared ones are near, and the space that they keep to.

    Args:
        space: The search space.
        defaults: Values of hyperparameters whose conditions do not hold.
        params: Every hyperparameter of the configuration.
    """

    space: SearchSpace
    defaults: Mapping[str, Any]
    params: Mapping[str, Any]

    def near(self, fixed: Mapping[str, Any], shares: Mapping[str, float]) -> dict[str, Any]:
        """Return a configuration with some values of its own that keeps to the conditions of the space.

        Args:
            fixed: Values that are given.
            shares: Hyperparameter -> the share of its domain that lies below its value.
        """
        params = {**self.params, **fixed}
        for name in sampling_order(self.space):
            searched = self.space[name]
            domain = None if name in fixed else active_domain(searched, params)
            if domain is None:
                params[name] = fixed[name] if name in fixed else self.defaults.get(name, params.get(name))
            elif name in shares:
                params[name] = value_at(domain, shares[name])
            elif isinstance(searched, Conditional) and not domain.contains(params[name]):
                params[name] = value_at(domain, 0.5)
        return params


def value_at(domain: Leaf, share: float) -> Any:
    """Return the value of a domain that a share of it lies below.

    Example:
        >>> value_at(Choice(("sgd", "adam")), 0.6), round(value_at(Range(0.01, 1.0, log=True), 0.5), 6)
        ('adam', 0.1)
        >>> value_at(Range(1, 4, is_integer=True), 0.99), value_at(Layers(Choice((2,)), Choice((8, 16))), 0.5)
        (4, (16, 16))
    """
    if isinstance(domain, Layers):
        return (value_at(domain.units, share),) * int(value_at(domain.layers, share))
    if isinstance(domain, Choice) or domain.n_values is not None:
        values = domain.grid()
        return values[int(share * len(values))]
    if domain.log:
        return float(domain.low * (domain.high / domain.low) ** share)
    return domain.low + share * (domain.high - domain.low)


@dataclass(frozen=True, slots=True)
class IsolationPlan:
    """The configurations that are compared.

    Args:
        name: The hyperparameter.
        values: Its values.
        configurations: For each value, its configurations with several settings of a step, all different.
        n_blocks: Blocks in which the best configuration of each value is repeated, beside block 0.
    """

    name: str
    values: tuple[Any, ...]
    configurations: tuple[tuple[Mapping[str, Any], ...], ...]
    n_blocks: int

    @property
    def blocks(self) -> range:
        """Return the blocks in which the best configuration of each value is repeated."""
        return range(1, self.n_blocks + 1)

    def label(self, value: int) -> str:
        """Return what the configurations of a value are called.

        Args:
            value: The value's index.
        """
        return f"{self.name} {setting_text(self.values[value])}"


def values_to_compare(space: SearchSpace, name: str, baseline: Any, winner: Any) -> tuple[Any, ...]:
    """Return the values of a hyperparameter that are compared, those of winner and baseline first.

    They are those that the sweep file lists, eight at most. Of a range they are the winner's and the baseline's, or its
    ends if these two are equal.

    Args:
        space: The search space.
        name: The hyperparameter.
        baseline: The baseline's value.
        winner: The winner's value.

    Example:
        >>> space = {"l2": Range(0.0, 0.5), "optimizer": Choice(("sgd", "adam", "nadam"))}
        >>> values_to_compare(space, "optimizer", "sgd", "adam"), values_to_compare(space, "l2", 0.1, 0.1)
        (('adam', 'sgd', 'nadam'), (0.1, 0.0, 0.5))
    """
    domains = [domain for _, domain in leaves(space[name])] if name in space else []
    listed = [value for domain in domains if isinstance(domain, Choice) for value in domain.values]
    ends = [end for domain in domains if isinstance(domain, Range) for end in (domain.low, domain.high)]
    by_key = {configuration_key({name: value}): value for value in (winner, baseline, *listed)}
    if len(by_key) == 1:
        by_key = {configuration_key({name: value}): value for value in (winner, *ends)}
    return tuple(by_key.values())[:MAX_VALUES]


def plan_isolation(base: Base, name: str, values: Sequence[Any], n_blocks: int, seed: int) -> IsolationPlan:
    """Return which configurations are compared.

    Args:
        base: The winner, which the configurations share apart from the value, the settings of a step, and what follows
            from the conditions of the space.
        name: The hyperparameter.
        values: Its values.
        n_blocks: Blocks in which the best configuration of each value is repeated.
        seed: The sweep's seed.
    """
    wide = replace(base, space=_with_learning_rates(base))
    tuned = [other for other in TUNED if other != name and other in wide.space]
    points = halton(N_POINTS, len(tuned), seeds.derive(seed, "isolate", name)).tolist()
    shares = [dict(zip(tuned, point, strict=True)) for point in points]
    configurations = []
    for value in values:
        found = [wide.near({name: value}, share) for share in shares]
        configurations.append(tuple({configuration_key(params): params for params in found}.values()))
    return IsolationPlan(name, tuple(values), tuple(configurations), n_blocks)


def _with_learning_rates(base: Base) -> SearchSpace:
    """Return a space that searches learning rates, around that of the base unless the sweep searches them."""
    if "learning_rate" in base.space or "learning_rate" not in base.params:
        return base.space
    rate = float(base.params["learning_rate"])
    return {**base.space, "learning_rate": Range(rate / REACH, rate * REACH, log=True)}


def best_candidates(
    groups: Sequence[Sequence[int]], repeats: Iterable[Repeat], objective: Objective
) -> list[int | None] | None:
    """Return for each value the candidate that is the best one in block 0.

    Args:
        groups: Numbers of the candidates of each value, in the order of its configurations.
        repeats: Repeats of the candidates; those in other blocks are not looked at.
        objective: What the sweep improves.

    Returns:
        For each value the number of a candidate, the first of equal ones; None for a value whose candidates all failed.
        None in place of the list, if one of the trainings has not ended.
    """
    ended = by_place(repeats)
    if any((candidate, 0) not in ended for group in groups for candidate in group):
        return None
    return [_best(group, {one: score_of(ended[one, 0], objective.direction) for one in group}) for group in groups]


def _best(group: Sequence[int], scores: Mapping[int, float]) -> int | None:
    best = max(group, key=lambda candidate: scores[candidate])
    return best if math.isfinite(scores[best]) else None


def compare_values(
    plan: IsolationPlan,
    best: Sequence[Candidate | None],
    repeats: Iterable[Repeat],
    objective: Objective,
    sizes: SplitSizes,
) -> list[dict[str, Any]]:
    """Return how the values compare, as plain data, the best one first.

    Args:
        plan: The configurations that are compared.
        best: The best candidate of each value; None for a value whose candidates all failed.
        repeats: Repeats of these candidates; block 0 is not looked at.
        objective: What the sweep improves.
        sizes: How each block splits the development rows.

    Returns:
        For each value `name`, `value`, `params`, `mean`, `interval`, `n`, `n_diverged`, `p_best`, and for all but the
        first one, in comparison to it, `p_first_is_better` with `p_first_is_better_interval`, and `behind` with
        `behind_interval`: by how much the first one is better in the blocks that both have. Nothing, if no block is
        full.
    """
    by_number = {candidate.number: index for index, candidate in enumerate(best) if candidate is not None}
    candidates = [candidate for candidate in best if candidate is not None]
    later = [replace(repeat, block=repeat.block - 1) for repeat in repeats if repeat.block in plan.blocks]
    found = confirm(candidates, later, objective, sizes, None)
    if found is None:
        return []
    first = found.standings[0].number
    return [
        {
            "name": plan.name,
            "value": to_plain(plan.values[by_number[one.number]]),
            "params": to_plain(one.params),
            "mean": one.mean,
            "interval": _ends(one.interval),
            "n": one.n,
            "n_diverged": one.n_diverged,
            "p_best": one.p_best,
            **_comparison(measure_change(one.number, first, later, objective) if one.number != first else None),
        }
        for one in found.standings
    ]


def _comparison(change: MeasuredChange | None) -> dict[str, Any]:
    if change is None:
        return {}
    return {
        "p_first_is_better": change.outperformance.probability,
        "p_first_is_better_interval": _ends(change.outperformance.interval),
        "behind": change.effect,
        "behind_interval": None if change.interval is None else _ends(change.interval),
    }


def _ends(interval: Interval) -> list[float] | None:
    ends = finite(interval)
    return None if ends is None else list(ends)
