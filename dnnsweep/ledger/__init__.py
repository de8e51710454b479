"""Sweeps, trials, curves and what MLflow has not seen yet, in one database: the only truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from dnnsweep.ledger import (
    checks,
    creation,
    curves,
    deadlines,
    deletions,
    events,
    outbox,
    queries,
    repeat_rows,
    stats,
    submissions,
)
from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.confirmations import read_standings
from dnnsweep.ledger.creation import NewSweep, summary_json
from dnnsweep.ledger.database import Database, open_database, retry_on_race
from dnnsweep.ledger.lease import Lease, Renewal, StudyTrial, take_lease
from dnnsweep.ledger.outbox import Entry, Outbox
from dnnsweep.ledger.queries import Part
from dnnsweep.ledger.repeat_lease import RepeatLease
from dnnsweep.ledger.stats import LedgerStats
from dnnsweep.ledger.sweep_cache import SweepCache, count_undelivered
from dnnsweep.ledger.tables import PARENT, SweepRow, TrialRow
from dnnsweep.ledger.trial_rows import requeue_running
from dnnsweep.ledger.turn import Asked, Told, Turn
from dnnsweep.ledger.watch import LeaseWatch
from dnnsweep.ledger.where import parse_where
from dnnsweep.records import Candidate, Curve, Repeat, Sweep, SweepState, Trial
from dnnsweep.records.events import DeletedSweep, Event, EventKind
from dnnsweep.records.paging import Page

__all__ = [
    "PARENT",
    "Asked",
    "Entry",
    "Lease",
    "LeaseWatch",
    "Ledger",
    "LedgerStats",
    "NewSweep",
    "Renewal",
    "RepeatLease",
    "StudyTrial",
    "Told",
    "Turn",
    "outbox",
    "summary_json",
]


class Ledger:
    """The sweeps of one home or one service, with everything that is stored about them.

    Args:
        database: The ledger's database, whose schema is at the newest version.
        watch: What this process has seen of others' leases so far; None for nothing.
    """

    def __init__(self, database: Database, watch: LeaseWatch | None = None) -> None:
        self._database = database
        self._watch = watch or LeaseWatch()
        self.id = database.ledger_id
        self.is_read_only = database.is_read_only
        self.outbox = Outbox(database, self._watch)
        self._cache = SweepCache(self._watch)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = False,
        patience: float = 0.0,
        may_only_read: bool = False,
        watch: LeaseWatch | None = None,
    ) -> Ledger:
        """Open the ledger at a database URL.

        Args:
            url: Address of the database, in SQLAlchemy's form.
            create: Whether to create what does not exist.
            patience: Seconds for which leases try again to write while the database is away.
            may_only_read: Whether to open a SQLite file for reading if it cannot be written.
            watch: What this process has seen of others' leases so far; None for nothing.

        Raises:
            SweepNotFoundError: There is no ledger and `create` is false.
            LedgerError: It cannot be opened.
        """
        return cls(open_database(url, create=create, patience=patience, may_only_read=may_only_read), watch)

    def look(self) -> None:
        """Look at all leases that are held: who looks again and again knows which of them are lost."""
        with self._database.read() as connection:
            self._watch.look(connection)

    def limit_statements(self, seconds: float) -> None:
        """Let each later statement on PostgreSQL take at most some seconds."""
        deadlines.limit_statements(self._database.engine, seconds)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def begin(self, new: NewSweep, owner: str | None = None) -> Lease:
        """Take the lease on a sweep: create the sweep, or give the one that exists the budget of its file.

        Args:
            new: The sweep as its file describes it.
            owner: Name of the process that takes the lease; None for this one.

        Raises:
            SweepConflictError: The name is taken by another content, or the data have changed.
            SweepHeldError: Another controller holds the sweep, and its lease is not known to be lost.
        """
        return retry_on_race(new.name, lambda: self._database.retry_while_away(lambda: self._begin(new, owner)))

    def _begin(self, new: NewSweep, owner: str | None) -> Lease:
        with self._database.write() as connection:
            row = submissions.find_kept(connection, self._watch, new)
            if row is None:
                columns = creation.new_columns(connection, new)
                connection.execute(insert(SweepRow).values(columns))
                events.record_events(connection, columns["id"], EventKind.CREATED, PARENT)
            else:
                checks.check_free(row, self._watch)
                creation.check_same_sweep(row, new)
                values = {**creation.budget_columns(new.spec), **creation.data_columns(new, row)}
                connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
            former = None if row is None else creation.former_columns(row)
            now = checks.require_sweep(connection, new.name)
            if new.data is not None:  # else there is nothing new to show of it yet
                outbox.add_change(connection, now.id, PARENT)
            return take_lease(self._database, connection, now, owner, former, queued_at=None)  # out of the queue

    def submit(self, new: NewSweep, *, is_restricted: bool, requested_by: str | None = None) -> tuple[Sweep, bool]:
        """Put a sweep into the queue for workers; return it, and whether it is new.

        A sweep that exists continues with the budget in its file, unless nothing is left to train or it is running with
        exactly this file.

        Args:
            new: The sweep as its file describes it; nobody has loaded its data.
            is_restricted: Whether the sweep came over the network, so that the operator's limits hold.
            requested_by: Name of the token that submits it; None for a command on a home.

        Raises:
            SweepConflictError: The name is taken by another content.
            SweepHeldError: It is running, with another budget.
        """
        submitted = submissions.Submission(new, is_restricted, requested_by)
        return retry_on_race(new.name, lambda: submissions.submit(self._database, self._watch, submitted))

    def claim(self, owner: str | None = None) -> tuple[Lease, str] | None:
        """Take the lease on the sweep that is next for a worker; return it with the sweep's name, or None.

        Args:
            owner: Name of the process that takes the lease; None for this one.
        """
        return submissions.claim_next(self._database, self._watch, owner)

    def store_data(self, lease: Lease, new: NewSweep) -> None:
        """Store what the data of a leased sweep are and how it will be trained, which MLflow may show from now on.

        Raises:
            SweepConflictError: The data have changed since it was started.
            LeaseLostError: Another worker took it over, or it was deleted.
        """
        with self._database.read() as connection:
            row = connection.execute(checks.select_by_name(new.name)).first()
        if row is not None:
            creation.check_same_sweep(row, new)
            with lease.turn() as turn:
                turn.update_sweep(state=SweepState.RUNNING, **creation.data_columns(new, row))

    def mark_complete(self, name: str, spec: Mapping[str, Any]) -> None:
        """Mark a sweep that nobody runs as complete, because all trials of the budget in its file have ended.

        Raises:
            SweepHeldError: Somebody runs it.
        """
        with self._database.write() as connection:
            row = checks.require_sweep(connection, name)
            checks.check_free(row, self._watch)
            values = {
                "state": SweepState.COMPLETE,
                "error": None,
                "ended_at": row.ended_at or now_ms(connection),
                **submissions.UNHELD,
                **creation.budget_columns(spec),
            }
            values["token"] = row.token + 1
            connection.execute(update(SweepRow).where(SweepRow.id == row.id).values(values))
            requeue_running(connection, row.id)
            outbox.add_ending(connection, row.id)

    def check(self, name: str, digest: str, identity: Mapping[str, Any]) -> None:
        """Check that a sweep file could be run under its name now, before anything costly is done.

        Raises:
            SweepConflictError: The name is taken by another content.
            SweepHeldError: Another controller is running the sweep.
        """
        with self._database.read() as connection:
            row = connection.execute(checks.select_by_name(name)).first()
        if row is not None and not checks.is_abandoned(row, self._watch):
            checks.check_content(row, digest, identity)
            checks.check_free(row, self._watch)

    def sweeps(self, state: SweepState | None = None) -> list[Sweep]:
        """Return sweeps, oldest first: all, or those that are shown in a state."""
        return self.sweep_page(state).items

    def sweep_page(self, state: SweepState | None = None, limit: int | None = None, offset: int = 0) -> Page[Sweep]:
        """Return a part of the sweeps, oldest first.

        Args:
            state: Return only sweeps that are shown in this state.
            limit: Return at most this many sweeps; None for all.
            offset: Leave out this many sweeps at the beginning.
        """
        with self._database.read() as connection:
            return self._cache.read_page(connection, state, limit, offset)

    def sweep(self, name: str) -> Sweep:
        """Return one sweep.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            return count_undelivered(connection, [self._cache.read_sweep(connection, name)])[0]

    def sweep_of(self, sweep_id: str) -> Sweep | None:
        """Return a sweep by its id, if it still exists."""
        with self._database.read() as connection:
            return next(iter(queries.read_sweeps(connection, self._watch, SweepRow.id == sweep_id)), None)

    def trials(self, name: str, where: str | None = None) -> list[Trial]:
        """Return the trials of a sweep that meet a condition, in their order; see `trial_page`."""
        return self.trial_page(name, where).items

    def trial_page(
        self, name: str, where: str | None = None, order: str = "number", limit: int | None = None, offset: int = 0
    ) -> Page[Trial]:
        """Return a part of the trials of a sweep that meet a condition.

        Args:
            name: Name of the sweep.
            where: A condition such as `dropout < 0.3`; None for all trials.
            order: A column of `queries.ORDERS`; with `-` before it, the largest comes first. Trials without a value
                in this column come last.
            limit: Return at most this many trials; None for all.
            offset: Leave out this many trials at the beginning.

        Raises:
            QueryError: The condition is wrong, or there is no such order.
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            sweep = self._cache.read_sweep(connection, name)
            page = queries.read_page(connection, sweep, parse_where(where, sweep), Part(order, limit, offset))
            return Page(read_standings(connection, sweep).mark(page.items), page.total)

    def best(self, name: str, top: int | None = None, where: str | None = None) -> list[Trial]:
        """Return the best complete trials of a sweep that meet a condition, best first.

        Trials that were confirmed and are still in the race come first, by the means of their repeats; then the others
        by their own values. With two objectives these are the trials that no other one that meets the condition beats.

        Args:
            name: Name of the sweep.
            top: Return at most this many trials; None for `queries.TOP`, or for all with two objectives.
            where: A condition such as `dropout < 0.3`; None for all trials.

        Raises:
            QueryError: The condition is wrong, or `top` is below 1.
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            sweep = self._cache.read_sweep(connection, name)
            standings = read_standings(connection, sweep)
            return standings.mark(
                queries.read_best(connection, sweep, top, parse_where(where, sweep), standings.leading)
            )

    def trial(self, name: str, number: int) -> Trial:
        """Return one trial.

        Raises:
            SweepNotFoundError: There is no such sweep or trial.
        """
        with self._database.read() as connection:
            return _confirmed_trial(connection, self._cache.read_sweep(connection, name), number)

    def trial_with_curve(self, name: str, number: int) -> tuple[Trial, Curve]:
        """Return one trial, and what was measured while it trained; see `trial`."""
        with self._database.read() as connection:
            sweep = self._cache.read_sweep(connection, name)
            trial = _confirmed_trial(connection, sweep, number)
            return trial, curves.read_curve(connection, sweep.id, number)

    def trials_of(self, sweep: Sweep, first: int = 0) -> list[Trial]:
        """Return the trials of a sweep that was read before, in their order, from number `first` on."""
        with self._database.read() as connection:
            return queries.read_trials(connection, sweep, first=first)

    def trial_of(self, sweep: Sweep, number: int) -> Trial:
        """Return one trial of a sweep that was read before."""
        with self._database.read() as connection:
            return queries.read_trial(connection, sweep, number)

    def best_of(self, sweep: Sweep, top: int) -> list[Trial]:
        """Return the best trials of a sweep that was read before, at most so many; see `best`."""
        with self._database.read() as connection:
            return queries.read_best(connection, sweep, top)

    def curve(self, sweep_id: str, number: int) -> Curve:
        """Return what was measured while a trial trained."""
        with self._database.read() as connection:
            return curves.read_curve(connection, sweep_id, number)

    def events(self, name: str) -> list[Event]:
        """Return what happened to a sweep and its trials, oldest first.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            return events.read_events(connection, self._cache.read_sweep(connection, name))

    def event_page(self, name: str, limit: int | None = None, offset: int = 0) -> Page[Event]:
        """Return a part of what happened to a sweep and its trials, newest first.

        Args:
            name: Name of the sweep.
            limit: Return at most this many events; None for all.
            offset: Leave out this many of the newest events.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.read() as connection:
            return events.read_event_page(connection, self._cache.read_sweep(connection, name), limit, offset)

    def events_after(self, sweep: Sweep, number: int, limit: int) -> list[tuple[int, Event]]:
        """Return the first events of a sweep that are numbered above another one, with their numbers.

        Args:
            sweep: The sweep, as it was read before.
            number: The number of the last event that the caller knows; 0 for none.
            limit: Return at most this many events.
        """
        with self._database.read() as connection:
            return events.read_events_after(connection, sweep, number, limit)

    def is_restricted(self, name: str) -> bool:
        """Return whether a sweep came over the network, so that the operator's limits hold for it."""
        with self._database.read() as connection:
            return bool(connection.execute(select(SweepRow.is_restricted).where(SweepRow.name == name)).scalar())

    def stats(self) -> LedgerStats:
        """Return statistics over the whole ledger."""
        with self._database.read() as connection:
            return stats.read_stats(connection, self._watch)

    def model_name(self, sweep_id: str, number: int) -> str | None:
        """Return the file name of the trial's Keras model; None if another trial of its sweep beats it."""
        is_trial = (TrialRow.sweep_id == sweep_id, TrialRow.number == number)
        with self._database.read() as connection:
            return connection.execute(select(TrialRow.model_path).where(*is_trial)).scalar()

    def candidates(self, sweep: Sweep) -> list[Candidate]:
        """Return the configurations of a sweep that are repeated, in their order."""
        with self._database.read() as connection:
            return repeat_rows.read_candidates(connection, sweep.id)

    def repeats(self, sweep: Sweep, candidate: int | None = None) -> list[Repeat]:
        """Return the repeats of a sweep, or of one of its candidates, in their order."""
        with self._database.read() as connection:
            return repeat_rows.read_repeats(connection, sweep.id, candidate)

    def answer(self, sweep: Sweep) -> dict[str, Any]:
        """Return what a sweep has answered so far, as plain JSON; {} for nothing."""
        with self._database.read() as connection:
            return repeat_rows.read_answer(connection, sweep.id)

    def request_stop(self, name: str, requested_by: str | None = None) -> bool:
        """Ask the controller of a sweep to stop, or take it from the queue; return whether it was running or waiting.

        Args:
            name: Name of the sweep.
            requested_by: Name of the token that asks; None for a command on a home.

        Raises:
            SweepNotFoundError: There is no such sweep.
        """
        with self._database.write() as connection:
            row = checks.require_sweep(connection, name)
            return submissions.request_stop(connection, self._watch, row, requested_by)

    def delete(self, name: str, requested_by: str | None = None) -> None:
        """Remove a sweep with all its trials; its MLflow runs are put in the outbox to be deleted.

        Args:
            name: Name of the sweep.
            requested_by: Name of the token that asks; None for a command on a home.

        Raises:
            SweepNotFoundError: There is no such sweep.
            SweepHeldError: It is running.
        """
        with self._database.write() as connection:
            row = checks.require_sweep(connection, name)
            checks.check_free(row, self._watch)
            outbox.add_removals(connection, row.id)
            deletions.keep_record(connection, row, requested_by)
            connection.execute(delete(SweepRow).where(SweepRow.id == row.id))

    def deleted_page(self, limit: int | None = None, offset: int = 0) -> Page[DeletedSweep]:
        """Return a part of what is kept of deleted sweeps, in the order of their deletion.

        Args:
            limit: Return at most this many records; None for all.
            offset: Leave out this many records at the beginning.
        """
        with self._database.read() as connection:
            return deletions.read_page(connection, limit, offset)


def _confirmed_trial(connection: Connection, sweep: Sweep, number: int) -> Trial:
    """Return a trial with what its repeats say."""
    return read_standings(connection, sweep).mark([queries.read_trial(connection, sweep, number)])[0]
