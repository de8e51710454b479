"""What this process has seen of the leases that others hold, by which it knows which of them are lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, false, or_, select

from dnnsweep.ledger import owners
from dnnsweep.ledger.clock import now_ms
from dnnsweep.ledger.tables import SweepRow
from dnnsweep.records import SweepState

#: How long the holder of a lease may be silent before another process may take its sweep over.
LEASE_SECONDS: Final = 15.0
#: The most that one look adds to a silence. A holder may have been kept from renewing while nobody looked: the database
#: was away, or the machine slept.
MAX_GAP_SECONDS: Final = 5.0
#: How far a clock may be set while a sweep is still shown as running; only on SQLite.
SETTING_SECONDS: Final = 600.0
_HELD: Final = (SweepRow.state == SweepState.RUNNING, SweepRow.owner.is_not(None))
_UNHELD: Final = and_(SweepRow.state == SweepState.RUNNING, SweepRow.owner.is_(None))
_LOOK: Select[*tuple[Any, ...]] = select(
    SweepRow.id, SweepRow.state, SweepRow.owner, SweepRow.token, SweepRow.last_turn, SweepRow.expires_at
).where(*_HELD)


@dataclass(slots=True)
class _Silence:
    """How long a holder was seen not to renew.

    Args:
        renewal: The lease's token, and the number of its last transaction: the counter that each renewal raises.
        looked_at: When it was last looked at.
        seconds: How long the counter has been the same, as far as somebody looked.
        has_renewed: Whether the counter was seen to change.
    """

    renewal: tuple[int, int]
    looked_at: float
    seconds: float = 0.0
    has_renewed: bool = False


class LeaseWatch:
    """Tells which leases are lost. No clock but this process's own has a say in it.

    A lease is lost if its holder was a process of this machine that is gone, or if this process has seen for the length
    of a lease that it was not renewed. To ask about a row is to look at it. Threads may share a watch.

    Args:
        clock: Returns seconds, from any beginning; never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._silences: dict[str, _Silence] = {}

    def is_free(self, row: Row[Any]) -> bool:
        """Return whether a sweep may be taken: nobody holds it, or its lease is lost."""
        if row.state != SweepState.RUNNING or row.owner is None or owners.is_gone(row.owner):
            return True
        return self._look(row).seconds >= LEASE_SECONDS

    def is_alive(self, row: Row[Any]) -> bool:
        """Return whether the holder of a sweep was seen to renew its lease a moment ago."""
        silence = self._look(row)
        return silence.has_renewed and silence.seconds < MAX_GAP_SECONDS

    def is_shown_free(self, connection: Connection, row: Row[Any]) -> bool:
        """Return whether a sweep is shown as one that nobody runs.

        A reader that looks once cannot have seen a silence, so it believes a clock, which is not enough to take a
        lease. On PostgreSQL that is the server's. A file of SQLite is of one machine, whose clock may have been set:
        ten minutes are allowed for that.
        """
        if self.is_free(row):
            return True
        if connection.dialect.name == "postgresql":
            return (row.expires_at or 0) <= now_ms(connection)
        overdue = now_ms(connection) - (row.expires_at or 0)
        return owners.is_of_another_boot(row.owner) or overdue >= SETTING_SECONDS * 1000

    def look(self, connection: Connection) -> None:
        """Look at all leases that are held."""
        self._look_at(connection.execute(_LOOK).all())

    def longest_silence(self, connection: Connection) -> float:
        """Return how long the least recently renewed lease, of those that are not lost, was seen not to be renewed."""
        rows = [row for row in connection.execute(_LOOK).all() if not self.is_free(row)]
        return max((self._look(row).seconds for row in rows), default=0.0)

    def free_condition(self, connection: Connection) -> ColumnElement[bool]:
        """Return the condition under which the lease of a running sweep is lost; see `is_free`.

        It names the counters that were seen, and so does not hold for a lease that is renewed meanwhile.
        """
        rows = connection.execute(_LOOK).all()
        self._look_at(rows)
        return or_(_UNHELD, _any(row for row in rows if self.is_free(row)))

    def shown_free_condition(self, connection: Connection) -> ColumnElement[bool]:
        """Return the condition under which a running sweep is shown as one that nobody runs; see `is_shown_free`."""
        rows = connection.execute(_LOOK).all()
        return or_(_UNHELD, _any(row for row in rows if self.is_shown_free(connection, row)))

    def _look_at(self, rows: Iterable[Row[Any]]) -> None:
        """Look at all leases that are held, and forget those that are not held any more."""
        held = {row.id: self._look(row) for row in rows}
        with self._lock:
            self._silences = {id_: silence for id_, silence in self._silences.items() if id_ in held}

    def _look(self, row: Row[Any]) -> _Silence:
        """Look at a lease once; return what is known of its holder by now."""
        now, renewal = self._clock(), (row.token, row.last_turn)
        with self._lock:
            known = self._silences.setdefault(row.id, _Silence(renewal, now))
            if known.renewal != renewal:
                known.renewal, known.seconds, known.has_renewed = renewal, 0.0, True
            else:
                known.seconds += min(now - known.looked_at, MAX_GAP_SECONDS)
            known.looked_at = now
            return known


def _any(rows: Iterable[Row[Any]]) -> ColumnElement[bool]:
    """Return the condition that selects rows as they were read."""
    return or_(
        false(),
        *(
            and_(SweepRow.id == row.id, SweepRow.token == row.token, SweepRow.last_turn == row.last_turn)
            for row in rows
        ),
    )
