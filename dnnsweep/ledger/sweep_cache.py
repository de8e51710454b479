"""Sweeps as they were last read: for many readers, what has not changed since is not counted again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from dnnsweep.errors import SweepNotFoundError
from dnnsweep.ledger import queries
from dnnsweep.ledger.tables import OutboxRow, SweepRow
from dnnsweep.ledger.watch import LeaseWatch
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.paging import Page

#: Sweeps that are kept as they were last read.
MAX_KEPT: Final = 2_000
#: Whatever is written about a sweep or its trials changes one of these: each transaction of a lease the last one.
_VERSION: Final = (
    SweepRow.state,
    SweepRow.owner,
    SweepRow.run_id,
    SweepRow.n_trials,
    SweepRow.ended_at,
    SweepRow.token,
    SweepRow.last_turn,
    SweepRow.stopped_by,
)
_LIGHT: Final = (SweepRow.id, SweepRow.name, SweepRow.expires_at, SweepRow.queued_at, *_VERSION)
_BY_NAME: Final = select(*_LIGHT).where(SweepRow.name == bindparam("own_name"))


class SweepCache:
    """Reads sweeps, and keeps them until their version has changed.

    Args:
        watch: Tells which leases are lost.
    """

    def __init__(self, watch: LeaseWatch) -> None:
        self._watch = watch
        self._kept: dict[str, tuple[tuple[Any, ...], Sweep]] = {}

    def read_sweep(self, connection: Connection, name: str) -> Sweep:
        """Return one sweep, with the number of undelivered updates that it had when it last changed.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        sweeps = self._read(connection, connection.execute(_BY_NAME, {"own_name": name}).all())
        if not sweeps:
            raise SweepNotFoundError.named(name)
        return sweeps[0]

    def read_page(
        self, connection: Connection, state: SweepState | None, limit: int | None, offset: int
    ) -> Page[Sweep]:
        """Return sweeps, oldest first.

        Args:
            connection: A transaction.
            state: Return only sweeps that are shown in this state.
            limit: Return at most this many sweeps; None for all.
            offset: Leave out this many sweeps at the beginning.
        """
        conditions = [] if state is None else [self._is_shown_as(connection, state)]
        ordered = select(*_LIGHT).where(*conditions).order_by(SweepRow.created_at, SweepRow.name)
        sweeps = self._read(connection, connection.execute(ordered.limit(limit).offset(offset)).all())
        total = connection.execute(select(func.count()).select_from(SweepRow).where(*conditions)).scalar_one()
        return Page(count_undelivered(connection, sweeps), total)

    def _read(self, connection: Connection, rows: Sequence[Any]) -> list[Sweep]:
        kept = self._kept  # other threads may put another dictionary in its place, but change none
        versions = {row.id: tuple(getattr(row, column.key) for column in _VERSION) for row in rows}
        current = {id_: kept[id_] for id_, version in versions.items() if id_ in kept and kept[id_][0] == version}
        stale = [id_ for id_ in versions if id_ not in current]
        if stale:
            read = queries.read_sweeps(connection, self._watch, SweepRow.id.in_(stale))
            current |= {sweep.id: (versions[sweep.id], sweep) for sweep in read}
            others = [(id_, entry) for id_, entry in kept.items() if id_ not in current]
            self._kept = dict([*others, *current.items()][-MAX_KEPT:])
        shown = {row.id: queries.shown_state(connection, self._watch, row) for row in rows}
        return [replace(current[row.id][1], state=shown[row.id]) for row in rows if row.id in current]

    def _is_shown_as(self, connection: Connection, state: SweepState) -> ColumnElement[bool]:
        """Return the condition under which a sweep is shown in a state."""
        is_running = SweepRow.state == SweepState.RUNNING
        if state not in (SweepState.RUNNING, SweepState.QUEUED, SweepState.INTERRUPTED):
            return SweepRow.state == state
        is_free = self._watch.shown_free_condition(connection)
        if state is SweepState.RUNNING:
            return and_(is_running, ~is_free)
        is_queued = SweepRow.queued_at.is_not(None)
        return (SweepRow.state == state) | (is_free & (is_queued if state is SweepState.QUEUED else ~is_queued))


def count_undelivered(connection: Connection, sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Return sweeps with how many updates MLflow has not seen by now, and why; delivery changes no version."""
    is_entry = OutboxRow.sweep_id.in_([sweep.id for sweep in sweeps])
    columns = (OutboxRow.sweep_id, func.count(), func.max(OutboxRow.error))
    statement = select(*columns).where(is_entry).group_by(OutboxRow.sweep_id)
    entries = {sweep_id: (count, error) for sweep_id, count, error in connection.execute(statement)}
    counted = ((sweep, *entries.get(sweep.id, (0, None))) for sweep in sweeps)
    return [replace(sweep, n_undelivered=count, delivery_error=error) for sweep, count, error in counted]
