"""Pages of sweeps and trials for many readers: what has not changed since it was last read is not counted again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from dnnsweep.errors import QueryError, SweepNotFoundError
from dnnsweep.ledger import curves, events, queries, stats, submissions
from dnnsweep.ledger.database import Database
from dnnsweep.ledger.stats import LedgerStats
from dnnsweep.ledger.tables import OutboxRow, SweepRow, TrialRow
from dnnsweep.ledger.where import to_sql
from dnnsweep.query import Condition
from dnnsweep.records import Curve, Sweep, SweepState, Trial
from dnnsweep.records.events import Event
from dnnsweep.space import did_you_mean

T = TypeVar("T")
#: By which columns trials may be ordered.
ORDERS: Final[Mapping[str, Any]] = {
    "number": TrialRow.number,
    "value": TrialRow.value,
    "epochs": TrialRow.epochs,
    "best_epoch": TrialRow.best_epoch,
    "seconds": TrialRow.seconds,
    "started_at": TrialRow.started_at,
    "ended_at": TrialRow.ended_at,
}
#: Sweeps that are kept as they were last read.
MAX_KEPT: Final = 2_000
#: Whatever is written about a sweep or its trials changes one of these: a controller's every transaction the last two.
_VERSION: Final = (
    SweepRow.state,
    SweepRow.owner,
    SweepRow.run_id,
    SweepRow.n_trials,
    SweepRow.ended_at,
    SweepRow.token,
    SweepRow.last_turn,
)
_LIGHT: Final = (SweepRow.id, SweepRow.name, SweepRow.expires_at, SweepRow.queued_at, *_VERSION)
_BY_NAME: Final = select(*_LIGHT).where(SweepRow.name == bindparam("own_name"))
#: What trials of a sweep must meet depends on the sweep: it may have hyperparameters of its own.
ConditionFor = Callable[[Sweep], Condition | None]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of what was found.

    Args:
        items: In order.
        total: How many were found.
    """

    items: list[T]
    total: int


class Overview:
    """Reads sweeps and trials by pages.

    Args:
        database: The ledger's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[str, tuple[tuple[Any, ...], Sweep]] = {}

    def sweep(self, name: str) -> Sweep:
        """Return one sweep.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            sweep = self._sweep(connection, name)
            return replace(sweep, n_undelivered=_undelivered(connection, [sweep.id]).get(sweep.id, 0))

    def _sweep(self, connection: Connection, name: str) -> Sweep:
        found = self._read(connection, connection.execute(_BY_NAME, {"own_name": name}).all())
        if not found:
            raise SweepNotFoundError(f"there is no sweep named {name}; `dnnsweep list` shows those there are")
        return found[0]

    def sweeps(self, state: SweepState | None = None, limit: int | None = None, offset: int = 0) -> Page[Sweep]:
        """Return sweeps, oldest first.

        Args:
            state: Only those that stand so.
            limit: At most so many; None for all.
            offset: Sweeps to leave out at the beginning.
        """
        with self._database.read() as connection:
            conditions = [] if state is None else [_stands(connection, state)]
            rows = connection.execute(
                select(*_LIGHT)
                .where(*conditions)
                .order_by(SweepRow.created_at, SweepRow.name)
                .limit(limit)
                .offset(offset)
            ).all()
            total = connection.execute(select(func.count()).select_from(SweepRow).where(*conditions)).scalar_one()
            found = self._read(connection, rows)
            behind = _undelivered(connection, [sweep.id for sweep in found])
            return Page([replace(sweep, n_undelivered=behind.get(sweep.id, 0)) for sweep in found], total)

    def _read(self, connection: Connection, rows: Sequence[Any]) -> list[Sweep]:
        kept = self._kept  # other threads may put another one in its place meanwhile, but change none
        versions = {row.id: tuple(getattr(row, column.key) for column in _VERSION) for row in rows}
        found = {id_: kept[id_] for id_, version in versions.items() if id_ in kept and kept[id_][0] == version}
        stale = [id_ for id_ in versions if id_ not in found]
        if stale:
            fresh = queries.read_sweeps(connection, SweepRow.id.in_(stale))
            found |= {sweep.id: (versions[sweep.id], sweep) for sweep in fresh}
            others = [(id_, one) for id_, one in kept.items() if id_ not in found]
            self._kept = dict([*others, *found.items()][-MAX_KEPT:])
        return [replace(found[row.id][1], state=queries.shown_state(row)) for row in rows if row.id in found]

    def trials(
        self,
        name: str,
        condition_for: ConditionFor = lambda _: None,
        order: str = "number",
        limit: int | None = None,
        offset: int = 0,
    ) -> Page[Trial]:
        """Return trials of a sweep.

        Args:
            name: The sweep.
            condition_for: Returns what they must meet, given the sweep; None for all.
            order: A column of `ORDERS`; with `-` before it, the largest comes first. Trials without one come last.
            limit: At most so many; None for all.
            offset: Trials to leave out at the beginning.

        Raises:
            QueryError: There is no such order.
            SweepNotFoundError: There is no such sweep.
        """
        ordered = _order(order)
        with self._database.read() as connection:
            sweep = self._sweep(connection, name)
            condition = condition_for(sweep)
            found = queries.read_page(
                connection, sweep, condition, lambda all_: all_.order_by(*ordered).limit(limit).offset(offset)
            )
            if 0 < len(found) < (limit or math.inf):  # the last ones: what was left out and these are all
                return Page(found, offset + len(found))
            mine = [TrialRow.sweep_id == sweep.id] + ([] if condition is None else [to_sql(condition)])
            total = connection.execute(select(func.count()).select_from(TrialRow).where(*mine)).scalar_one()
            return Page(found, total)

    def best(self, name: str, top: int | None, condition_for: ConditionFor = lambda _: None) -> list[Trial]:
        """Return the best complete trials of a sweep that meet a condition, best first; see `trials`."""
        with self._database.read() as connection:
            sweep = self._sweep(connection, name)
            return queries.read_best(connection, sweep, top, condition_for(sweep))

    def trial(self, name: str, number: int) -> Trial:
        """Return one trial.

        Raises:
            SweepNotFoundError: There is no such sweep or trial.
        """
        with self._database.read() as connection:
            return queries.read_trial(connection, self._sweep(connection, name), number)

    def trial_with_curve(self, name: str, number: int) -> tuple[Trial, Curve]:
        """Return one trial, and what was measured while it trained; see `trial`."""
        with self._database.read() as connection:
            sweep = self._sweep(connection, name)
            trial = queries.read_trial(connection, sweep, number)
            return trial, curves.read_curve(connection, sweep.id, number)

    def events_after(self, sweep: Sweep, number: int, limit: int) -> list[tuple[int, Event]]:
        """Return the first events of a sweep, at most `limit`, with a number above another one, and their numbers."""
        with self._database.read() as connection:
            return events.read_events_after(connection, sweep, number, limit)

    def is_restricted(self, name: str) -> bool:
        """Return whether a sweep came over the network, so that the operator's limits hold for it."""
        with self._database.read() as connection:
            return bool(connection.execute(select(SweepRow.is_restricted).where(SweepRow.name == name)).scalar())

    def figures(self) -> LedgerStats:
        """Return how the ledger stands as a whole."""
        with self._database.read() as connection:
            return stats.read_stats(connection)


def _undelivered(connection: Connection, sweep_ids: Sequence[str]) -> dict[str, int]:
    counts = select(OutboxRow.sweep_id, func.count()).where(OutboxRow.sweep_id.in_(sweep_ids))
    return {row[0]: row[1] for row in connection.execute(counts.group_by(OutboxRow.sweep_id))}


def _stands(connection: Connection, state: SweepState) -> ColumnElement[bool]:
    """Return the condition under which a sweep is shown in a state."""
    is_running = SweepRow.state == SweepState.RUNNING
    if state is SweepState.RUNNING:
        return and_(is_running, submissions.held_condition(connection))
    if state is SweepState.QUEUED:
        return submissions.waiting_condition(connection)
    if state is SweepState.INTERRUPTED:
        left = and_(is_running, SweepRow.queued_at.is_(None), ~submissions.held_condition(connection))
        return (SweepRow.state == state) | left
    return SweepRow.state == state


def _order(text: str) -> tuple[ColumnElement[Any], ...]:
    name = text.removeprefix("-")
    if name not in ORDERS:
        remedy = did_you_mean(name, tuple(ORDERS)) or f"known are {', '.join(ORDERS)}"
        raise QueryError(f"order must name a field, with - before it for the largest first; {remedy}")
    column: ColumnElement[Any] = ORDERS[name]
    ordered = column.desc() if text.startswith("-") else column.asc()
    return (ordered,) if name == "number" else (column.is_(None), ordered, TrialRow.number.asc())
