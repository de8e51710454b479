"""SQL that reads sweeps, trials and the best of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    ScalarSelect,
    Select,
    String,
    Subquery,
    and_,
    case,
    exists,
    func,
    literal,
    select,
)

from dnnsweep.errors import QueryError, SweepNotFoundError
from dnnsweep.ledger.columns import columns_of, from_columns, read_objectives, to_columns
from dnnsweep.ledger.tables import CandidateRow, OutboxRow, RepeatRow, SweepRow, TrialRow
from dnnsweep.ledger.watch import LeaseWatch
from dnnsweep.records import Finding, Purpose, Reason, State, Sweep, SweepState, Trial
from dnnsweep.records.paging import Page
from dnnsweep.records.ranking import pareto_front, rank
from dnnsweep.records.sweeps import CONCLUSION
from dnnsweep.space import did_you_mean

#: How many trials are the best of one objective, unless somebody says how many.
TOP: Final = 5
#: Columns by which trials may be ordered.
ORDERS: Final[Mapping[str, Any]] = {
    "number": TrialRow.number,
    "value": TrialRow.value,
    "epochs": TrialRow.epochs,
    "best_epoch": TrialRow.best_epoch,
    "seconds": TrialRow.seconds,
    "started_at": TrialRow.started_at,
    "ended_at": TrialRow.ended_at,
}
_IN_BUDGET: Final = TrialRow.reason.in_([reason for reason in Reason if reason.is_in_budget])
#: The columns of a trial's fields; `sweep` and `values` are not columns.
_TRIAL_COLUMNS: Final = (
    *(getattr(TrialRow, name) for name in Trial.__slots__ if name in TrialRow.__table__.columns),
    *columns_of(TrialRow, "value"),
)

#: The answer of a sweep may be long, and is read by itself.
_SWEEP_COLUMNS: Final[tuple[Any, ...]] = tuple(
    column for column in SweepRow.__table__.columns if column.name != "answer"
)
_TRIALS: Final = select(*_TRIAL_COLUMNS)  # made once: SQLAlchemy looks at each column


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a sweep's trials to read.

    Args:
        order: A column of `ORDERS`; with `-` before it, the largest comes first.
        limit: Read at most this many trials; None for all.
        offset: Leave out this many trials at the beginning.
    """

    order: str = "number"
    limit: int | None = None
    offset: int = 0


def _sum_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def ranking(directions: Iterable[ColumnElement[Any]]) -> tuple[ColumnElement[Any], ...]:
    """Return the order of complete trials, best first; equal values rank by lower `val_loss`, then by number.

    Args:
        directions: The direction of each objective that a sweep may have; null for one that it does not have.
    """
    signs = (case((direction == "maximize", -1.0), else_=1.0) for direction in directions)
    values = columns_of(TrialRow, "value")
    costs = (func.coalesce(value * sign, 0.0).asc() for value, sign in zip(values, signs, strict=True))
    return (*costs, func.coalesce(TrialRow.val_loss, 1e308).asc(), TrialRow.number.asc())


def _count_trials(sweep_ids: Select[Any]) -> Subquery:
    columns = (
        TrialRow.sweep_id,
        _sum_of(_IN_BUDGET).label("n_finished"),
        _sum_of(TrialRow.state == State.RUNNING).label("n_running"),
        _sum_of(and_(_IN_BUDGET, TrialRow.state == State.FAILED)).label("n_failed"),
        _sum_of(TrialRow.state == State.PRUNED).label("n_pruned"),
        _sum_of(TrialRow.reason == Reason.DIVERGED).label("n_diverged"),
    )
    return select(*columns).where(TrialRow.sweep_id.in_(sweep_ids)).group_by(TrialRow.sweep_id).subquery()


def _count_undelivered(sweep_ids: Select[Any]) -> Subquery:
    columns = (OutboxRow.sweep_id, func.count().label("n_undelivered"))
    return select(*columns).where(OutboxRow.sweep_id.in_(sweep_ids)).group_by(OutboxRow.sweep_id).subquery()


def _rank_trials(sweep_ids: Select[Any]) -> Subquery:
    order = ranking(columns_of(SweepRow, "direction"))
    place = func.row_number().over(partition_by=TrialRow.sweep_id, order_by=order)
    complete = (TrialRow.state == State.COMPLETE, TrialRow.sweep_id.in_(sweep_ids))
    columns = (TrialRow.sweep_id, TrialRow.number, TrialRow.value, place.label("place"))
    return select(*columns).join(SweepRow, SweepRow.id == TrialRow.sweep_id).where(*complete).subquery()


def _read_purpose() -> ScalarSelect[str | None]:
    """Return what a sweep's configurations are repeated for: the purpose of the last ones, while repeats are open."""
    is_open = exists().where(RepeatRow.sweep_id == SweepRow.id, RepeatRow.reason.is_(None)).correlate(SweepRow)
    last = select(CandidateRow.purpose).where(CandidateRow.sweep_id == SweepRow.id, is_open)
    return last.order_by(CandidateRow.number.desc()).limit(1).correlate(SweepRow).scalar_subquery()


def read_sweeps(connection: Connection, watch: LeaseWatch, *conditions: ColumnElement[bool]) -> list[Sweep]:
    """Return the sweeps that meet the conditions, oldest first."""
    sweep_ids = select(SweepRow.id).where(*conditions)
    counts, waiting, ranked = _count_trials(sweep_ids), _count_undelivered(sweep_ids), _rank_trials(sweep_ids)
    statement: Select[Any] = (
        select(
            *_SWEEP_COLUMNS,
            ranked.c.number.label("best_number"),
            ranked.c.value.label("best_value"),
            *(func.coalesce(column, 0).label(column.key) for column in list(counts.c)[1:]),
            func.coalesce(waiting.c.n_undelivered, 0).label("n_undelivered"),
            _read_purpose().label("purpose"),
        )
        .outerjoin(counts, counts.c.sweep_id == SweepRow.id)
        .outerjoin(ranked, and_(ranked.c.sweep_id == SweepRow.id, ranked.c.place == 1))
        .outerjoin(waiting, waiting.c.sweep_id == SweepRow.id)
        .where(*conditions)
        .order_by(SweepRow.created_at, SweepRow.name)
    )
    return [_to_sweep(connection, watch, row) for row in connection.execute(statement).all()]


def _to_sweep(connection: Connection, watch: LeaseWatch, row: Row[Any]) -> Sweep:
    values = row._mapping  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
    stored = {name: values[name] for name in Sweep.__slots__ if name in values}
    state = shown_state(connection, watch, row)
    derived = {
        "state": state,
        "repeated_for": Purpose(row.purpose) if row.purpose and state is SweepState.RUNNING else None,
        "window": row.window_size,
        "objectives": read_objectives(values),
    }
    if derived["state"] is SweepState.COMPLETE and row.n_finished < row.n_trials:
        derived["conclusion"] = row.system_attrs.get(CONCLUSION)
    sweep = Sweep(**{**stored, **derived})
    if len(sweep.objectives) == 1:
        return replace(sweep, front=() if row.best_number is None else (row.best_number,))
    return replace(sweep, front=tuple(_read_front(connection, sweep, None)))


def shown_state(connection: Connection, watch: LeaseWatch, row: Row[Any]) -> SweepState:
    """Return the state in which a sweep is shown: one whose lease is lost is not running any more."""
    state = SweepState(row.state)
    if state is SweepState.RUNNING and watch.is_shown_free(connection, row):
        return SweepState.INTERRUPTED if row.queued_at is None else SweepState.QUEUED  # whoever ran it is gone
    return state


def _read_front(connection: Connection, sweep: Sweep, condition: ColumnElement[bool] | None) -> list[int]:
    """Return the numbers of the trials that no other trial beats, among those that meet a condition, best first."""
    columns = (TrialRow.number, TrialRow.val_loss, *columns_of(TrialRow, "value"))
    complete = select(*columns).where(*_is_complete(sweep))
    rows = connection.execute(_where(complete, condition)).all()
    ranks = (rank(values, val_loss, number, *sweep.directions) for number, val_loss, *values in rows)
    return [int(best[-1]) for best in pareto_front(ranks)]


def _is_complete(sweep: Sweep) -> tuple[ColumnElement[bool], ...]:
    return TrialRow.sweep_id == sweep.id, TrialRow.state == State.COMPLETE


def read_sweep(connection: Connection, watch: LeaseWatch, name: str) -> Sweep:
    """Return one sweep.

    Raises:
        SweepNotFoundError: There is no sweep of this name.
    """
    sweeps = read_sweeps(connection, watch, SweepRow.name == name)
    if not sweeps:
        raise SweepNotFoundError.named(name)
    return sweeps[0]


def read_trials(connection: Connection, sweep: Sweep, first: int = 0) -> list[Trial]:
    """Return the sweep's trials in their order, from number `first` on."""
    statement = _select_trials(sweep, None).where(TrialRow.number >= first)
    return _read_trials(connection, sweep, statement.order_by(TrialRow.number))


def read_page(connection: Connection, sweep: Sweep, condition: ColumnElement[bool] | None, part: Part) -> Page[Trial]:
    """Return a part of the sweep's trials that meet a condition."""
    statement = _select_trials(sweep, condition).order_by(*_order(part.order)).limit(part.limit).offset(part.offset)
    trials = _read_trials(connection, sweep, statement)
    if 0 < len(trials) < (part.limit or math.inf):  # the last ones: what was left out and these are all
        return Page(trials, part.offset + len(trials))
    count = select(func.count()).select_from(TrialRow).where(TrialRow.sweep_id == sweep.id)
    return Page(trials, connection.execute(_where(count, condition)).scalar_one())


def _order(text: str) -> tuple[ColumnElement[Any], ...]:
    name = text.removeprefix("-")
    if name not in ORDERS:
        remedy = did_you_mean(name, tuple(ORDERS)) or f"known are {', '.join(ORDERS)}"
        raise QueryError(f"order must name a field, with - before it for the largest first; {remedy}")
    column: ColumnElement[Any] = ORDERS[name]
    ordered = column.desc() if text.startswith("-") else column.asc()
    return (ordered,) if name == "number" else (column.is_(None), ordered, TrialRow.number.asc())


def read_best(
    connection: Connection,
    sweep: Sweep,
    top: int | None,
    condition: ColumnElement[bool] | None = None,
    leading: Sequence[int] = (),
) -> list[Trial]:
    """Return the sweep's best trials that meet a condition, best first; see `Ledger.best`.

    Args:
        connection: A transaction.
        sweep: The sweep.
        top: Return at most this many trials; None for `TOP`, or for all with two objectives.
        condition: What trials must meet; None for all trials.
        leading: Numbers of trials that come first, in this order, whatever their value.
    """
    if top is not None and top < 1:
        raise QueryError(f"top must be at least 1, got {top}")
    directions = to_columns("direction", sweep.directions).values()
    order = ranking(literal(direction, String()) for direction in directions)
    if leading:
        places = {number: place for place, number in enumerate(leading)}
        order = (case(places, value=TrialRow.number, else_=len(places)).asc(), *order)
    best = _select_trials(sweep, condition).where(*_is_complete(sweep)).order_by(*order)
    if len(sweep.objectives) > 1:
        best = best.where(TrialRow.number.in_(_read_front(connection, sweep, condition)))
    return _read_trials(connection, sweep, best.limit(TOP if top is None and len(sweep.objectives) == 1 else top))


def read_trial(connection: Connection, sweep: Sweep, number: int) -> Trial:
    """Return one trial.

    Raises:
        SweepNotFoundError: The sweep has no trial of this number.
    """
    trials = _read_trials(connection, sweep, _select_trials(sweep, None).where(TrialRow.number == number))
    if not trials:
        raise SweepNotFoundError(f"sweep {sweep.name} has no trial {number}")
    return trials[0]


def _select_trials(sweep: Sweep, condition: ColumnElement[bool] | None) -> Select[Any]:
    return _where(_TRIALS.where(TrialRow.sweep_id == sweep.id), condition)


def _where(statement: Select[Any], condition: ColumnElement[bool] | None) -> Select[Any]:
    return statement if condition is None else statement.where(condition)


def _read_trials(connection: Connection, sweep: Sweep, statement: Select[Any]) -> list[Trial]:
    rows: Sequence[Row[Any]] = connection.execute(statement).all()
    return [_to_trial(sweep.name, row) for row in rows]


def _to_trial(sweep: str, row: Row[Any]) -> Trial:
    stored = row._mapping  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
    derived: dict[str, Any] = {
        "sweep": sweep,
        "state": State(row.state),
        "reason": Reason(row.reason) if row.reason else None,
        "values": from_columns("value", stored),
        "confirmed": None,
        "findings": tuple(map(Finding.from_json, row.findings)),
    }
    return Trial(**{name: stored[name] for name in Trial.__slots__ if name not in derived}, **derived)
