"""The trials that no other beats: the best one, or the Pareto front of two objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dnnsweep.records.ranking import Rank, beats, rank, reaches_target


@dataclass(frozen=True, slots=True)
class Incumbent:
    """A complete trial that no other beats.

    Args:
        number: Number of the trial.
        values: The value of each objective.
        val_loss: Validation loss at the best epoch, by which trials of equal values are ranked.
        params: The trial's hyperparameters.
    """

    number: int
    values: tuple[float, ...]
    val_loss: float
    params: Mapping[str, Any]


class Incumbents:
    """Keeps the trials that no other beats.

    Args:
        directions: `maximize` or `minimize`, one for each objective.
    """

    def __init__(self, *directions: str) -> None:
        self._directions = directions
        self._by_rank: dict[Rank, Incumbent] = {}

    @property
    def best(self) -> Incumbent | None:
        """Return the best trial in the first objective; None if there is none."""
        return self._by_rank[min(self._by_rank)] if self._by_rank else None

    @property
    def ranks(self) -> tuple[Rank, ...]:
        """Return the ranks of the incumbents: what a new trial has to beat."""
        return tuple(self._by_rank)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the incumbents."""
        return tuple(incumbent.number for incumbent in self._by_rank.values())

    def reach(self, target: float | None) -> bool:
        """Return whether the best value is as good as a target."""
        best = self.best
        return best is not None and reaches_target(best.values[0], target, self._directions[0])

    def add(
        self, number: int, values: tuple[float, ...] | None, val_loss: float | None, params: Mapping[str, Any]
    ) -> bool:
        """Add a trial, and remove those that it beats; return False, and add nothing, if an incumbent beats it.

        Args:
            number: Number of the trial.
            values: The value of each objective; None for a trial without values, which every other one beats.
            val_loss: Validation loss at the best epoch; None ranks behind all others of equal values.
            params: The trial's hyperparameters.
        """
        if values is None:
            return False
        new = rank(values, val_loss, number, *self._directions)
        if any(beats(old, new) for old in self._by_rank):
            return False
        unbeaten = {old: incumbent for old, incumbent in self._by_rank.items() if not beats(new, old)}
        incumbent = Incumbent(number, values, math.inf if val_loss is None else val_loss, params)
        self._by_rank = {**unbeaten, new: incumbent}
        return True
