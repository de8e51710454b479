"""What a controller writes. Every transaction carries its fencing token and is refused once another one took over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, insert, select, update

from dnnsweep.errors import LeaseLostError
from dnnsweep.ledger import checks, curves, events, outbox, owners
from dnnsweep.ledger.columns import columns_of, from_columns, to_columns
from dnnsweep.ledger.database import Database, now_ms
from dnnsweep.ledger.tables import PARENT, OutboxRow, SweepRow, TrialRow
from dnnsweep.records import Curve, Reason, State, Suggestion, SweepState, TrialResult
from dnnsweep.records.events import EventKind

#: How long a controller may be silent before another one may take its sweep over.
LEASE_SECONDS: Final = 15.0
#: A trial that ends sooner is shown in MLflow once, when it has ended.
QUICK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A suggestion and what the sampler remembers about it."""

    suggestion: Suggestion
    system_attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What the sampler was told of a trial beside its values.

    Args:
        number: The trial.
        penalty: What was told in place of the values of a diverged trial; None for others.
        system_attrs: What the sampler remembers about the trial.
    """

    number: int
    penalty: tuple[float, ...] | None
    system_attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StudyTrial:
    """A trial as the study is rebuilt from it."""

    number: int
    params: Mapping[str, Any]
    seed: int
    attempts: int
    state: State
    reason: Reason | None
    values: tuple[float, ...] | None
    val_loss: float | None
    penalty: tuple[float, ...] | None
    system_attrs: Mapping[str, Any]
    error: str | None
    model_path: str | None = None


Write = Callable[[Connection], None]
#: What the study's trials have as the table has it.
_AS_STORED: Final = ("number", "params", "seed", "attempts", "val_loss", "system_attrs", "error", "model_path")
# Made once: SQLAlchemy takes longer to make a statement than SQLite to carry it out.
_STUDY_TRIALS: Final = select(
    *(getattr(TrialRow, name) for name in (*_AS_STORED, "state", "reason")),
    *columns_of(TrialRow, "value"),
    *columns_of(TrialRow, "penalty"),
)
_OWN: Final = (TrialRow.sweep_id == bindparam("own_sweep"), TrialRow.number == bindparam("own_number"))
_TRIAL: Final = update(TrialRow).where(*_OWN)
_TIMES: Final = select(TrialRow.epoch_times).where(*_OWN)
_HELD: Final = (
    update(SweepRow)
    .where(
        SweepRow.id == bindparam("own_id"),
        SweepRow.token == bindparam("own_token"),
        SweepRow.last_turn < bindparam("own_turn"),
    )
    .values(
        seconds=SweepRow.seconds + bindparam("spent"),
        expires_at=bindparam("expires_at"),
        last_turn=bindparam("own_turn"),
    )
)


class Lease:
    """The right to run one sweep until a time; how a controller writes its trials.

    While the database is away, transactions are retried (`Database.retry_while_away`). Each leaves its number behind,
    so that one which was stored although the answer was lost is not stored twice.

    Args:
        database: The ledger's.
        sweep_id: The sweep.
        token: Grows with every lease on this sweep; the ledger refuses older ones.
        seconds: How long the lease lasts after each write.
    """

    def __init__(self, database: Database, sweep_id: str, token: int, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._counted_at = time.monotonic()
        self._n_turns = 0
        self._writes: list[Write] | None = None
        self.sweep_id = sweep_id
        self.token = token

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Make one transaction, at the end, of all writes within: all are stored or none."""
        self._writes = []
        try:
            yield
            writes = self._writes
        finally:
            self._writes = None
        if writes:
            self._store(writes)

    def _write(self, write: Write) -> None:
        """Write with the turn's other writes, if there is a turn, else at once."""
        if self._writes is None:
            self._store([write])
        else:
            self._writes.append(write)

    def _store(self, writes: Sequence[Write], *, is_patient: bool = True) -> None:
        """Do all writes in one transaction that holds the lease, prolongs it, and counts the sweep's wall time."""
        self._n_turns += 1
        moment = time.monotonic()  # unlike the time of day, it stands still while a laptop sleeps

        def store() -> None:
            with self._database.write() as connection:
                if self._hold(connection, moment - self._counted_at):
                    for write in writes:
                        write(connection)

        self._database.retry_while_away(store, is_patient=is_patient)
        self._counted_at = moment

    def _hold(self, connection: Connection, spent: float) -> bool:
        """Prolong the lease in a transaction; return whether its writes are not stored yet.

        Raises:
            LeaseLostError: Another controller holds it, or the sweep was deleted.
        """
        expires_at = now_ms() + int(self._seconds * 1000)
        own = {"own_id": self.sweep_id, "own_token": self.token, "own_turn": self._n_turns}
        if connection.execute(_HELD, {**own, "spent": spent, "expires_at": expires_at}).rowcount == 1:
            return True
        mine = (SweepRow.id == self.sweep_id, SweepRow.token == self.token)
        if connection.execute(select(SweepRow.id).where(*mine)).first() is None:
            raise LeaseLostError("another controller took this sweep over, or it was deleted; this one has stopped")
        return False

    def renew(self) -> tuple[bool, int]:
        """Prolong the lease; return whether the sweep is asked to stop, and how much of it MLflow has not seen yet."""
        found: list[tuple[bool, int]] = []
        behind = select(func.count()).select_from(OutboxRow).where(OutboxRow.sweep_id == self.sweep_id)
        asked = select(SweepRow.is_stop_requested, behind.scalar_subquery()).where(SweepRow.id == self.sweep_id)
        self._write(lambda connection: found.append(tuple(connection.execute(asked).one())))
        return found[0] if found else (False, 0)

    def prolong(self) -> None:
        """Prolong the lease while the data are loaded, which does not count as the sweep's time.

        Raises:
            LeaseLostError: Another controller holds it, or the sweep was deleted.
        """
        self._counted_at = time.monotonic()
        self._store([], is_patient=False)

    def note(self, **values: Any) -> None:
        """Store something about the sweep itself."""

        def write(connection: Connection) -> None:
            self._update_sweep(connection, **values)
            outbox.note_change(connection, self.sweep_id, PARENT)

        self._write(write)

    def spent_seconds(self) -> float:
        """Return the wall time over all runs of the sweep."""
        with self._database.read() as connection:
            return connection.execute(select(SweepRow.seconds).where(SweepRow.id == self.sweep_id)).scalar_one()

    def trials(self) -> list[StudyTrial]:
        """Return all trials in their order, as the study is rebuilt from them."""
        statement = _STUDY_TRIALS.where(TrialRow.sweep_id == self.sweep_id).order_by(TrialRow.number)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [_study_trial(row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's public name

    def epochs(self, *metrics: str) -> dict[int, list[dict[str, float]]]:
        """Return some metrics at each epoch of each trial that has trained for a while."""
        with self._database.read() as connection:
            return curves.read_metrics(connection, self.sweep_id, metrics)

    def study_attrs(self) -> dict[str, Any]:
        """Return what the sampler remembers about the study."""
        with self._database.read() as connection:
            statement = select(SweepRow.system_attrs).where(SweepRow.id == self.sweep_id)
            return dict(connection.execute(statement).scalar_one())

    def advance(self, told: Sequence[Told], asked: Sequence[Asked], study_attrs: Mapping[str, Any]) -> None:
        """Store a step of the study: what it was told and what it suggested then, in one transaction."""

        def write(connection: Connection) -> None:
            self._update_sweep(connection, system_attrs=dict(study_attrs))
            for item in told:
                penalty = to_columns("penalty", item.penalty)
                self._update(connection, item.number, **penalty, system_attrs=dict(item.system_attrs))
            if asked:
                connection.execute(insert(TrialRow), [self._new(item) for item in asked])
                numbers = [item.suggestion.number for item in asked]
                events.record_events(connection, self.sweep_id, EventKind.CREATED, *numbers)
            if told:
                outbox.note_change(connection, self.sweep_id, PARENT)

        self._write(write)

    def _update_sweep(self, connection: Connection, **values: Any) -> None:
        connection.execute(update(SweepRow).where(SweepRow.id == self.sweep_id).values(values))

    def _new(self, asked: Asked) -> dict[str, Any]:
        suggestion = asked.suggestion
        return {
            "sweep_id": self.sweep_id,
            "number": suggestion.number,
            "state": State.QUEUED,
            "params": dict(suggestion.params),
            "seed": suggestion.seed,
            "metrics": {},
            "epoch_times": [],
            "system_attrs": dict(asked.system_attrs),
            "created_at": now_ms(),
        }

    def start(self, number: int, attempt: int) -> None:
        """Note that a trainer works on a trial."""
        values = {"state": State.RUNNING, "attempts": attempt, "token": self.token, "started_at": now_ms()}

        def write(connection: Connection) -> None:
            self._update(connection, number, **values)
            outbox.note_change(connection, self.sweep_id, number, seconds=QUICK_SECONDS)
            events.record_events(connection, self.sweep_id, EventKind.STARTED, number, attempt=attempt)

        self._write(write)

    def progress(self, number: int, curve: Curve) -> None:
        """Store the epochs that a running trial has trained so far."""

        def write(connection: Connection) -> None:
            self._update(connection, number, epochs=curve.n_epochs, **self._store_curve(connection, number, curve))
            outbox.note_change(connection, self.sweep_id, number)

        self._write(write)

    def finish(
        self,
        result: TrialResult,
        values: tuple[float, ...] | None,
        metrics: Mapping[str, float],
        kept: Collection[int] = (),
    ) -> None:
        """Store how a trial ended: result, curve and outbox entry in one transaction.

        Args:
            result: From the trainer.
            values: The value of each objective at the best epoch; None unless the trial is complete.
            metrics: All metrics at the best epoch.
            kept: Trials whose models are kept beside this one's, if it has one.
        """
        finite = {name: number for name, number in metrics.items() if math.isfinite(number)}
        columns = {
            "state": result.reason.state,
            "reason": result.reason,
            **to_columns("value", values),
            "val_loss": finite.get("val_loss"),
            "metrics": finite,
            "best_epoch": result.best_epoch,
            "epochs": result.curve.n_epochs,
            "seconds": result.seconds,
            "error": result.error,
            "model_path": result.model_path,
            "ended_at": now_ms(),
        }

        def write(connection: Connection) -> None:
            if result.model_path is not None:  # nothing beats it so far; the models of beaten trials are not kept
                mine = (TrialRow.sweep_id == self.sweep_id, TrialRow.model_path.is_not(None))
                others = update(TrialRow).where(*mine, TrialRow.number.not_in(list(kept)))
                connection.execute(others.values(model_path=None))
            times = self._store_curve(connection, result.number, result.curve)
            self._update(connection, result.number, **columns, **times)
            outbox.note_change(connection, self.sweep_id, result.number)
            kind, attempt = EventKind.ENDED, result.attempt
            events.record_events(connection, self.sweep_id, kind, result.number, attempt=attempt, detail=_how(result))

        self._write(write)

    def _store_curve(self, connection: Connection, number: int, curve: Curve) -> dict[str, Any]:
        """Store a curve; return what belongs into the trial's own row: when each epoch ended."""
        known = connection.execute(_TIMES, {"own_sweep": self.sweep_id, "own_number": number}).scalar_one()
        curves.store_curve(connection, self.sweep_id, number, curve, is_first=not known)
        return {"epoch_times": curves.merge_times(known, curve.ended_at)}

    def requeue(self, number: int, attempt: int, error: str) -> None:
        """Put a running trial whose attempt was lost back in the queue: same number, same parameters, same seed."""

        def write(connection: Connection) -> None:
            requeue_running(connection, self.sweep_id, TrialRow.number == number)
            events.record_events(connection, self.sweep_id, EventKind.LOST, number, attempt=attempt, detail=error)

        self._write(write)

    def end(self, state: SweepState, error: str | None = None, *, is_patient: bool = True) -> SweepState:
        """End the sweep, put what still runs back in the queue, and return how it is left (`checks.state_on_release`).

        Args:
            state: How it ended.
            error: Why, if it was given up.
            is_patient: Whether to try again while the database is away.
        """
        left = state

        def write(connection: Connection) -> None:
            nonlocal left
            left = checks.state_on_release(connection, self.sweep_id, state)
            ended_at = None if left is SweepState.QUEUED else now_ms()  # handed back to the other workers
            values = {"state": left, "error": error, "ended_at": ended_at, "is_stop_requested": False}
            self._update_sweep(connection, **values, owner=None, expires_at=None)
            numbers = requeue_running(connection, self.sweep_id)
            events.record_events(connection, self.sweep_id, EventKind.PUT_BACK, *numbers)
            outbox.note_change(connection, self.sweep_id, PARENT)
            how = f"{left.lower()}: {error}" if error else left.lower()
            events.record_events(connection, self.sweep_id, EventKind.ENDED, PARENT, detail=how)

        self._store([write], is_patient=is_patient)
        return left

    def _update(self, connection: Connection, number: int, **values: Any) -> None:
        connection.execute(_TRIAL, {"own_sweep": self.sweep_id, "own_number": number, **values})


def take_lease(
    database: Database, connection: Connection, row: Row[Any], owner: str | None, seconds: float, **more: Any
) -> Lease:
    """Take the lease on a sweep that is free, in the caller's transaction; trials that nobody trains are queued again.

    Args:
        database: The ledger's.
        connection: The caller's.
        row: The sweep's, locked.
        owner: Who takes it; None for this process.
        seconds: How long the lease lasts after each write.
        more: Columns of the sweep to set.
    """
    values = {
        "owner": owner or owners.this_process(),
        "expires_at": now_ms() + int(seconds * 1000),
        "token": row.token + 1,
        "last_turn": 0,
        "state": SweepState.RUNNING,
        "error": None,
        "ended_at": None,
        "is_stop_requested": False,
        **more,
    }
    connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
    events.record_events(
        connection, row.id, EventKind.LEASED, PARENT, detail=f"by {owners.describe_owner(values['owner'])}"
    )
    lost = requeue_running(connection, row.id)
    events.record_events(connection, row.id, EventKind.LOST, *lost, detail="its controller died")
    if row.fingerprint:  # else there is nothing to show of it yet
        outbox.note_change(connection, row.id, PARENT)
    return Lease(database, row.id, row.token + 1, seconds)


def _how(result: TrialResult) -> str:
    return f"{result.reason}: {result.error}" if result.error else result.reason.value


def requeue_running(connection: Connection, sweep_id: str, *conditions: ColumnElement[bool]) -> list[int]:
    """Put running trials of a sweep back in the queue, in the caller's transaction; return their numbers."""
    mine = (TrialRow.sweep_id == sweep_id, TrialRow.state == State.RUNNING, *conditions)
    numbers = list(connection.execute(select(TrialRow.number).where(*mine)).scalars())
    connection.execute(update(TrialRow).where(*mine).values(state=State.QUEUED))
    outbox.note_change(connection, sweep_id, *numbers)
    return numbers


def _study_trial(values: Mapping[Any, Any]) -> StudyTrial:
    reason = Reason(values["reason"]) if values["reason"] else None
    return StudyTrial(
        **{name: values[name] for name in _AS_STORED},
        state=State(values["state"]),
        reason=reason,
        values=from_columns("value", values),
        penalty=from_columns("penalty", values),
    )
