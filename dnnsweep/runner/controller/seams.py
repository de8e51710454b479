"""What a controller works with: a lease to write under, and an order that says what is trained next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from dnnsweep.ledger import Asked, Renewal, StudyTrial, Told
from dnnsweep.records import Curve, Suggestion, SweepState, TrialResult
from dnnsweep.runner.controller.trials import Outcome
from dnnsweep.study.pruning import NoPruning, Pruner


class Writes(Protocol):
    """Takes what is stored at the end of a turn; `ledger.Turn` for trials."""

    def advance(self, told: Sequence[Told], asked: Sequence[Asked], study_attrs: Mapping[str, Any]) -> None:
        """Store a step of the order."""

    def start(self, number: int, attempt: int) -> None:
        """Store that a trainer works on something."""

    def progress(self, number: int, curve: Curve) -> None:
        """Store the epochs trained so far."""

    def finish(
        self,
        result: TrialResult,
        values: tuple[float, ...] | None,
        metrics: Mapping[str, float],
        kept: Collection[int] | None = (),
    ) -> None:
        """Store how something ended."""

    def requeue(self, number: int, attempt: int, error: str) -> None:
        """Put something whose attempt was lost back in the queue."""


class SweepLease(Protocol):
    """The right to write a part of a sweep; `ledger.Lease` for its trials."""

    def turn(self) -> AbstractContextManager[Writes]:
        """Yield what writes are given to; they are stored at the end."""

    def trials(self) -> list[StudyTrial]:
        """Return what was asked before, in its order."""

    def study_attrs(self) -> Mapping[str, Any]:
        """Return what the order remembers."""

    def epochs(self, *metrics: str) -> dict[int, list[dict[str, float]]]:
        """Return some metrics at each epoch of what was trained before."""

    def spent_seconds(self) -> float:
        """Return the wall time over all runs of the sweep."""

    def renew(self) -> Renewal:
        """Renew the lease; return what was learned with it."""

    def end(self, state: SweepState) -> SweepState:
        """End this part of the sweep; return the state in which the sweep is left."""


class Order(Protocol):
    """Says what is trained next, from results in a fixed order alone."""

    @property
    def pruner(self) -> Pruner | NoPruning:
        """Return what judges trials while they train."""

    @property
    def is_over(self) -> bool:
        """Return whether nothing follows, even if the budget allowed more."""

    def restore(
        self, trials: Sequence[StudyTrial], study_attrs: Mapping[str, object], values: Mapping[int, Sequence[float]]
    ) -> None:
        """Take up what was asked before."""

    def suggestion_of(self, trial: StudyTrial) -> Suggestion:
        """Return the suggestion of a trial that was asked before and has not ended."""

    def advance(
        self, outcome: Callable[[int], Outcome | None], may_ask: Callable[[int], bool]
    ) -> tuple[list[Told], list[Asked]]:
        """Tell what can be told now and ask what may be asked after it."""

    def study_attrs(self) -> Mapping[str, object]:
        """Return what the order remembers."""
