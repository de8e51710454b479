"""What a controller writes. Every transaction carries its fencing token and is refused once another one took over."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, insert, select, update

from dnnsweep.errors import LeaseLostError
from dnnsweep.ledger import curves, outbox
from dnnsweep.ledger.database import Database, now
from dnnsweep.ledger.tables import PARENT, SweepRow, TrialRow
from dnnsweep.records import Curve, Reason, State, Suggestion, SweepState, TrialResult

#: A trial that ends sooner is shown in MLflow once, when it has ended.
QUICK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A suggestion and what the sampler remembers about it."""

    suggestion: Suggestion
    system_attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What the sampler was told of a trial beside its value."""

    number: int
    penalty: float | None
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
    value: float | None
    val_loss: float | None
    penalty: float | None
    system_attrs: Mapping[str, Any]
    error: str | None


@dataclass(slots=True)
class _Turn:
    """A transaction that is opened by the first write within."""

    stack: ExitStack
    connection: Connection | None = None


class Lease:
    """The right to run one sweep until a time; how a controller writes its trials.

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
        self._turn: _Turn | None = None
        self.sweep_id = sweep_id
        self.token = token

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Make one transaction of all writes within: each is stored or none; without a write there is none."""
        with ExitStack() as stack:
            self._turn = _Turn(stack)
            try:
                yield
            finally:
                self._turn = None  # the stack commits, or rolls back on an error

    @contextmanager
    def _fenced(self, **values: Any) -> Iterator[Connection]:
        """Write in a transaction that holds the lease: the turn's, if there is one, else one of its own."""
        if self._turn is None:
            with self._transaction(**values) as connection:
                yield connection
            return
        if self._turn.connection is None:
            self._turn.connection = self._turn.stack.enter_context(self._transaction(**values))
        elif values:
            self._turn.connection.execute(update(SweepRow).where(SweepRow.id == self.sweep_id).values(values))
        yield self._turn.connection

    @contextmanager
    def _transaction(self, **values: Any) -> Iterator[Connection]:
        """Open a transaction that holds the lease, prolongs it, and counts the sweep's wall time."""
        mine = (SweepRow.id == self.sweep_id, SweepRow.token == self.token)
        with self._database.write() as connection:
            moment = time.monotonic()  # unlike the time of day, it stands still while a laptop sleeps
            spent = {"seconds": SweepRow.seconds + (moment - self._counted_at)}
            lease = {"expires_at": now() + int(self._seconds * 1000)}
            if connection.execute(update(SweepRow).where(*mine).values({**spent, **lease, **values})).rowcount == 0:
                raise LeaseLostError("another controller took this sweep over, or it was deleted; this one has stopped")
            yield connection
        self._counted_at = moment

    def renew(self) -> bool:
        """Prolong the lease; return whether the sweep is asked to stop."""
        with self._fenced() as connection:
            asked = select(SweepRow.is_stop_requested).where(SweepRow.id == self.sweep_id)
            return connection.execute(asked).scalar_one()

    def spent_seconds(self) -> float:
        """Return the wall time over all runs of the sweep."""
        with self._database.read() as connection:
            return connection.execute(select(SweepRow.seconds).where(SweepRow.id == self.sweep_id)).scalar_one()

    def trials(self) -> list[StudyTrial]:
        """Return all trials in their order, as the study is rebuilt from them."""
        columns = (getattr(TrialRow, name) for name in StudyTrial.__slots__)
        statement = select(*columns).where(TrialRow.sweep_id == self.sweep_id).order_by(TrialRow.number)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [_study_trial(row._mapping) for row in rows]  # noqa: SLF001  SQLAlchemy's public name

    def study_attrs(self) -> dict[str, Any]:
        """Return what the sampler remembers about the study."""
        with self._database.read() as connection:
            statement = select(SweepRow.system_attrs).where(SweepRow.id == self.sweep_id)
            return dict(connection.execute(statement).scalar_one())

    def advance(self, told: Sequence[Told], asked: Sequence[Asked], study_attrs: Mapping[str, Any]) -> None:
        """Store a step of the study: what it was told and what it suggested then, in one transaction."""
        with self._fenced(system_attrs=dict(study_attrs)) as connection:
            for item in told:
                values = {"penalty": item.penalty, "system_attrs": dict(item.system_attrs)}
                connection.execute(update(TrialRow).where(*self._trial(item.number)).values(values))
            if asked:
                connection.execute(insert(TrialRow), [self._new(item) for item in asked])
            if told:
                outbox.changed(connection, self.sweep_id, PARENT)

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
            "created_at": now(),
        }

    def start(self, number: int, attempt: int) -> None:
        """Note that a trainer works on a trial."""
        values = {"state": State.RUNNING, "attempts": attempt, "token": self.token, "started_at": now()}
        with self._fenced() as connection:
            connection.execute(update(TrialRow).where(*self._trial(number)).values(values))
            outbox.changed(connection, self.sweep_id, number, seconds=QUICK_SECONDS)

    def progress(self, number: int, curve: Curve) -> None:
        """Store the epochs that a running trial has trained so far."""
        with self._fenced() as connection:
            values = {"epochs": curve.n_epochs, **self._store_curve(connection, number, curve)}
            connection.execute(update(TrialRow).where(*self._trial(number)).values(values))
            outbox.changed(connection, self.sweep_id, number)

    def finish(self, result: TrialResult, value: float | None, metrics: Mapping[str, float]) -> None:
        """Store how a trial ended: result, curve and outbox entry in one transaction.

        Args:
            result: From the trainer.
            value: The objective at the best epoch; None unless the trial is complete.
            metrics: All metrics at the best epoch.
        """
        finite = {name: number for name, number in metrics.items() if math.isfinite(number)}
        values = {
            "state": result.reason.state,
            "reason": result.reason,
            "value": value,
            "val_loss": finite.get("val_loss"),
            "metrics": finite,
            "best_epoch": result.best_epoch,
            "epochs": result.curve.n_epochs,
            "seconds": result.seconds,
            "error": result.error,
            "model_path": result.model_path,
            "ended_at": now(),
        }
        with self._fenced() as connection:
            if result.model_path is not None:  # the best so far; the models of beaten trials are not kept
                others = update(TrialRow).where(TrialRow.sweep_id == self.sweep_id)
                connection.execute(others.values(model_path=None))
            times = self._store_curve(connection, result.number, result.curve)
            connection.execute(update(TrialRow).where(*self._trial(result.number)).values({**values, **times}))
            outbox.changed(connection, self.sweep_id, result.number)

    def _store_curve(self, connection: Connection, number: int, curve: Curve) -> dict[str, Any]:
        """Store a curve; return what belongs into the trial's own row: when each epoch ended."""
        known = connection.execute(select(TrialRow.epoch_times).where(*self._trial(number))).scalar_one()
        curves.store(connection, self.sweep_id, number, curve, is_first=not known)
        return {"epoch_times": curves.kept_times(known, curve.ended_at)}

    def requeue(self, numbers: Sequence[int]) -> None:
        """Put running trials back in the queue: same number, same parameters, same seed."""
        with self._fenced() as connection:
            requeue_running(connection, self.sweep_id, TrialRow.number.in_(numbers))

    def end(self, state: SweepState, error: str | None = None) -> None:
        """Note how the sweep ended, put what is still running back in the queue, and give the lease back."""
        values = {"state": state, "error": error, "ended_at": now(), "is_stop_requested": False}
        with self._fenced(**values, owner=None, expires_at=None) as connection:
            requeue_running(connection, self.sweep_id)
            outbox.changed(connection, self.sweep_id, PARENT)

    def _trial(self, number: int) -> tuple[Any, ...]:
        return TrialRow.sweep_id == self.sweep_id, TrialRow.number == number


def requeue_running(connection: Connection, sweep_id: str, *conditions: ColumnElement[bool]) -> None:
    """Put running trials of a sweep back in the queue, in the caller's transaction."""
    mine = (TrialRow.sweep_id == sweep_id, TrialRow.state == State.RUNNING, *conditions)
    numbers = connection.execute(select(TrialRow.number).where(*mine)).scalars().all()
    connection.execute(update(TrialRow).where(*mine).values(state=State.QUEUED))
    outbox.changed(connection, sweep_id, *numbers)


def _study_trial(values: Mapping[Any, Any]) -> StudyTrial:
    reason = Reason(values["reason"]) if values["reason"] else None
    return StudyTrial(**{**values, "state": State(values["state"]), "reason": reason})
