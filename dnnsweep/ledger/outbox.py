"""What MLflow has not seen yet. An entry says that something changed, not what: this is read when it is sent."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from dnnsweep.ledger import events, owners
from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.database import Database
from dnnsweep.ledger.tables import FIRST_CANDIDATE, PARENT, CandidateRow, OutboxRow, RepeatRow, SweepRow, TrialRow
from dnnsweep.ledger.watch import LeaseWatch
from dnnsweep.records import SweepState
from dnnsweep.redaction import redact

SYNC: Final = "sync"
DELETE: Final = "delete"
# Made once: SQLAlchemy takes longer to make a statement than SQLite to carry it out.
_NEW: Final = insert(OutboxRow)
_IS_LATER: Final = and_(OutboxRow.attempts == 0, OutboxRow.due_at > bindparam("own_due"))
_AGAIN: Final = (
    update(OutboxRow)
    .where(
        OutboxRow.sweep_id == bindparam("own_sweep"),
        OutboxRow.number == bindparam("own_number"),
        OutboxRow.kind == SYNC,
    )
    .values(
        version=OutboxRow.version + 1,
        due_at=case((_IS_LATER, bindparam("own_due")), else_=OutboxRow.due_at),
    )
)
#: How long a sender may take over what it claimed, and the longest time for which an entry waits after a failure.
CLAIM_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the outbox.

    Args:
        id: Number of the entry, in the order of creation.
        sweep_id: The sweep that the entry is about.
        number: Number of the trial; `PARENT` for the sweep itself, `outbox_number` of a candidate.
        kind: `SYNC`: show its present state; `DELETE`: remove its run.
        run_id: The run to remove.
        version: Grows with each further change before the entry was sent.
        attempts: How often sending failed.
        claimed_by: The process that claimed the entry before; None if none did, so that nothing was ever sent.
    """

    id: int
    sweep_id: str
    number: int
    kind: str
    run_id: str | None
    version: int
    attempts: int
    claimed_by: str | None = None


def outbox_number(candidate: int) -> int:
    """Return the number under which a candidate is in the outbox.

    Example:
        >>> outbox_number(0), candidate_number(-2)
        (-2, 0)
    """
    return FIRST_CANDIDATE - candidate


def candidate_number(number: int) -> int:
    """Return the candidate that an entry of the outbox is about; the inverse of `outbox_number`."""
    return FIRST_CANDIDATE - number


def add_change(connection: Connection, sweep_id: str, *numbers: int, seconds: float = 0.0) -> None:
    """Add, in the caller's transaction, that trials (or the sweep itself, `PARENT`) have something new to show.

    Args:
        connection: A transaction that writes.
        sweep_id: Id of the sweep.
        numbers: Numbers of the trials.
        seconds: How long an entry may wait for further changes; one that failed to be sent keeps its own time.
    """
    now = now_ms(connection)
    due = now + int(seconds * 1000)
    for number in numbers:
        own = {"own_sweep": sweep_id, "own_number": number, "own_due": due}
        if connection.execute(_AGAIN, own).rowcount == 0:
            new = {"sweep_id": sweep_id, "number": number, "kind": SYNC, "created_at": now, "due_at": due}
            connection.execute(_NEW, new)


def add_ending(connection: Connection, sweep_id: str) -> None:
    """Add, in the caller's transaction, that a sweep has ended, and with it candidates whose repeats have not."""
    is_open = (RepeatRow.sweep_id == sweep_id, RepeatRow.reason.is_(None))
    cut_short = connection.execute(select(RepeatRow.candidate).where(*is_open).distinct()).scalars()
    add_change(connection, sweep_id, PARENT, *map(outbox_number, cut_short))


def add_removals(connection: Connection, sweep_id: str) -> None:
    """Add, in the caller's transaction, that all runs of a sweep are to be deleted."""
    connection.execute(delete(OutboxRow).where(OutboxRow.sweep_id == sweep_id))
    now = now_ms(connection)
    parent = select(SweepRow.run_id).where(SweepRow.id == sweep_id)
    runs = [(PARENT, connection.execute(parent).scalar())]
    children = select(TrialRow.number, TrialRow.run_id).where(TrialRow.sweep_id == sweep_id)
    runs += [(row.number, row.run_id) for row in connection.execute(children)]
    repeated = select(CandidateRow.number, CandidateRow.run_id).where(CandidateRow.sweep_id == sweep_id)
    runs += [(outbox_number(row.number), row.run_id) for row in connection.execute(repeated)]
    rows = [
        {"sweep_id": sweep_id, "number": number, "kind": DELETE, "run_id": run, "created_at": now, "due_at": now}
        for number, run in runs
        if run is not None
    ]
    if rows:
        connection.execute(insert(OutboxRow), rows)


def _is_unchanged(entry: Entry) -> tuple[ColumnElement[bool], ...]:
    return OutboxRow.id == entry.id, OutboxRow.version == entry.version


def _set_run(connection: Connection, sweep_id: str, number: int, run_id: str) -> None:
    if number == PARENT:
        connection.execute(update(SweepRow).where(SweepRow.id == sweep_id).values(run_id=run_id))
    elif number < PARENT:
        own = (CandidateRow.sweep_id == sweep_id, CandidateRow.number == candidate_number(number))
        connection.execute(update(CandidateRow).where(*own).values(run_id=run_id))
    else:
        is_trial = (TrialRow.sweep_id == sweep_id, TrialRow.number == number)
        connection.execute(update(TrialRow).where(*is_trial).values(run_id=run_id))


def _is_over(moment: Any, now: int) -> ColumnElement[bool]:
    """Return the condition under which a moment is over.

    Nobody stores a moment further away than `CLAIM_SECONDS`, unless by a clock that was ahead.
    """
    return or_(moment <= now, moment > now + int(CLAIM_SECONDS * 1000))


class Outbox:
    """What senders do with the outbox.

    Args:
        database: The ledger's database.
        watch: Tells which sweeps nobody runs.
    """

    def __init__(self, database: Database, watch: LeaseWatch) -> None:
        self._database = database
        self._watch = watch
        self._claims: dict[tuple[int, int], float] = {}

    def _is_free(self, connection: Connection, sweep_id: str | None) -> ColumnElement[bool]:
        """Return the condition under which a sender may send an entry: of its own sweep, or of one that nobody runs."""
        is_held = and_(SweepRow.state == SweepState.RUNNING, ~self._watch.shown_free_condition(connection))
        held = select(SweepRow.id).where(is_held)
        return or_(OutboxRow.sweep_id == sweep_id, OutboxRow.sweep_id.not_in(held))

    def _claimed_here(self, connection: Connection) -> list[int]:
        """Return the entries that other processes of this machine have claimed and may be sending, whatever the time.

        Such a claim ends when its process does, or after this process has seen it for `CLAIM_SECONDS`.
        """
        claimed = select(OutboxRow.id, OutboxRow.claimed_until, OutboxRow.claimed_by)
        rows = connection.execute(claimed.where(OutboxRow.claimed_until > 0)).all()
        others = {row.claimed_by for row in rows} - {None, owners.this_process()}
        here = {other for other in others if owners.is_here(other)}
        now = time.monotonic()
        claims = {(row.id, row.claimed_until) for row in rows if row.claimed_by in here}
        self._claims = {claim: self._claims.get(claim, now) for claim in claims}
        return [id_ for (id_, _), seen_at in self._claims.items() if now - seen_at < CLAIM_SECONDS]

    def claim(
        self, limit: int, sweep_id: str | None = None, seconds: float = CLAIM_SECONDS, without: Collection[str] = ()
    ) -> list[Entry]:
        """Claim entries that are due: of the own sweep first, then sweeps before their trials, then the oldest first.

        No other sender gets them for a while.

        Args:
            limit: Claim at most this many entries.
            sweep_id: The sweep that this sender runs; sweeps that others run are left to them.
            seconds: How long the claim lasts, if the sender dies.
            without: Sweeps whose own entry is left out, unlike the entries of their trials.
        """
        order = (OutboxRow.sweep_id != (sweep_id or ""), OutboxRow.number != PARENT, OutboxRow.id)
        columns = (getattr(OutboxRow, name) for name in Entry.__slots__)
        with self._database.write() as connection:
            now = now_ms(connection)
            is_claimable: tuple[ColumnElement[bool], ...] = (
                _is_over(OutboxRow.due_at, now),
                _is_over(OutboxRow.claimed_until, now),
                OutboxRow.id.not_in(self._claimed_here(connection)),
                self._is_free(connection, sweep_id),
            )
            if without:
                is_claimable = (*is_claimable, or_(OutboxRow.number != PARENT, OutboxRow.sweep_id.not_in(without)))
            statement = select(*columns).where(*is_claimable).order_by(*order).limit(limit).with_for_update()
            entries = [Entry(*row) for row in connection.execute(statement)]
            taken = update(OutboxRow).where(OutboxRow.id.in_([entry.id for entry in entries]))
            if entries:
                claim = {"claimed_until": now + int(seconds * 1000), "claimed_by": owners.this_process()}
                connection.execute(taken.values(claim))
            return entries

    def remove_sent(self, entry: Entry, run_id: str | None) -> None:
        """Remove an entry that was sent, or make it due again if more has changed meanwhile; store its run."""
        with self._database.write() as connection:
            if connection.execute(delete(OutboxRow).where(*_is_unchanged(entry))).rowcount and entry.kind == SYNC:
                events.record_delivery(connection, entry.sweep_id, entry.number)
            again = update(OutboxRow).where(OutboxRow.id == entry.id)
            connection.execute(again.values(due_at=now_ms(connection), claimed_until=0))
            if run_id is not None:
                _set_run(connection, entry.sweep_id, entry.number, run_id)

    def set_run(self, sweep_id: str, number: int, run_id: str) -> None:
        """Store the run of a trial, or of the sweep itself."""
        with self._database.write() as connection:
            _set_run(connection, sweep_id, number, run_id)

    def postpone(self, entry: Entry, error: str, seconds: float) -> None:
        """Store why an entry could not be sent, and make it due again later, after at most `CLAIM_SECONDS`."""
        with self._database.write() as connection:
            later = {"due_at": now_ms(connection) + int(min(seconds, CLAIM_SECONDS) * 1000), "claimed_until": 0}
            values = {"attempts": OutboxRow.attempts + 1, "error": redact(error), **later}
            connection.execute(update(OutboxRow).where(OutboxRow.id == entry.id).values(values))

    def release(self, entry: Entry) -> None:
        """Give a claimed entry back without having tried to send it."""
        with self._database.write() as connection:
            connection.execute(update(OutboxRow).where(OutboxRow.id == entry.id).values(claimed_until=0))

    def make_due(self) -> None:
        """Make entries due now that wait after a failure, or that were claimed by a process that is gone."""
        claimed = OutboxRow.claimed_until > 0
        with self._database.write() as connection:
            now = now_ms(connection)
            holders = connection.execute(select(OutboxRow.claimed_by).where(claimed).distinct()).scalars().all()
            gone = [holder for holder in holders if holder is not None and owners.is_gone(holder)]
            freed = update(OutboxRow).where(claimed, OutboxRow.claimed_by.in_(gone))
            connection.execute(freed.values(claimed_until=0))
            connection.execute(update(OutboxRow).where(OutboxRow.due_at > now).values(due_at=now))

    def refill(self, sweep_id: str | None = None) -> int:
        """Make all runs that MLflow was shown due again, of one sweep or of all; return how many entries are new."""
        sweeps = select(SweepRow.id, literal(PARENT).label("number")).where(SweepRow.run_id.is_not(None))
        trials = select(TrialRow.sweep_id, TrialRow.number).where(TrialRow.run_id.is_not(None))
        number = (literal(FIRST_CANDIDATE) - CandidateRow.number).label("number")
        candidates = select(CandidateRow.sweep_id, number).where(CandidateRow.run_id.is_not(None))
        if sweep_id is not None:
            sweeps, trials = sweeps.where(SweepRow.id == sweep_id), trials.where(TrialRow.sweep_id == sweep_id)
            candidates = candidates.where(CandidateRow.sweep_id == sweep_id)
        shown = union_all(sweeps, trials, candidates).subquery()
        own = (OutboxRow.sweep_id == shown.c.id, OutboxRow.number == shown.c.number, OutboxRow.kind == SYNC)
        columns = ["sweep_id", "number", "kind", "created_at", "due_at"]
        with self._database.write() as connection:
            now = literal(now_ms(connection))
            new = select(shown.c.id, shown.c.number, literal(SYNC), now, now).where(~exists().where(*own))
            return connection.execute(insert(OutboxRow).from_select(columns, new)).rowcount

    def add(self, sweep_id: str, *numbers: int) -> None:
        """Add that trials, or the sweep itself, have something to show."""
        with self._database.write() as connection:
            add_change(connection, sweep_id, *numbers)

    def seconds_to_next(self, sweep_id: str | None = None) -> float | None:
        """Return how long it takes until this sender may send its next entry; None if it has no entry."""
        moment = case((OutboxRow.claimed_until > OutboxRow.due_at, OutboxRow.claimed_until), else_=OutboxRow.due_at)
        with self._database.read() as connection:
            now = now_ms(connection)
            wait = case((_is_over(moment, now), 0), else_=moment - now)
            shortest = connection.execute(select(func.min(wait)).where(self._is_free(connection, sweep_id))).scalar()
        return None if shortest is None else shortest / 1000

    def count(self, sweep_id: str | None = None) -> int:
        """Return how many entries, of one sweep or of all, MLflow has not seen."""
        is_counted = () if sweep_id is None else (OutboxRow.sweep_id == sweep_id,)
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(OutboxRow).where(*is_counted)).scalar_one()
