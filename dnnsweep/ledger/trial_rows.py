"""Writing the rows of trials, in a transaction of the caller's."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, select, update

from dnnsweep.ledger import curves, outbox
from dnnsweep.ledger.tables import TrialRow
from dnnsweep.records import Curve, State

# Made once: SQLAlchemy takes longer to make a statement than SQLite to carry it out.
_IS_TRIAL: Final = (TrialRow.sweep_id == bindparam("own_sweep"), TrialRow.number == bindparam("own_number"))
_UPDATE: Final = update(TrialRow).where(*_IS_TRIAL)
_EPOCH_TIMES: Final = select(TrialRow.epoch_times).where(*_IS_TRIAL)


def update_trial(
    connection: Connection,
    sweep_id: str,
    number: int,
    curve: Curve | None = None,
    *,
    is_final: bool = False,
    **values: Any,
) -> None:
    """Set columns of a trial.

    A trial that is trained again repeats its epochs, and MLflow has seen those of earlier attempts. So a curve that is
    shorter than what is known does not replace it, unless it is final.

    Args:
        connection: A transaction that writes.
        sweep_id: Id of the sweep.
        number: Number of the trial.
        curve: What was measured so far; None keeps the trial's curve and the number of its epochs.
        is_final: Whether no further epoch belongs to the trial, though an earlier attempt may have come further.
        values: The columns and their values.
    """
    key = {"own_sweep": sweep_id, "own_number": number}
    if curve is not None:
        old_times = connection.execute(_EPOCH_TIMES, key).scalar_one()
        if is_final or curve.n_epochs >= len(old_times):
            curves.store_curve(connection, sweep_id, number, curve, is_first=not old_times)
            values |= {"epochs": curve.n_epochs, "epoch_times": curves.merge_times(old_times, curve.ended_at)}
    if values:
        connection.execute(_UPDATE, {**key, **values})


def requeue_running(connection: Connection, sweep_id: str, *conditions: ColumnElement[bool]) -> list[int]:
    """Put running trials of a sweep back in the queue; return their numbers.

    Args:
        connection: A transaction that writes.
        sweep_id: Id of the sweep.
        conditions: Conditions that the trials must meet.
    """
    is_running = (TrialRow.sweep_id == sweep_id, TrialRow.state == State.RUNNING, *conditions)
    numbers = list(connection.execute(select(TrialRow.number).where(*is_running)).scalars())
    connection.execute(update(TrialRow).where(*is_running).values(state=State.QUEUED))
    outbox.add_change(connection, sweep_id, *numbers)
    return numbers
