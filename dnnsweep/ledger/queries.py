"""What the ledger answers: sweeps, trials and the best of them, by SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery, and_, case, func, select

from dnnsweep.errors import SweepNotFoundError
from dnnsweep.ledger import owners
from dnnsweep.ledger.conditions import compiled
from dnnsweep.ledger.database import now
from dnnsweep.ledger.tables import OutboxRow, SweepRow, TrialRow
from dnnsweep.query import Condition
from dnnsweep.records import Reason, State, Sweep, SweepState, Trial

_IN_BUDGET: Final = TrialRow.reason.in_([reason for reason in Reason if reason.is_in_budget])
_TRIAL_COLUMNS: Final = (
    TrialRow.number,
    TrialRow.value,
    TrialRow.params,
    TrialRow.state,
    TrialRow.reason,
    TrialRow.best_epoch,
    TrialRow.epochs,
    TrialRow.seconds,
    TrialRow.run_id,
    TrialRow.seed,
    TrialRow.attempts,
    TrialRow.error,
    TrialRow.metrics,
    TrialRow.started_at,
    TrialRow.ended_at,
)

_TRIALS: Final = select(*_TRIAL_COLUMNS)  # made once: SQLAlchemy looks at each column


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def ranking(direction: Any) -> tuple[ColumnElement[Any], ...]:
    """Return the order of complete trials, best first; equal values rank by lower `val_loss`, then by number."""
    sign = case((direction == "maximize", -1.0), else_=1.0)
    return (TrialRow.value * sign).asc(), func.coalesce(TrialRow.val_loss, 1e308).asc(), TrialRow.number.asc()


def _counts(sweep_ids: Select[Any]) -> Subquery:
    columns = (
        TrialRow.sweep_id,
        _count(_IN_BUDGET).label("n_finished"),
        _count(TrialRow.state == State.RUNNING).label("n_running"),
        _count(and_(_IN_BUDGET, TrialRow.state == State.FAILED)).label("n_failed"),
    )
    return select(*columns).where(TrialRow.sweep_id.in_(sweep_ids)).group_by(TrialRow.sweep_id).subquery()


def _waiting(sweep_ids: Select[Any]) -> Subquery:
    columns = (OutboxRow.sweep_id, func.count().label("n_undelivered"))
    return select(*columns).where(OutboxRow.sweep_id.in_(sweep_ids)).group_by(OutboxRow.sweep_id).subquery()


def _ranked(sweep_ids: Select[Any]) -> Subquery:
    place = func.row_number().over(partition_by=TrialRow.sweep_id, order_by=ranking(SweepRow.direction))
    complete = (TrialRow.state == State.COMPLETE, TrialRow.sweep_id.in_(sweep_ids))
    columns = (TrialRow.sweep_id, TrialRow.number, TrialRow.value, place.label("place"))
    return select(*columns).join(SweepRow, SweepRow.id == TrialRow.sweep_id).where(*complete).subquery()


def read_sweeps(connection: Connection, *conditions: ColumnElement[bool]) -> list[Sweep]:
    """Return the sweeps that meet the conditions, oldest first."""
    mine = select(SweepRow.id).where(*conditions)
    counts, waiting, ranked = _counts(mine), _waiting(mine), _ranked(mine)
    statement = (
        select(
            SweepRow.__table__,
            ranked.c.number.label("best_number"),
            ranked.c.value.label("best_value"),
            *(func.coalesce(column, 0).label(column.key) for column in list(counts.c)[1:]),
            func.coalesce(waiting.c.n_undelivered, 0).label("n_undelivered"),
        )
        .outerjoin(counts, counts.c.sweep_id == SweepRow.id)
        .outerjoin(ranked, and_(ranked.c.sweep_id == SweepRow.id, ranked.c.place == 1))
        .outerjoin(waiting, waiting.c.sweep_id == SweepRow.id)
        .where(*conditions)
        .order_by(SweepRow.created_at, SweepRow.name)
    )
    return [_sweep(row) for row in connection.execute(statement)]


def _sweep(row: Row[Any]) -> Sweep:
    values = row._mapping  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
    own = {name: values[name] for name in Sweep.__slots__ if name in values}
    return Sweep(**{**own, "state": state_of(row), "window": row.window_size})


def state_of(row: Row[Any]) -> SweepState:
    """Return where a sweep stands, which for a running one depends on whether somebody still holds it."""
    state = SweepState(row.state)
    if state is SweepState.RUNNING and not owners.is_held(row.owner, row.expires_at, now()):
        return SweepState.INTERRUPTED if row.queued_at is None else SweepState.QUEUED  # whoever ran it is gone
    return state


def read_sweep(connection: Connection, name: str) -> Sweep:
    """Return one sweep.

    Raises:
        SweepNotFoundError: There is none of this name.
    """
    found = read_sweeps(connection, SweepRow.name == name)
    if not found:
        raise SweepNotFoundError(f"there is no sweep named {name}; `dnnsweep list` shows those there are")
    return found[0]


def read_trials(
    connection: Connection, sweep: Sweep, condition: Condition | None = None, first: int = 0
) -> list[Trial]:
    """Return the sweep's trials that meet a condition, in their order, from number `first` on."""
    mine = _selected(sweep, condition).where(TrialRow.number >= first)
    return _trials(connection, sweep, mine.order_by(TrialRow.number))


def read_page(
    connection: Connection,
    sweep: Sweep,
    condition: Condition | None,
    shaped: Callable[[Select[Any]], Select[Any]],
) -> list[Trial]:
    """Return the sweep's trials that meet a condition, as a caller orders and cuts them."""
    return _trials(connection, sweep, shaped(_selected(sweep, condition)))


def read_best(connection: Connection, sweep: Sweep, top: int, condition: Condition | None = None) -> list[Trial]:
    """Return the sweep's best trials that meet a condition, best first."""
    order = ranking(select(SweepRow.direction).where(SweepRow.id == sweep.id).scalar_subquery())
    complete = _selected(sweep, condition).where(TrialRow.state == State.COMPLETE)
    return _trials(connection, sweep, complete.order_by(*order).limit(top))


def read_trial(connection: Connection, sweep: Sweep, number: int) -> Trial:
    """Return one trial.

    Raises:
        SweepNotFoundError: The sweep has no trial of this number.
    """
    found = _trials(connection, sweep, _selected(sweep, None).where(TrialRow.number == number))
    if not found:
        raise SweepNotFoundError(f"sweep {sweep.name} has no trial {number}")
    return found[0]


def _selected(sweep: Sweep, condition: Condition | None) -> Select[Any]:
    statement = _TRIALS.where(TrialRow.sweep_id == sweep.id)
    return statement if condition is None else statement.where(compiled(condition))


def _trials(connection: Connection, sweep: Sweep, statement: Select[Any]) -> list[Trial]:
    rows: Sequence[Row[Any]] = connection.execute(statement).all()
    return [_trial(sweep.name, row) for row in rows]


def _trial(sweep: str, row: Row[Any]) -> Trial:
    values = {**row._mapping, "state": State(row.state), "reason": Reason(row.reason) if row.reason else None}  # noqa: SLF001
    return Trial(sweep=sweep, **values)
