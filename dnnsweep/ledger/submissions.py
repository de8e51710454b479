"""The queue of sweeps that wait for a worker: how they get into it, and how workers take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, insert, or_, select, update

from dnnsweep.ledger import checks, creation, events, outbox, queries
from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.creation import NewSweep
from dnnsweep.ledger.database import Database
from dnnsweep.ledger.lease import Lease, take_lease
from dnnsweep.ledger.tables import PARENT, EventRow, SweepRow
from dnnsweep.ledger.trial_rows import requeue_running
from dnnsweep.ledger.watch import LeaseWatch
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.events import EventKind
from dnnsweep.records.sweeps import has_spent_budget

#: The columns of a sweep that nobody holds.
UNHELD: Final[Mapping[str, Any]] = {"owner": None, "expires_at": None}
#: How many workers may die on a sweep, while none of its trials ends, before it is given up.
MAX_DEATHS: Final = 5


@dataclass(frozen=True, slots=True)
class Submission:
    """A sweep on its way into the queue.

    Args:
        new: The sweep as its file describes it.
        is_restricted: Whether the sweep came over the network, so that the operator's limits hold.
        requested_by: Name of the token that submits it; None for a command on a home.
    """

    new: NewSweep
    is_restricted: bool
    requested_by: str | None


def submit(database: Database, watch: LeaseWatch, submitted: Submission) -> tuple[Sweep, bool]:
    """Put a sweep into the queue; return it as it is stored, and whether it is new. See `Ledger.submit`."""
    name = submitted.new.name
    with database.write() as connection:
        is_new = _store(connection, watch, find_kept(connection, watch, submitted.new), submitted)
        return queries.read_sweep(connection, watch, name), is_new  # in this transaction: it may be deleted right after


def find_kept(connection: Connection, watch: LeaseWatch, new: NewSweep) -> Row[Any] | None:
    """Return the locked row of the sweep that has a name, if there is one; an abandoned one of other content goes.

    Args:
        connection: A transaction that writes.
        watch: What this process has seen of leases.
        new: The sweep that is to have the name.
    """
    row = checks.lock_sweep(connection, new.name)
    if row is None or row.digest == new.digest or not checks.is_abandoned(row, watch):
        return row
    outbox.add_removals(connection, row.id)
    connection.execute(delete(SweepRow).where(SweepRow.id == row.id))
    return None


def _store(connection: Connection, watch: LeaseWatch, row: Row[Any] | None, submitted: Submission) -> bool:
    if row is None:
        by, values = submitted.requested_by, creation.new_columns(connection, submitted.new)
        queued = {"is_restricted": submitted.is_restricted, "submitted_by": by, **_queued_columns(connection)}
        connection.execute(insert(SweepRow).values({**values, **queued}))
        events.record_events(connection, values["id"], EventKind.CREATED, PARENT, requested_by=by)
        events.record_events(connection, values["id"], EventKind.QUEUED, PARENT, requested_by=by)
        return True
    checks.check_content(row, submitted.new.digest, submitted.new.identity)
    _submit_again(connection, watch, row, submitted)
    return False


def _submit_again(connection: Connection, watch: LeaseWatch, row: Row[Any], submitted: Submission) -> None:
    budget = creation.budget_columns(submitted.new.spec)
    state, is_same = queries.shown_state(connection, watch, row), row.spec == budget["spec"]
    if is_same and state in (SweepState.RUNNING, SweepState.QUEUED):
        _withdraw_stop(connection, row, submitted.requested_by)
        return
    checks.check_free(row, watch)
    values = {**budget, **UNHELD, "is_restricted": submitted.is_restricted, "is_stop_requested": False}
    if row.is_stop_requested:
        values["stopped_by"] = None
    if state is not SweepState.QUEUED and not _has_spent(connection, watch, row, budget):
        values |= _queued_columns(connection)
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


def _has_spent(connection: Connection, watch: LeaseWatch, row: Row[Any], budget: Mapping[str, Any]) -> bool:
    return has_spent_budget(queries.read_sweep(connection, watch, row.name), budget["spec"]["budget"])


def _queued_columns(connection: Connection) -> dict[str, Any]:
    last = connection.execute(select(func.max(SweepRow.queued_at))).scalar() or 0
    return {
        "state": SweepState.QUEUED,
        "queued_at": max(now_ms(connection), last + 1),  # behind all others, whatever a clock was set to meanwhile
        "error": None,
        "ended_at": None,
        "is_stop_requested": False,
        "stopped_by": None,
    }


def request_stop(connection: Connection, watch: LeaseWatch, row: Row[Any], requested_by: str | None) -> bool:
    """Ask the controller of a sweep to stop, or take it from the queue, in the caller's transaction.

    Args:
        connection: A transaction that writes.
        watch: What this process has seen of leases.
        row: The sweep's row, locked.
        requested_by: Name of the token that asks; None for a command on a home.

    Returns:
        Whether the sweep was running or waiting.
    """
    is_free, state = watch.is_free(row), queries.shown_state(connection, watch, row)
    if is_free and state is not SweepState.QUEUED:
        return False
    values = {"is_stop_requested": True, "stopped_by": requested_by}
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
    events.record_events(connection, row.id, EventKind.STOP_REQUESTED, PARENT, requested_by=requested_by)
    if is_free:
        _stop_waiting(connection, row)
    return state in (SweepState.RUNNING, SweepState.QUEUED)


def _stop_waiting(connection: Connection, row: Row[Any]) -> None:
    """Take a sweep that nobody runs from the queue, in the caller's transaction."""
    values = {"state": SweepState.STOPPED, "ended_at": now_ms(connection), "is_stop_requested": False, **UNHELD}
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(token=row.token + 1, **values))
    requeue_running(connection, row.id)
    events.record_events(connection, row.id, EventKind.ENDED, PARENT, detail="stopped")
    if row.fingerprint:
        outbox.add_change(connection, row.id, PARENT)


def claim_next(database: Database, watch: LeaseWatch, owner: str | None) -> tuple[Lease, str] | None:
    """Take the lease on the sweep that is next; return it with the sweep's name, or None if none waits.

    The highest priority comes first; among equal ones, the sweep that has waited longest. On PostgreSQL workers skip
    rows that another worker is about to take; on SQLite they take the file's lock in turn.
    """
    with database.read() as connection:  # idle workers ask often: finding nothing must not take a lock
        if connection.execute(select(SweepRow.id).where(waiting_condition(connection, watch)).limit(1)).first() is None:
            return None
    while True:
        with database.write() as connection:
            row = connection.execute(_select_next(connection, watch)).first()
            if row is None:
                return None
            if row.is_stop_requested:
                _stop_waiting(connection, row)  # its worker died before it could obey
            elif row.state == SweepState.RUNNING and _count_deaths(connection, row) >= MAX_DEATHS:
                _give_up(connection, row)
            else:
                lease = take_lease(database, connection, row, owner, queued_at=row.queued_at)
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
    values = {"state": SweepState.FAILED, "ended_at": now_ms(connection), "error": error, **UNHELD}
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(token=row.token + 1, **values))
    requeue_running(connection, row.id)
    events.record_events(connection, row.id, EventKind.ENDED, PARENT, detail=f"failed: {error}")
    if row.fingerprint:
        outbox.add_change(connection, row.id, PARENT)


def _select_next(connection: Connection, watch: LeaseWatch) -> Select[Any]:
    order = (SweepRow.priority.desc(), SweepRow.queued_at, SweepRow.created_at, SweepRow.name)
    statement = select(SweepRow.__table__).where(waiting_condition(connection, watch)).order_by(*order).limit(1)
    return statement.with_for_update(skip_locked=True)


def waiting_condition(connection: Connection, watch: LeaseWatch) -> ColumnElement[bool]:
    """Return the condition under which a worker may take a sweep: it is queued, or its worker's lease is lost."""
    abandoned = and_(SweepRow.queued_at.is_not(None), watch.free_condition(connection))
    return or_(SweepRow.state == SweepState.QUEUED, abandoned)
