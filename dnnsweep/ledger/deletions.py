"""What is kept of sweeps that were deleted: who asked for what, and when."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.tables import PARENT, DeletedSweepRow, EventRow
from dnnsweep.records.events import DeletedSweep, Event, EventKind
from dnnsweep.records.paging import Page

_KEPT = ("id", "name", "submitted_by", "stopped_by", "created_at")


def keep_record(connection: Connection, row: Row[Any], deleted_by: str | None) -> None:
    """Store, in the transaction that deletes a sweep, what is kept of it: the sweep's own events among others.

    Args:
        connection: A transaction that writes.
        row: The sweep's row.
        deleted_by: Name of the token that deletes it; None for a command on a home.
    """
    own = (EventRow.sweep_id == row.id, EventRow.number == PARENT)
    found = connection.execute(select(EventRow.__table__).where(*own).order_by(EventRow.id))
    events = [
        {"kind": event.kind, "detail": event.detail, "time": event.time, "requested_by": event.requested_by}
        for event in found
    ]
    values = {name: getattr(row, name) for name in _KEPT}
    ending = {"deleted_by": deleted_by, "deleted_at": now_ms(connection), "events": events}
    connection.execute(insert(DeletedSweepRow).values({**values, **ending}))


def read_page(connection: Connection, limit: int | None, offset: int) -> Page[DeletedSweep]:
    """Return a part of the records, in the order of deletion; see `Ledger.deleted_page`."""
    ordered = select(DeletedSweepRow.__table__).order_by(DeletedSweepRow.deleted_at, DeletedSweepRow.id)
    rows = connection.execute(ordered.limit(limit).offset(offset)).all()
    total = connection.execute(select(func.count()).select_from(DeletedSweepRow)).scalar_one()
    return Page([_deleted(row) for row in rows], total)


def _deleted(row: Row[Any]) -> DeletedSweep:
    events = (
        Event(row.name, None, EventKind(event["kind"]), None, event["detail"], event["time"], event["requested_by"])
        for event in row.events
    )
    kept = {name: getattr(row, name) for name in (*_KEPT, "deleted_by", "deleted_at")}
    return DeletedSweep(**kept, events=tuple(events))
