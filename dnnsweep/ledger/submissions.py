"""The queue of sweeps that wait for a worker: how they get into it, and how workers take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, or_, select, update

from dnnsweep.ledger import checks, events, outbox, owners, queries
from dnnsweep.ledger.database import Database, now_ms
from dnnsweep.ledger.lease import Lease, take_lease
from dnnsweep.ledger.tables import PARENT, EventRow, SweepRow
from dnnsweep.ledger.trial_rows import requeue_running
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.events import EventKind
from dnnsweep.records.ranking import reaches_target

#: How many workers may die on a sweep, while none of its trials ends, before it is given up.
MAX_DEATHS: Final = 5


@dataclass(frozen=True, slots=True)
class Submission:
    """A sweep on its way into the queue.

    Args:
        columns: Columns of the sweep's row, if the sweep is new.
        identity: The part of its file that identifies the sweep.
        budget: The columns of what may change in its file.
        is_restricted: Whether the sweep came over the network, so that the operator's limits hold.
        requested_by: Name of the token that submits it; None for a command on a home.
    """

    columns: Mapping[str, Any]
    identity: Mapping[str, Any]
    budget: Mapping[str, Any]
    is_restricted: bool
    requested_by: str | None


def submit(database: Database, submitted: Submission) -> tuple[Sweep, bool]:
    """Put a sweep into the queue; return it as it is stored, and whether it is new. See `Ledger.submit`."""
    name = submitted.columns["name"]
    with database.write() as connection:
        is_new = _store(connection, checks.lock_sweep(connection, name), submitted)
        return queries.read_sweep(connection, name), is_new  # in this transaction: it may be deleted right after


def _store(connection: Connection, row: Row[Any] | None, submitted: Submission) -> bool:
    if row is None:
        by = submitted.requested_by
        values = {**submitted.columns, "is_restricted": submitted.is_restricted, "submitted_by": by}
        connection.execute(insert(SweepRow).values({**values, **_queued_columns()}))
        events.record_events(connection, values["id"], EventKind.CREATED, PARENT, requested_by=by)
        events.record_events(connection, values["id"], EventKind.QUEUED, PARENT, requested_by=by)
        return True
    checks.check_content(row, submitted.columns["digest"], submitted.identity)
    _submit_again(connection, row, submitted)
    return False


def _submit_again(connection: Connection, row: Row[Any], submitted: Submission) -> None:
    state, is_same = queries.shown_state(row), row.spec == submitted.budget["spec"]
    if is_same and state in (SweepState.RUNNING, SweepState.QUEUED):
        _withdraw_stop(connection, row, submitted.requested_by)
        return
    checks.check_free(row)
    values = {**submitted.budget, "is_restricted": submitted.is_restricted, "is_stop_requested": False}
    if row.is_stop_requested:
        values["stopped_by"] = None
    if state is not SweepState.QUEUED and not _has_spent(connection, row, submitted.budget):
        values |= _queued_columns()
        events.record_events(connection, row.id, EventKind.QUEUED, PARENT, requested_by=submitted.requested_by)
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(token=row.token + 1, **values))
    if row.fingerprint:
        outbox.add_change(connection, row.id, PARENT)


def _withdraw_stop(connection: Connection, row: Row[Any], requested_by: str | None) -> None:
    """Withdraw a request to stop that nobody has obeyed yet."""
    if row.is_stop_requested:
        values = {"is_stop_requested": False, "stopped_by": None}
        connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
        events.record_events(connection, row.id, EventKind.QUEUED, PARENT, requested_by=requested_by)


def _has_spent(connection: Connection, row: Row[Any], budget: Mapping[str, Any]) -> bool:
    """Return whether nothing is left to train: all trials of the budget, or a value as good as its target."""
    sweep = queries.read_sweep(connection, row.name)
    target = budget["spec"]["budget"].get("target")
    return sweep.n_finished >= budget["n_trials"] or reaches_target(sweep.best_value, target, sweep.direction)


def _queued_columns() -> dict[str, Any]:
    return {
        "state": SweepState.QUEUED,
        "queued_at": now_ms(),
        "error": None,
        "ended_at": None,
        "is_stop_requested": False,
        "stopped_by": None,
    }


def request_stop(connection: Connection, row: Row[Any], requested_by: str | None) -> bool:
    """Ask the controller of a sweep to stop, or take it from the queue, in the caller's transaction.

    Args:
        connection: A transaction that writes.
        row: The sweep's row, locked.
        requested_by: Name of the token that asks; None for a command on a home.

    Returns:
        Whether the sweep was running or waiting.
    """
    is_held = owners.is_held(row.owner, row.expires_at, now_ms())
    if not is_held and queries.shown_state(row) is not SweepState.QUEUED:
        return False
    values = {"is_stop_requested": True, "stopped_by": requested_by}
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
    events.record_events(connection, row.id, EventKind.STOP_REQUESTED, PARENT, requested_by=requested_by)
    if not is_held:
        _stop_waiting(connection, row)
    return True


def _stop_waiting(connection: Connection, row: Row[Any]) -> None:
    """Take a sweep that nobody runs from the queue, in the caller's transaction."""
    values = {"state": SweepState.STOPPED, "ended_at": now_ms(), "token": row.token + 1, "is_stop_requested": False}
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
    requeue_running(connection, row.id)
    events.record_events(connection, row.id, EventKind.ENDED, PARENT, detail="stopped")
    if row.fingerprint:
        outbox.add_change(connection, row.id, PARENT)


def claim_next(database: Database, owner: str | None, seconds: float) -> tuple[Lease, str] | None:
    """Take the lease on the sweep that is next; return it with the sweep's name, or None if none waits.

    The highest priority comes first; among equal ones, the sweep that has waited longest. On PostgreSQL workers skip
    rows that another worker is about to take; on SQLite they take the file's lock in turn.
    """
    with database.read() as connection:  # idle workers ask often: finding nothing must not take a lock
        if connection.execute(select(SweepRow.id).where(waiting_condition(connection)).limit(1)).first() is None:
            return None
    while True:
        with database.write() as connection:
            row = connection.execute(_select_next(connection)).first()
            if row is None:
                return None
            if row.is_stop_requested:
                _stop_waiting(connection, row)  # its worker died before it could obey
            elif row.state == SweepState.RUNNING and _count_deaths(connection, row) >= MAX_DEATHS:
                _give_up(connection, row)
            else:
                lease = take_lease(database, connection, row, owner, seconds, queued_at=row.queued_at)
                return lease, str(row.name)


def _count_deaths(connection: Connection, row: Row[Any]) -> int:
    """Return how many workers have died on a sweep since it, or a trial of it, last ended."""
    is_event = EventRow.sweep_id == row.id
    last = select(func.coalesce(func.max(EventRow.id), 0)).where(is_event, EventRow.kind == EventKind.ENDED)
    later = (is_event, EventRow.kind == EventKind.LEASED, EventRow.id > last.scalar_subquery())
    return connection.execute(select(func.count()).select_from(EventRow).where(*later)).scalar_one()


def _give_up(connection: Connection, row: Row[Any]) -> None:
    """Mark a sweep that kills its workers as failed, in the caller's transaction: others wait behind it."""
    error = f"{MAX_DEATHS} workers died on it, one after the other, before any trial had ended; resume it to try again"
    values = {"state": SweepState.FAILED, "ended_at": now_ms(), "token": row.token + 1, "error": error}
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(owner=None, expires_at=None, **values))
    requeue_running(connection, row.id)
    events.record_events(connection, row.id, EventKind.ENDED, PARENT, detail=f"failed: {error}")
    if row.fingerprint:
        outbox.add_change(connection, row.id, PARENT)


def _select_next(connection: Connection) -> Select[Any]:
    order = (SweepRow.priority.desc(), SweepRow.queued_at, SweepRow.created_at, SweepRow.name)
    statement = select(SweepRow.__table__).where(waiting_condition(connection)).order_by(*order).limit(1)
    return statement.with_for_update(skip_locked=True)


def waiting_condition(connection: Connection) -> ColumnElement[bool]:
    """Return the condition under which a sweep waits for a worker: queued, or left behind by one that died."""
    abandoned = and_(SweepRow.state == SweepState.RUNNING, SweepRow.queued_at.is_not(None), ~held_condition(connection))
    return or_(SweepRow.state == SweepState.QUEUED, abandoned)


def held_condition(connection: Connection) -> ColumnElement[bool]:
    """Return the condition under which somebody runs a sweep, as `owners.is_held` knows it."""
    time = now_ms()
    is_leased = and_(SweepRow.owner.is_not(None), func.coalesce(SweepRow.expires_at, 0) > time)
    holders = connection.execute(select(SweepRow.owner).where(is_leased).distinct()).scalars()
    gone = [holder for holder in holders if holder is not None and owners.is_gone(holder)]
    return and_(is_leased, SweepRow.owner.not_in(gone)) if gone else is_leased
