"""The only truth: sweeps, trials, curves and what MLflow has not seen yet, in one database."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from dnnsweep.errors import SweepConflictError, SweepHeldError, SweepNotFoundError
from dnnsweep.ledger import curves, outbox, queries
from dnnsweep.ledger.database import Database, now, open_database
from dnnsweep.ledger.lease import Asked, Lease, StudyTrial, Told
from dnnsweep.ledger.outbox import Entry, Outbox
from dnnsweep.ledger.tables import PARENT, SweepRow, TrialRow
from dnnsweep.query import Condition
from dnnsweep.records import Curve, DataSummary, State, Sweep, SweepState, Trial

__all__ = ["PARENT", "Asked", "Entry", "Lease", "Ledger", "NewSweep", "StudyTrial", "Told", "outbox"]

#: How long a controller may be silent before another one may take its sweep over.
LEASE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class NewSweep:
    """A sweep to be stored.

    Args:
        name: Unique in the ledger.
        description: For people.
        spec: The sweep file, resolved, as plain JSON.
        identity: The part of it that identifies the sweep.
        digest: SHA-256 of the identity.
        data: What the data are.
        window: How many suggestions may be ahead of the results told.
        metric: The objective's.
        direction: `maximize` or `minimize`.
        n_trials: The budget.
        max_seconds: The budget of wall time; None without bound.
    """

    name: str
    description: str | None
    spec: Mapping[str, Any]
    identity: Mapping[str, Any]
    digest: str
    data: DataSummary
    window: int
    metric: str
    direction: str
    n_trials: int
    max_seconds: float | None


class Ledger:
    """Everything that is known about the sweeps of one home or one service.

    Args:
        database: Opened, at the newest version.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.id = database.ledger_id
        self.outbox = Outbox(database)

    @classmethod
    def open(cls, url: str, *, create: bool = False) -> Ledger:
        """Open the ledger at a database URL.

        Raises:
            SweepNotFoundError: There is no ledger and `create` is false.
            LedgerError: It cannot be opened.
        """
        return cls(open_database(url, create=create))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def store(self, new: NewSweep) -> None:
        """Create a sweep, or take up the budget of one that exists with the same content and data.

        Raises:
            SweepConflictError: The name is taken by another content, or the data have changed.
        """
        with self._database.write() as connection:
            row = _sweep_row(connection, new.name)
            if row is None:
                connection.execute(insert(SweepRow).values(_columns(new)))
                return
            _check_same(row, new)
            budget = {
                "n_trials": new.n_trials,
                "max_seconds": new.max_seconds,
                "description": new.description,
                "spec": dict(new.spec),
            }
            connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(budget))

    def check(self, name: str, digest: str, identity: Mapping[str, Any]) -> None:
        """Check that a sweep file could be run under its name now, before anything costly is done.

        Raises:
            SweepConflictError: The name is taken by another content.
            SweepHeldError: Another controller is running the sweep.
        """
        with self._database.read() as connection:
            row = _sweep_row(connection, name)
        if row is not None:
            _check_content(row, digest, identity)
            _check_free(row)

    def acquire(self, name: str, owner: str | None = None, seconds: float = LEASE_SECONDS) -> Lease:
        """Take the lease on a sweep; trials that nobody trains any more go back to the queue.

        Args:
            name: The sweep.
            owner: Who takes it, `host:pid`; None for this process.
            seconds: How long the lease lasts after each write.

        Raises:
            SweepHeldError: Another controller holds it and has not been silent for long enough.
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.write() as connection:
            row = _known_row(connection, name)
            _check_free(row)
            token = row.token + 1
            values = {
                "owner": owner or this_process(),
                "expires_at": now() + int(seconds * 1000),
                "token": token,
                "state": SweepState.RUNNING,
                "error": None,
                "ended_at": None,
                "is_stop_requested": False,
            }
            connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
            lost = (TrialRow.sweep_id == row.id, TrialRow.state == State.RUNNING)
            numbers = connection.execute(select(TrialRow.number).where(*lost)).scalars().all()
            connection.execute(update(TrialRow).where(*lost).values(state=State.QUEUED))
            outbox.changed(connection, row.id, PARENT, *numbers)
            return Lease(self._database, row.id, token, seconds)

    def sweeps(self) -> list[Sweep]:
        """Return all sweeps, oldest first."""
        with self._database.read() as connection:
            return queries.read_sweeps(connection)

    def sweep(self, name: str) -> Sweep:
        """Return one sweep.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            return queries.read_sweep(connection, name)

    def sweep_of(self, sweep_id: str) -> Sweep | None:
        """Return a sweep by its id, if it still exists."""
        with self._database.read() as connection:
            return next(iter(queries.read_sweeps(connection, SweepRow.id == sweep_id)), None)

    def trials(self, name: str, condition: Condition | None = None) -> list[Trial]:
        """Return the trials of a sweep that meet a condition, in their order.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            return queries.read_trials(connection, queries.read_sweep(connection, name), condition)

    def best(self, name: str, top: int = 1, condition: Condition | None = None) -> list[Trial]:
        """Return the best complete trials of a sweep that meet a condition, best first.

        Args:
            name: The sweep.
            top: At most so many.
            condition: As `query.parse` returns it.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            return queries.read_best(connection, queries.read_sweep(connection, name), top, condition)

    def trial(self, name: str, number: int) -> Trial:
        """Return one trial.

        Raises:
            SweepNotFoundError: There is no such sweep or trial.
        """
        with self._database.read() as connection:
            return queries.read_trial(connection, queries.read_sweep(connection, name), number)

    def curve(self, sweep_id: str, number: int) -> Curve:
        """Return what was measured while a trial trained."""
        with self._database.read() as connection:
            return curves.read(connection, sweep_id, number)

    def model_path(self, sweep_id: str, number: int) -> str | None:
        """Return where the trial's Keras model is kept; None unless it is its sweep's best."""
        mine = (TrialRow.sweep_id == sweep_id, TrialRow.number == number)
        with self._database.read() as connection:
            return connection.execute(select(TrialRow.model_path).where(*mine)).scalar()

    def request_stop(self, name: str) -> bool:
        """Ask the controller of a sweep to stop; return whether one is running it.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.write() as connection:
            row = _known_row(connection, name)
            if not _is_held(row):
                return False
            connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(is_stop_requested=True))
            return True

    def delete(self, name: str) -> None:
        """Remove a sweep with all its trials; its MLflow runs are put in the outbox to be deleted.

        Raises:
            SweepNotFoundError: There is no such sweep.
            SweepHeldError: It is running.
        """
        with self._database.write() as connection:
            row = _known_row(connection, name)
            _check_free(row)
            outbox.removed(connection, row.id)
            connection.execute(delete(SweepRow).where(SweepRow.id == row.id))


def _columns(new: NewSweep) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "name": new.name,
        "state": SweepState.INTERRUPTED,
        "description": new.description,
        "source": new.spec["dataset"]["source"],
        "spec": dict(new.spec),
        "digest": new.digest,
        "fingerprint": new.data.fingerprint,
        "data": summary_json(new.data),
        "metric": new.metric,
        "direction": new.direction,
        "window": new.window,
        "n_trials": new.n_trials,
        "max_seconds": new.max_seconds,
        "system_attrs": {},
        "created_at": now(),
    }


def summary_json(data: DataSummary) -> dict[str, Any]:
    """Return a data summary as plain JSON."""
    values = {name: getattr(data, name) for name in DataSummary.__slots__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def this_process() -> str:
    """Return who this process is, as leases name their owners."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _sweep_row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(SweepRow.__table__).where(SweepRow.name == name)).first()


def _known_row(connection: Connection, name: str) -> Row[Any]:
    row = _sweep_row(connection, name)
    if row is None:
        raise SweepNotFoundError(f"there is no sweep named {name}; `dnnsweep list` shows those there are")
    return row


def _check_same(row: Row[Any], new: NewSweep) -> None:
    _check_content(row, new.digest, new.identity)
    if row.fingerprint != new.data.fingerprint:
        raise SweepConflictError(
            f"sweep {row.name}: the data at {row.source} have changed since it was started "
            f"(fingerprint was {row.fingerprint[:12]}, is {new.data.fingerprint[:12]}); "
            "restore them, or choose another name with --name"
        )


def _check_content(row: Row[Any], digest: str, identity: Mapping[str, Any]) -> None:
    if row.digest == digest:
        return
    from dnnsweep.spec import difference

    lines = "\n".join(f"  {line}" for line in difference({key: row.spec.get(key) for key in identity}, identity))
    raise SweepConflictError(
        f"the name {row.name} is taken by a sweep with another content:\n{lines}\n"
        f"choose another name with --name, or remove the old one with `dnnsweep delete {row.name}`"
    )


def _is_held(row: Row[Any]) -> bool:
    return row.owner is not None and row.expires_at > now() and not _is_gone(row.owner)


def _check_free(row: Row[Any]) -> None:
    if _is_held(row):
        wait = (row.expires_at - now()) / 1000
        raise SweepHeldError(
            f"sweep {row.name} is being run by {row.owner}, whose lease lasts {wait:.0f} more seconds and is "
            f"renewed while it runs; stop it with `dnnsweep stop {row.name}`"
        )


def _is_gone(owner: str) -> bool:
    """Return whether the owner was a process of this machine that does not exist any more."""
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False
