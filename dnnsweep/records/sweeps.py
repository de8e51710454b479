"""A sweep as queries return it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dnnsweep.records.metrics import Objective


class SweepState(StrEnum):
    """Where a sweep stands."""

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
        id: Unique over all ledgers.
        name: Unique in a ledger.
        state: Where it stands.
        description: From the sweep file.
        source: Where the data come from.
        metric: The objective's metric, the first one's of two.
        direction: `maximize` or `minimize` it.
        n_trials: Trials asked for.
        n_finished: Trials ended that count in the budget.
        n_running: Trials being trained.
        n_failed: Trials ended without a value (diverged, failed, timeout, killed).
        best_number: The best trial, in the first objective.
        best_value: Its value.
        window: How many suggestions may be ahead of the results told to the sampler.
        data: The summary of the data, as plain JSON; empty until a worker has loaded the data of a submitted sweep.
        spec: The sweep file, resolved, as plain JSON.
        run_id: The parent run in MLflow; None until it was created.
        n_undelivered: Outbox entries that MLflow has not seen yet.
        error: Why it was given up, if it was.
        created_at: In milliseconds since 1970 (UTC).
        ended_at: Likewise; None while it runs.
        seconds: Wall time over all runs of the sweep.
        trainer: How its trials are trained: `array`, `fit` or `compiled`; `auto` until that was decided.
        slots: Trials side by side in one program.
        device: What they are trained on, `cpu` or `gpu`.
        second: The second objective; None for one alone.
        n_pruned: Trials ended by the pruner.
        front: The trials that no other beats, best first in the first objective; with one objective the best one.
    """

    id: str
    name: str
    state: SweepState
    description: str | None
    source: str
    metric: str
    direction: str
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
    second: Objective | None = None
    n_pruned: int = 0
    front: tuple[int, ...] = ()

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Return the objective, or both."""
        first = Objective(self.metric, self.direction)
        return (first,) if self.second is None else (first, self.second)

    @property
    def directions(self) -> tuple[str, ...]:
        """Return the direction of each objective."""
        return tuple(one.direction for one in self.objectives)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {name: to_plain(getattr(self, name)) for name in SWEEP_COLUMNS}


#: A sweep for programs: as it is, but for the second of two objectives, which is among its objectives.
SWEEP_COLUMNS = tuple("objectives" if name == "second" else name for name in Sweep.__slots__)


def to_plain(value: Any) -> Any:
    """Return a record's field as plain JSON: no tuple, no enumeration, no number that is not finite."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Objective):
        return {"metric": value.metric, "direction": value.direction}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    return value
