"""What figures of a sweep show: which of its trials, and where each stands in hyperparameters and objectives."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from dnnsweep.records import Objective, State, Trial
from dnnsweep.records.ranking import beats, pareto_front, rank
from dnnsweep.space import Choice, Conditional, Leaf, Range, Searched, SearchSpace, leaves, scalar_domains, to_scalars

T = TypeVar("T")
#: A figure shows at most so many trials: more can neither be told apart nor sent quickly.
MAX_TRIALS: Final = 2_000
#: Positive values are drawn in their logarithm if the largest is so many times the smallest.
LOG_RATIO: Final = 100.0
#: The share of trials that counts as the best ones.
BEST_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Axis:
    """Where some trials stand in one hyperparameter or objective.

    Args:
        name: What the axis shows.
        values: One value per trial, a number or the text of a category; None where the trial has none.
        categories: All categories in their order; empty for numbers.
        is_log: Whether to show the logarithm.
    """

    name: str
    values: tuple[Any, ...]
    categories: tuple[str, ...] = ()
    is_log: bool = False

    @property
    def numbers(self) -> tuple[float | None, ...]:
        """Return numbers as they are, and categories by their places."""
        if not self.categories:
            return self.values
        places = {category: place for place, category in enumerate(self.categories)}
        return tuple(places.get(value) for value in self.values)


def complete(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that have a value."""
    return [trial for trial in trials if trial.state is State.COMPLETE and trial.values is not None]


def thin_out(items: Sequence[T], limit: int = MAX_TRIALS) -> list[T]:
    """Return some of the items, evenly spaced, the first and the last among them; all if they are few.

    Example:
        >>> thin_out(range(10), 4), thin_out(range(3), 4)
        ([0, 3, 6, 9], [0, 1, 2])
    """
    if len(items) <= limit or limit < 2:
        return list(items[:limit])
    return [items[round(place * (len(items) - 1) / (limit - 1))] for place in range(limit)]


def counts_text(trials: Sequence[Trial]) -> str:
    """Return how many trials are in which state."""
    counts = Counter(trial.state for trial in trials)
    return ", ".join(f"{counts[state]:,} {state.lower()}" for state in State if counts[state])


def part_text(shown: Sequence[Trial], trials: Sequence[Trial]) -> str:
    """Return how many trials a figure shows; nothing if it shows all."""
    return "" if len(shown) == len(trials) else f"{len(shown):,} of {len(trials):,} complete trials shown"


def with_best(
    trials: Sequence[Trial], best: frozenset[int], objectives: Sequence[Objective], limit: int
) -> list[Trial]:
    """Return trials for a figure that highlights some, in their shares, the best one among them.

    Those come last, so that they are drawn above the others.

    Args:
        trials: Complete trials.
        best: Numbers of the trials to highlight.
        objectives: One objective or two.
        limit: Return at most this many.
    """
    n_best = max(1, round(limit * len(best) / max(1, len(trials))))
    others = thin_out([trial for trial in trials if trial.number not in best], limit - n_best)
    ranked = order_by_rank([trial for trial in trials if trial.number in best], objectives)
    return others + thin_out(ranked, n_best)


def order_by_rank(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Return complete trials, best first in the first objective."""
    return sorted(trials, key=lambda trial: _rank(trial, objectives))


def find_best(trials: Sequence[Trial], objectives: Sequence[Objective]) -> frozenset[int]:
    """Return the numbers of the trials to highlight: the best fifth, or with two objectives the Pareto front.

    Args:
        trials: Complete trials.
        objectives: One objective or two.
    """
    if len(objectives) > 1:
        return frozenset(int(best[-1]) for best in pareto_front(_rank(trial, objectives) for trial in trials))
    n_best = math.ceil(len(trials) * BEST_SHARE)
    return frozenset(trial.number for trial in order_by_rank(trials, objectives)[:n_best])


def find_records(trials: Sequence[Trial], objective: Objective, place: int) -> list[tuple[int, float]]:
    """Return each trial that was better in an objective than all before it: its number and value.

    Args:
        trials: Complete trials in their order.
        objective: The objective.
        place: Place of the objective among a trial's values.
    """
    records: list[tuple[int, float]] = []
    for trial in trials:
        value = (trial.values or ())[place]
        one = rank((value,), None, 0, objective.direction)
        if not records or beats(one, rank((records[-1][1],), None, 0, objective.direction)):
            records.append((trial.number, value))
    return records


def _rank(trial: Trial, objectives: Sequence[Objective]) -> tuple[float, ...]:
    directions = [objective.direction for objective in objectives]
    return rank(trial.values or (), trial.metrics.get("val_loss"), trial.number, *directions)


def objective_axes(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Axis]:
    """Return an axis for each objective.

    Args:
        trials: Complete trials.
        objectives: One objective or two.
    """
    axes = []
    for place, objective in enumerate(objectives):
        values = tuple((trial.values or ())[place] for trial in trials)
        is_log = objective.direction == "minimize" and spans_decades(values)
        axes.append(Axis(objective.metric, values, is_log=is_log))
    return axes


def spans_decades(values: Sequence[float]) -> bool:
    """Return whether values can be shown in their logarithm and are easier to tell apart there.

    Example:
        >>> spans_decades([0.01, 3.0]), spans_decades([0.5, 3.0]), spans_decades([0.0, 3.0])
        (True, False, False)
    """
    return bool(values) and min(values) > 0 and max(values) >= LOG_RATIO * min(values)


def hyperparameter_axes(trials: Sequence[Trial], space: SearchSpace) -> list[Axis]:
    """Return an axis for each hyperparameter that is searched; hidden layers of one width have two.

    Args:
        trials: The trials.
        space: The search space of their sweep.
    """
    return [axis for name, domain in space.items() for axis in _axes_of(trials, name, domain)]


def _axes_of(trials: Sequence[Trial], name: str, domain: Searched) -> Iterator[Axis]:
    parts = dict.fromkeys(part for _, leaf in leaves(domain) for part in scalar_domains(leaf))
    scalars = [_scalars(domain, name, trial.params) for trial in trials]
    for part in parts:
        domains = [scalar_domains(leaf)[part] for _, leaf in leaves(domain) if part in scalar_domains(leaf)]
        values = tuple(scalar.get(part) for scalar in scalars)
        if any(isinstance(scalar, Range) for scalar in domains):
            is_log = any(isinstance(scalar, Range) and scalar.log for scalar in domains)
            yield Axis(name + part, tuple(map(_number, values)), is_log=is_log)
        else:
            listed = [value for scalar in domains if isinstance(scalar, Choice) for value in scalar.values]
            shown = tuple(None if value is None else value_text(value) for value in values)
            yield Axis(name + part, shown, tuple(dict.fromkeys(map(value_text, listed))))


def _scalars(domain: Searched, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a trial's value was sampled as; nothing where it was not searched."""
    leaf = _leaf(domain, params)
    value = params.get(name)
    if leaf is None or value is None:
        return {}
    value = tuple(value) if isinstance(value, list) else value
    return dict(zip(scalar_domains(leaf), to_scalars(leaf, value), strict=True)) if leaf.contains(value) else {}


def _leaf(domain: Searched, params: Mapping[str, Any]) -> Leaf | None:
    if not isinstance(domain, Conditional):
        return domain
    try:
        chosen = domain.chosen(params)
    except KeyError:  # a builder's hyperparameter that the network did not ask for
        return None
    return None if chosen is None else domain.branches[chosen].domain


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def value_text(value: Any) -> str:
    """Return a value as the label of a category.

    Example:
        >>> value_text((64, 32)), value_text(()), value_text(True), value_text(0.5)
        ('64-32', 'none', 'true', '0.5')
    """
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
