"""Statistics over a whole ledger, by which a service is monitored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from dnnsweep.ledger import submissions
from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.tables import OutboxRow, SweepRow, TrialRow
from dnnsweep.ledger.watch import LeaseWatch
from dnnsweep.records import State, SweepState

#: The time over which the speed is measured.
SPEED_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class LedgerStats:
    """Statistics over a whole ledger.

    Args:
        n_waiting: Sweeps that wait for a worker.
        sweeps: Sweeps by the state that is stored.
        trials: Trials by state.
        n_ended: Trials that have ended.
        trials_per_second: Trials that ended per second, over the last minute.
        n_undelivered: Entries of the outbox.
        outbox_seconds: Age of the oldest entry of the outbox.
        lease_seconds: The longest time for which the lease of a running sweep was seen not to be renewed.
    """

    n_waiting: int
    sweeps: Mapping[str, int]
    trials: Mapping[str, int]
    n_ended: int
    trials_per_second: float
    n_undelivered: int
    outbox_seconds: float
    lease_seconds: float


def read_stats(connection: Connection, watch: LeaseWatch) -> LedgerStats:
    """Return statistics over a whole ledger."""
    time = now_ms(connection)
    waiting = select(func.count()).select_from(SweepRow).where(submissions.waiting_condition(connection, watch))
    sweeps = select(SweepRow.state, func.count()).group_by(SweepRow.state)
    trials = select(TrialRow.state, func.count()).group_by(TrialRow.state)
    recent = select(func.count()).select_from(TrialRow).where(TrialRow.ended_at > time - SPEED_SECONDS * 1000)
    outbox = select(func.count(), func.min(OutboxRow.created_at)).select_from(OutboxRow)
    by_state = {str(state): int(n) for state, n in connection.execute(trials)}
    n_undelivered, oldest = connection.execute(outbox).one()
    ended = (State.COMPLETE, State.PRUNED, State.FAILED)
    return LedgerStats(
        n_waiting=connection.execute(waiting).scalar_one(),
        sweeps={**dict.fromkeys(SweepState, 0), **{str(state): int(n) for state, n in connection.execute(sweeps)}},
        trials={**dict.fromkeys(State, 0), **by_state},
        n_ended=sum(by_state.get(state, 0) for state in ended),
        trials_per_second=connection.execute(recent).scalar_one() / SPEED_SECONDS,
        n_undelivered=n_undelivered,
        outbox_seconds=_seconds(oldest, time),
        lease_seconds=watch.longest_silence(connection),
    )


def _seconds(since: int | None, time: int) -> float:
    return 0.0 if since is None else max(0.0, (time - since) / 1000)
