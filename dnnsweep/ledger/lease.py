"""The right to run a sweep. Every write carries its fencing token and is refused once another controller took over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, bindparam, case, delete, func, or_, select, update

from dnnsweep.errors import LeaseLostError, LedgerError
from dnnsweep.ledger import checks, curves, events, outbox, owners
from dnnsweep.ledger.clock import boot_seconds, now_ms
from dnnsweep.ledger.columns import columns_of, from_columns
from dnnsweep.ledger.database import Database
from dnnsweep.ledger.tables import PARENT, OutboxRow, SweepRow, TrialRow
from dnnsweep.ledger.trial_rows import requeue_running
from dnnsweep.ledger.turn import Turn, Write, update_sweep
from dnnsweep.ledger.watch import LEASE_SECONDS
from dnnsweep.records import Reason, State, SweepState
from dnnsweep.records.events import EventKind
from dnnsweep.redaction import redact

T = TypeVar("T")
#: After so long without a transaction, `Lease.prolonged` makes one; a controller that turns makes them more often.
PROLONG_SECONDS: Final = 3.0


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


class Renewal(NamedTuple):
    """What a controller learns when it renews its lease.

    Args:
        is_stop_requested: Whether the sweep is asked to stop.
        n_behind: How many of its changes MLflow should have seen by now; some wait for others first.
        is_moving: Whether MLflow has seen any since the last renewal.
    """

    is_stop_requested: bool
    n_behind: int
    is_moving: bool


#: What the study's trials have as the table has it.
_AS_STORED: Final = ("number", "params", "seed", "attempts", "val_loss", "system_attrs", "error", "model_path")
# Made once: SQLAlchemy takes longer to make a statement than SQLite to carry it out.
_STUDY_TRIALS: Final = select(
    *(getattr(TrialRow, name) for name in (*_AS_STORED, "state", "reason")),
    *columns_of(TrialRow, "value"),
    *columns_of(TrialRow, "penalty"),
)
_HOLD: Final = (
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
    """The right to run one sweep while it is renewed; a controller writes its trials in turns.

    Each transaction renews the lease: it leaves its number behind, by which others see that the holder is there
    (`watch.LeaseWatch`). While the database is away, transactions are retried (`Database.retry_while_away`); the number
    tells one that was stored although the answer was lost, so that it is not stored twice. Threads take turns.

    Args:
        database: The ledger's database.
        sweep_id: Id of the sweep.
        token: Grows with every lease on this sweep; the ledger refuses older ones.
        clock: Returns seconds, from any beginning, those included in which the machine slept.
    """

    def __init__(
        self,
        database: Database,
        sweep_id: str,
        token: int,
        former: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._database = database
        self._former = former
        self._clock = clock
        self._lock = threading.RLock()
        self._renewed_at = clock()
        self._counted_at = time.monotonic()
        self._n_transactions = 0
        self._is_over = False
        self._n_entries = self._newest_entry = 0
        self.sweep_id = sweep_id
        self.token = token

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Yield what writes are given to; they are stored in one transaction at the end, or not at all.

        A process that was held up for so long that it may have lost the lease asks the ledger first: between here and
        the transaction a controller moves files as well, which no ledger can refuse.

        Raises:
            LeaseLostError: Another controller holds the sweep, or it was deleted.
        """
        if self._clock() - self._renewed_at >= LEASE_SECONDS:
            self._store([], _read_nothing)
        turn = Turn(self.sweep_id, self.token)
        try:
            yield turn
        finally:
            writes = turn.end()
        if writes:
            self._store(writes, _read_nothing)

    def _store(self, writes: Sequence[Write], read: Callable[[Connection], T], *, is_patient: bool = True) -> T:
        """Do all writes in one transaction that holds the lease, renews it, and counts the sweep's wall time.

        Args:
            writes: The writes in their order.
            read: Called in the transaction after them.
            is_patient: Whether to try again while the database is away.

        Returns:
            What `read` returned.
        """
        with self._lock:
            moment = time.monotonic()  # unlike the time of day, it stands still while a laptop sleeps
            answer = self._transact(moment - self._counted_at, writes, read, is_patient=is_patient)
            self._counted_at = moment
            return answer

    def _transact(
        self, spent: float, writes: Sequence[Write], read: Callable[[Connection], T], *, is_patient: bool
    ) -> T:
        self._n_transactions += 1
        began_at = self._clock()

        def store() -> T:
            nonlocal began_at
            began_at = self._clock()
            with self._database.write() as connection:
                if self._hold(connection, spent):
                    for write in writes:
                        write(connection)
                return read(connection)

        answer = self._database.retry_while_away(store, is_patient=is_patient)
        self._renewed_at = began_at
        return answer

    def _hold(self, connection: Connection, spent: float) -> bool:
        """Renew the lease in a transaction; return whether its writes are not stored yet.

        Raises:
            LeaseLostError: Another controller holds it, or the sweep was deleted.
        """
        expires_at = now_ms(connection) + int(LEASE_SECONDS * 1000)
        key = {"own_id": self.sweep_id, "own_token": self.token, "own_turn": self._n_transactions}
        if connection.execute(_HOLD, {**key, "spent": spent, "expires_at": expires_at}).rowcount == 1:
            return True
        is_held = (SweepRow.id == self.sweep_id, SweepRow.token == self.token)
        if connection.execute(select(SweepRow.id).where(*is_held)).first() is None:
            raise LeaseLostError("another controller took this sweep over, or it was deleted; this one has stopped")
        return False

    def renew(self) -> Renewal:
        """Renew the lease; return whether the sweep is asked to stop, and how far MLflow is behind it."""
        is_old = case((OutboxRow.id <= self._newest_entry, 1), else_=0)
        is_due = case((or_(OutboxRow.attempts > 0, OutboxRow.due_at <= bindparam("now")), 1), else_=0)
        sums = (func.coalesce(func.sum(case_), 0) for case_ in (is_due, is_old))
        columns = (func.count(), *sums, func.coalesce(func.max(OutboxRow.id), 0))
        behind = select(*columns).where(OutboxRow.sweep_id == self.sweep_id)
        asked = select(SweepRow.is_stop_requested).where(SweepRow.id == self.sweep_id)

        def read(connection: Connection) -> Renewal:
            n_entries, n_behind, n_old, newest = connection.execute(behind, {"now": now_ms(connection)}).one()
            is_moving = n_old < self._n_entries  # entries only leave the outbox when they were delivered
            self._n_entries, self._newest_entry = n_entries, max(newest, self._newest_entry)
            return Renewal(bool(connection.execute(asked).scalar_one()), n_behind, is_moving)

        return self._store([], read)

    def start_counting(self) -> None:
        """Let the sweep's time begin now; what was done before, such as loading the data, does not count."""
        self._counted_at = time.monotonic()

    @contextmanager
    def prolonged(self) -> Iterator[None]:
        """Renew the lease, by another thread, whenever this one is busy with something else than turns for a while."""
        is_over = threading.Event()

        def prolong() -> None:
            while not is_over.wait(PROLONG_SECONDS / 3):
                with suppress(LedgerError, LeaseLostError):  # a lost lease is noticed when the sweep is written
                    self._prolong()

        thread = threading.Thread(target=prolong, name="dnnsweep-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _prolong(self) -> None:
        """Renew the lease unless it was renewed a moment ago, or is over; no time is counted."""
        with self._lock:
            if not self._is_over and self._clock() - self._renewed_at >= PROLONG_SECONDS:
                self._transact(0.0, [], _read_nothing, is_patient=False)

    def end(
        self, state: SweepState, error: str | None = None, *, why: str | None = None, is_patient: bool = True
    ) -> SweepState:
        """End the sweep and put what still runs back in the queue.

        Args:
            state: How it ended.
            error: Why, if it was given up.
            why: Why, if it is complete before all trials of its budget.
            is_patient: Whether to try again while the database is away.

        Returns:
            The state in which the sweep is left; see `checks.state_on_release`.
        """

        def write(connection: Connection) -> None:
            left_as = checks.state_on_release(connection, self.sweep_id, state)
            ended_at = None if left_as is SweepState.QUEUED else now_ms(connection)  # handed back to the other workers
            columns = {
                "state": left_as,
                "error": error and redact(error),
                "ended_at": ended_at,
                "is_stop_requested": False,
            }
            update_sweep(connection, self.sweep_id, **columns, owner=None, expires_at=None)
            numbers = requeue_running(connection, self.sweep_id)
            events.record_events(connection, self.sweep_id, EventKind.PUT_BACK, *numbers)
            outbox.add_ending(connection, self.sweep_id)
            how = f"{left_as.lower()}: {error or why}" if error or why else left_as.lower()
            events.record_events(connection, self.sweep_id, EventKind.ENDED, PARENT, detail=how)

        def read(connection: Connection) -> SweepState:
            return SweepState(connection.execute(self._select(SweepRow.state)).scalar_one())

        with self._lock:
            state = self._store([write], read, is_patient=is_patient)
            self._is_over = True
            return state

    def withdraw(self, why: str) -> None:
        """Undo `Ledger.begin`: remove the sweep if that created it, else leave it as it was found.

        Args:
            why: Why the sweep cannot be trained.
        """

        def write(connection: Connection) -> None:
            if self._former is None:
                connection.execute(delete(SweepRow).where(SweepRow.id == self.sweep_id))
                return
            update_sweep(connection, self.sweep_id, **self._former, owner=None, expires_at=None)
            detail = f"not continued: {redact(why)}"
            events.record_events(connection, self.sweep_id, EventKind.ENDED, PARENT, detail=detail)

        with self._lock:
            self._transact(0.0, [write], _read_nothing, is_patient=False)
            self._is_over = True

    def is_stop_requested(self) -> bool:
        """Return whether the sweep is asked to stop; changes nothing."""
        with self._database.read() as connection:
            return bool(connection.execute(self._select(SweepRow.is_stop_requested)).scalar())

    def spent_seconds(self) -> float:
        """Return the wall time over all runs of the sweep."""
        with self._database.read() as connection:
            return float(connection.execute(self._select(SweepRow.seconds)).scalar_one())

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
            return dict(connection.execute(self._select(SweepRow.system_attrs)).scalar_one())

    def read(self, read: Callable[[Connection, str], T]) -> T:
        """Return what a function reads of the sweep, given a transaction and the sweep's id."""
        with self._database.read() as connection:
            return read(connection, self.sweep_id)

    def _select(self, column: Any) -> Any:
        return select(column).where(SweepRow.id == self.sweep_id)


def _read_nothing(_connection: Connection) -> None:
    pass


def take_lease(
    database: Database,
    connection: Connection,
    row: Row[Any],
    owner: str | None,
    former: Mapping[str, Any] | None = None,
    **more: Any,
) -> Lease:
    """Take the lease on a sweep that is free, in the caller's transaction; trials that nobody trains are queued again.

    Args:
        database: The ledger's database.
        connection: A transaction that writes.
        row: The sweep's row, locked.
        owner: Name of the process that takes the lease; None for this one.
        former: Columns to set again if the lease is withdrawn; None if the sweep is then removed.
        more: Columns of the sweep to set.
    """
    columns = {
        "owner": owner or owners.this_process(),
        "expires_at": now_ms(connection) + int(LEASE_SECONDS * 1000),
        "token": row.token + 1,
        "last_turn": 0,
        "state": SweepState.RUNNING,
        "error": None,
        "ended_at": None,
        "is_stop_requested": False,
        "stopped_by": None,
        **more,
    }
    update_sweep(connection, row.id, **columns)
    taker = f"by {owners.describe_owner(columns['owner'])}"
    events.record_events(connection, row.id, EventKind.LEASED, PARENT, detail=taker)
    lost = requeue_running(connection, row.id)
    events.record_events(connection, row.id, EventKind.LOST, *lost, detail="its controller died")
    return Lease(database, row.id, row.token + 1, former)


def _study_trial(row: Mapping[Any, Any]) -> StudyTrial:
    return StudyTrial(
        **{name: row[name] for name in _AS_STORED},
        state=State(row["state"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        values=from_columns("value", row),
        penalty=from_columns("penalty", row),
    )
