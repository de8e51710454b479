"""What the answer of a sweep says about its trials, for queries that return them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from dnnsweep.ledger.repeat_rows import read_answer
from dnnsweep.records import Confirmed, Sweep, Trial


@dataclass(frozen=True, slots=True)
class Standings:
    """How the repeated trials of a sweep stand.

    Args:
        trials: Number of the trial -> what its repeats say, winner first.
        leading: Numbers of those that nothing has shown to be worse than the winner, winner first; empty if trials have
            ended since, which were not compared with them.
    """

    trials: Mapping[int, Confirmed]
    leading: tuple[int, ...]

    def mark(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return trials with what their repeats say, if they were repeated."""
        return [replace(trial, confirmed=self.trials.get(trial.number)) for trial in trials]


def read_standings(connection: Connection, sweep: Sweep) -> Standings:
    """Return how the repeated trials of a sweep stand, as its answer says."""
    answer = read_answer(connection, sweep.id)
    candidates = [one for one in answer.get("candidates") or () if one["number"] is not None]
    with_mean = [one for one in candidates if one["mean"] is not None]
    n_complete = sweep.n_finished - sweep.n_failed - sweep.n_pruned
    is_current = answer.get("n_trials") == n_complete
    leading = tuple(one["number"] for one in with_mean if one["is_live"] and is_current)
    return Standings({one["number"]: _confirmed(one) for one in with_mean}, leading)


def _confirmed(candidate: Mapping[str, Any]) -> Confirmed:
    interval = candidate["interval"]
    return Confirmed(candidate["mean"], None if interval is None else tuple(interval), candidate["n"])
