"""The log of what happened to sweeps and trials, in order; nothing in it is ever changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, literal, select

from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.tables import PARENT, EventRow, SweepRow, TrialRow
from dnnsweep.records import Sweep
from dnnsweep.records.events import Event, EventKind
from dnnsweep.records.paging import Page
from dnnsweep.redaction import redact


def record_events(  # noqa: PLR0913  what an event tells
    connection: Connection,
    sweep_id: str,
    kind: EventKind,
    *numbers: int,
    attempt: int | None = None,
    detail: str | None = None,
    requested_by: str | None = None,
) -> None:
    """Record, in the caller's transaction, what happens to trials (or to the sweep itself, `PARENT`)."""
    shown, time = None if detail is None else redact(detail), now_ms(connection)
    told = {"kind": kind, "attempt": attempt, "detail": shown, "time": time, "requested_by": requested_by}
    rows = [{"sweep_id": sweep_id, "number": number, **told} for number in numbers]
    if rows:
        connection.execute(insert(EventRow), rows)


def record_delivery(connection: Connection, sweep_id: str, number: int) -> None:
    """Record, in the caller's transaction, that MLflow has all of a trial or sweep, if that has ended."""
    row = SweepRow if number == PARENT else TrialRow
    is_row = (
        (SweepRow.id == sweep_id,) if number == PARENT else (TrialRow.sweep_id == sweep_id, TrialRow.number == number)
    )
    columns = ["sweep_id", "number", "kind", "time"]
    values = (literal(sweep_id), literal(number), literal(EventKind.DELIVERED.value), literal(now_ms(connection)))
    ended = select(*values).select_from(row.__table__).where(*is_row, row.ended_at.is_not(None))
    connection.execute(insert(EventRow).from_select(columns, ended))


def read_events(connection: Connection, sweep: Sweep) -> list[Event]:
    """Return what happened to a sweep and its trials, oldest first."""
    return [event for _, event in read_events_after(connection, sweep, 0)]


def read_event_page(connection: Connection, sweep: Sweep, limit: int | None, offset: int) -> Page[Event]:
    """Return a part of what happened to a sweep and its trials, newest first."""
    is_own = EventRow.sweep_id == sweep.id
    statement = select(EventRow.__table__).where(is_own).order_by(EventRow.id.desc()).limit(limit).offset(offset)
    total = connection.execute(select(func.count()).select_from(EventRow).where(is_own)).scalar_one()
    return Page([_event(sweep, row) for row in connection.execute(statement)], total)


def read_events_after(
    connection: Connection, sweep: Sweep, number: int, limit: int | None = None
) -> list[tuple[int, Event]]:
    """Return the first events of a sweep that are numbered above another one, with their numbers."""
    is_later = (EventRow.sweep_id == sweep.id, EventRow.id > number)
    statement = select(EventRow.__table__).where(*is_later).order_by(EventRow.id).limit(limit)
    return [(row.id, _event(sweep, row)) for row in connection.execute(statement)]


def _event(sweep: Sweep, row: Row[Any]) -> Event:
    return Event(
        sweep=sweep.name,
        number=None if row.number == PARENT else row.number,
        kind=EventKind(row.kind),
        attempt=row.attempt,
        detail=row.detail,
        time=row.time,
        requested_by=row.requested_by,
    )
