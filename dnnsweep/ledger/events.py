"""What happened to sweeps and trials, in order; only ever added to."""

from __future__ import annotations

from sqlalchemy import Connection, insert, literal, select

from dnnsweep.history import Event, EventKind
from dnnsweep.ledger.database import now
from dnnsweep.ledger.tables import PARENT, EventRow, SweepRow, TrialRow
from dnnsweep.records import Sweep


def note(
    connection: Connection,
    sweep_id: str,
    kind: EventKind,
    *numbers: int,
    attempt: int | None = None,
    detail: str | None = None,
) -> None:
    """Note, in the caller's transaction, what happens to trials (or `PARENT`)."""
    time = now()
    rows = [
        {"sweep_id": sweep_id, "number": number, "kind": kind, "attempt": attempt, "detail": detail, "time": time}
        for number in numbers
    ]
    if rows:
        connection.execute(insert(EventRow), rows)


def delivered(connection: Connection, sweep_id: str, number: int) -> None:
    """Note, in the caller's transaction, that MLflow has all of a trial or a sweep; of one that runs it has a part."""
    row = SweepRow if number == PARENT else TrialRow
    mine = (
        (SweepRow.id == sweep_id,) if number == PARENT else (TrialRow.sweep_id == sweep_id, TrialRow.number == number)
    )
    columns = ["sweep_id", "number", "kind", "time"]
    values = (literal(sweep_id), literal(number), literal(EventKind.DELIVERED.value), literal(now()))
    ended = select(*values).select_from(row.__table__).where(*mine, row.ended_at.is_not(None))
    connection.execute(insert(EventRow).from_select(columns, ended))


def read(connection: Connection, sweep: Sweep) -> list[Event]:
    """Return what happened to a sweep and its trials, oldest first."""
    columns = (EventRow.time, EventRow.number, EventRow.kind, EventRow.attempt, EventRow.detail)
    statement = select(*columns).where(EventRow.sweep_id == sweep.id).order_by(EventRow.id)
    return [
        Event(
            sweep=sweep.name,
            number=None if row.number == PARENT else row.number,
            kind=EventKind(row.kind),
            attempt=row.attempt,
            detail=row.detail,
            time=row.time,
        )
        for row in connection.execute(statement)
    ]
