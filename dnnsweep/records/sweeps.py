"""A sweep as queries return it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from dnnsweep.records.findings import Finding
from dnnsweep.records.metrics import Objective
from dnnsweep.records.ranking import reaches_target
from dnnsweep.records.repeats import Confirmed, Purpose

#: What names of sweeps consist of, as a regular expression, and how many characters they have at most.
NAME_PATTERN: Final = r"^[A-Za-z0-9_-]+$"
MAX_NAME_LENGTH: Final = 100
#: Attribute of a study that holds why it suggests no more trials although the budget allows them.
CONCLUSION: Final = "dnnsweep:conclusion"


def is_sweep_name(text: str) -> bool:
    """Return whether a sweep may have this name.

    Example:
        >>> is_sweep_name("digits-2"), is_sweep_name("../digits")
        (True, False)
    """
    return len(text) <= MAX_NAME_LENGTH and re.fullmatch(NAME_PATTERN, text) is not None


class SweepState(StrEnum):
    """The state of a sweep."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    INTERRUPTED = "INTERRUPTED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    COMPLETE = "COMPLETE"


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as the ledger knows it; what `list` and `show` return.

    Args:
        id: Identifies the sweep among the sweeps of all ledgers.
        name: Name of the sweep, unique in a ledger.
        state: State of the sweep.
        description: Description in the sweep file.
        source: Where the data come from.
        n_trials: Number of trials asked for.
        n_finished: Number of trials that have ended and count in the budget.
        n_running: Number of trials that are being trained.
        n_failed: Number of trials that ended without a value (diverged, failed, timeout, killed).
        best_number: Number of the best trial, in the first objective.
        best_value: Value of the best trial, in the first objective.
        window: How many suggestions may be ahead of the results told to the sampler.
        data: The summary of the data, as plain JSON; empty until they were loaded once.
        spec: The sweep file, resolved, as plain JSON.
        run_id: The parent run in MLflow; None until it was created.
        n_undelivered: Number of updates that MLflow has not seen yet.
        error: Why the sweep was given up, if it was.
        created_at: When the sweep was created, in milliseconds since 1970 (UTC).
        ended_at: When the sweep ended, in milliseconds since 1970 (UTC); None while it runs.
        seconds: Wall time over all runs of the sweep.
        trainer: How its trials are trained: `array`, `fit` or `compiled`; `auto` until that was decided.
        slots: Number of trials side by side in one program.
        device: What trials are trained on, `cpu` or `gpu`.
        objectives: What the sweep improves: one objective or two; `metric` and `direction` are the first one's.
        n_pruned: Number of trials that the pruner ended.
        front: The trials that no other beats, best first in the first objective; with one objective the best one.
        delivery_error: Why MLflow refused an update that it has not seen yet, or could not be reached; None if it did
            not, or if it was not tried yet.
        submitted_by: Name of the token that created the sweep; None for a command on a home.
        stopped_by: Name of the token that asked to stop it; None for a command on a home, and once it is queued again.
        n_diverged: Number of trials that diverged; `n_failed` counts them as well.
        repeated_for: What configurations are being repeated for, while no trials are trained; None if none are.
        conclusion: Why the sweep is complete with fewer trials than asked for, where results have decided it; None for
            a target or a time budget, and for all other sweeps.
    """

    id: str
    name: str
    state: SweepState
    description: str | None
    source: str
    n_trials: int
    n_finished: int
    n_running: int
    n_failed: int
    best_number: int | None
    best_value: float | None
    window: int
    data: Mapping[str, Any]
    spec: Mapping[str, Any]
    run_id: str | None
    n_undelivered: int
    error: str | None
    created_at: int
    ended_at: int | None
    seconds: float
    trainer: str = "fit"
    slots: int = 1
    device: str = "cpu"
    objectives: tuple[Objective, ...] = field(kw_only=True)
    n_pruned: int = 0
    front: tuple[int, ...] = ()
    delivery_error: str | None = None
    submitted_by: str | None = None
    stopped_by: str | None = None
    n_diverged: int = 0
    repeated_for: Purpose | None = None
    conclusion: str | None = None

    @property
    def metric(self) -> str:
        """Return the metric of the first objective."""
        return self.objectives[0].metric

    @property
    def direction(self) -> str:
        """Return whether to `maximize` or to `minimize` the first objective."""
        return self.objectives[0].direction

    @property
    def directions(self) -> tuple[str, ...]:
        """Return the direction of each objective."""
        return tuple(objective.direction for objective in self.objectives)

    def to_json(self) -> dict[str, Any]:
        """Return the sweep as plain JSON."""
        return {name: to_plain(getattr(self, name)) for name in SWEEP_COLUMNS}


def has_spent_budget(sweep: Sweep, budget: Mapping[str, Any]) -> bool:
    """Return whether a sweep has nothing left to train.

    All trials of the budget have ended, or a value reaches its target, or results have concluded the sweep under this
    budget.

    Args:
        sweep: The sweep.
        budget: The section `budget` of its file, as plain JSON.
    """
    is_concluded = sweep.conclusion is not None and sweep.spec["budget"] == budget
    is_reached = reaches_target(sweep.best_value, budget.get("target"), sweep.direction)
    return sweep.n_finished >= budget["trials"] or is_reached or is_concluded


def insert_names(names: Sequence[str], *more: str, before: str) -> tuple[str, ...]:
    """Return names with more of them before one.

    Example:
        >>> insert_names(("a", "d"), "b", "c", before="d")
        ('a', 'b', 'c', 'd')
    """
    place = names.index(before)
    return (*names[:place], *more, *names[place:])


#: What programs read of a sweep: its fields, and the first objective's metric and direction beside all objectives.
SWEEP_COLUMNS = insert_names(Sweep.__slots__, "metric", "direction", before="n_trials")


def to_plain(value: Any) -> Any:
    """Return a record's field as plain JSON: no tuple, no enumeration, no number that is not finite."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Objective | Confirmed | Finding):
        return {name: to_plain(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    return value
