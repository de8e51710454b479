"""Progress as server-sent events, read from the ledger once for all readers of a sweep."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread

from dnnsweep.errors import LedgerError, SweepNotFoundError
from dnnsweep.records import Sweep, SweepState
from dnnsweep.records.events import Event
from dnnsweep.stores.local import LocalStore

T = TypeVar("T")
log: Final = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
HEARTBEAT_SECONDS: Final = 15.0
#: The most sweeps that are read at the same moment for all that follow them; the others wait.
N_POLLING: Final = 2
#: How long after an event one with a lower number may still be stored, as transactions overlap.
LATE_SECONDS: Final = 5.0
#: The most events read at once.
PAGE: Final = 500
#: The most events that are read again, to find those that were stored late.
MAX_KNOWN: Final = 10 * PAGE
MEDIA_TYPE: Final = "text/event-stream"
_OPEN: Final = (SweepState.QUEUED, SweepState.RUNNING)


def has_ended(sweep: Sweep) -> bool:
    """Return whether a sweep has ended, so that nothing more happens unless it is queued again."""
    return sweep.state not in _OPEN


def message(event: str, data: Any, number: int | None = None) -> str:
    r"""Return a server-sent event.

    Example:
        >>> message("progress", {"n_finished": 1}, 7)
        'event: progress\nid: 7\ndata: {"n_finished":1}\n\n'
    """
    mark = "" if number is None else f"id: {number}\n"
    return f"event: {event}\n{mark}data: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n"


def progress(sweep: Sweep) -> dict[str, Any]:
    """Return the progress of a sweep as plain JSON."""
    names = ("state", "n_trials", "n_finished", "n_running", "n_failed", "best_number", "best_value")
    plain = sweep.to_json()
    return {name: plain[name] for name in names}


class Run(Protocol):
    """Runs a function that reads the ledger, when it is its turn."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """Return what the function returns."""


class EventLog:
    """The events of a sweep, each read once, in whatever order they are stored.

    Args:
        store: Store that holds the sweep.
        name: Name of the sweep.
        after: Number of the last event that is known; 0 for none.
    """

    def __init__(self, store: LocalStore, name: str, after: int) -> None:
        self.name = name
        #: No event with this number or a lower one is new.
        self.floor = after
        #: Known events above it, and when they were read.
        self._known: dict[int, float] = {}
        self._store = store

    @property
    def last(self) -> int:
        """Return the highest number of an event that is known."""
        return max([self.floor, *self._known])

    def copy(self) -> EventLog:
        """Return another log that knows the same events."""
        other = EventLog(self._store, self.name, self.floor)
        other._known = dict(self._known)
        return other

    def read_next(self) -> tuple[Sweep, list[tuple[int, Event]]]:
        """Return the sweep, and the `PAGE` events after the last one that is known.

        Raises:
            SweepNotFoundError: It was deleted.
            LedgerError: The database is away.
        """
        return self._read(self.last, PAGE)

    def read_again(self) -> tuple[Sweep, list[tuple[int, Event]]]:
        """Return the sweep, and its next events, also those that were stored later than one with a higher number.

        Raises:
            SweepNotFoundError: It was deleted.
            LedgerError: The database is away.
        """
        return self._read(self.floor, PAGE + len(self._known))

    def _read(self, after: int, limit: int) -> tuple[Sweep, list[tuple[int, Event]]]:
        sweep = self._store.sweep(self.name)  # read first, so that no event follows its end
        return sweep, self.take(self._store.events_after(sweep, after, limit))

    def take(self, events: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
        """Return those of some events that are not known, and know them from now on."""
        new = [(number, event) for number, event in events if number > self.floor and number not in self._known]
        self._known |= dict.fromkeys((number for number, _ in new), time.monotonic())
        if len(self._known) > MAX_KNOWN:
            self.settle(sorted(self._known)[-MAX_KNOWN - 1])
        return new

    def settle(self, number: int) -> None:
        """Take no event with this number, or a lower one, for new any more."""
        if number > self.floor:
            self.floor = number
            self._known = {known: read_at for known, read_at in self._known.items() if known > number}

    def settle_old(self) -> None:
        """Settle what was read so long ago that no event with a lower number can be stored any more."""
        moment = time.monotonic() - LATE_SECONDS
        self.settle(max((number for number, read_at in self._known.items() if read_at < moment), default=0))


class Poller:
    """Reads one sweep again and again, for all readers who know what has happened so far.

    Args:
        events: What the first reader knows.
        limiter: Bounds how many sweeps are read at the same moment.
    """

    def __init__(self, events: EventLog, limiter: anyio.CapacityLimiter) -> None:
        self.log = events
        self._limiter = limiter
        self._recent: deque[tuple[int, Event]] = deque(maxlen=MAX_KNOWN)
        self._changed = asyncio.Event()
        self.n_readers = 0
        #: How many events were found.
        self.position = 0
        #: The sweep as it was last read; None before that, and while the database is away.
        self.sweep: Sweep | None = None
        #: Whether nothing more will be found, because the sweep has ended or was deleted.
        self.is_over = False

    def since(self, position: int) -> list[tuple[int, Event]] | None:
        """Return the events that were found after a position; None if they are not kept any more."""
        n_events = self.position - position
        return None if n_events > len(self._recent) else list(self._recent)[len(self._recent) - n_events :]

    async def wait(self) -> None:
        """Wait until the sweep was read again, or for a while if that takes long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * POLL_SECONDS):
                await self._changed.wait()

    async def run(self) -> None:
        """Read until nothing more can be found."""
        try:
            while not self.is_over:
                is_full = await self._poll()
                self._tell()
                await asyncio.sleep(0 if is_full else POLL_SECONDS)
        except Exception:
            log.exception("the events of sweep %s cannot be followed", self.log.name)
        finally:
            self.is_over = True
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _poll(self) -> bool:
        """Read once; return whether there may be more at once."""
        try:
            sweep, events = await anyio.to_thread.run_sync(self.log.read_again, limiter=self._limiter)
        except SweepNotFoundError:
            self.sweep, self.is_over = None, True
            return False
        except LedgerError:  # the database is away: find nothing, and keep the readers
            self.sweep = None
            return False
        self._recent.extend(events)
        self.position += len(events)
        self.sweep, self.is_over = sweep, has_ended(sweep) and len(events) < PAGE
        self.log.settle_old()
        return len(events) >= PAGE


class Pollers:
    """The pollers of all sweeps that are followed: one for each sweep."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Poller, asyncio.Task[None]]] = {}
        self._limiter = anyio.CapacityLimiter(N_POLLING)

    @asynccontextmanager
    async def join(self, events: EventLog) -> AsyncIterator[Poller]:
        """Join the poller of a sweep, which begins if nobody else follows the sweep, and ends with its last reader.

        Args:
            events: What the reader knows.
        """
        running = self._running.get(events.name)
        poller, task = running if running is not None and not running[0].is_over else self._start(events)
        poller.n_readers += 1
        try:
            yield poller
        finally:
            poller.n_readers -= 1
            if poller.n_readers == 0:
                task.cancel()
                if self._running.get(events.name) == (poller, task):
                    del self._running[events.name]

    def _start(self, events: EventLog) -> tuple[Poller, asyncio.Task[None]]:
        poller = Poller(events.copy(), self._limiter)
        self._running[events.name] = poller, asyncio.create_task(poller.run())
        return self._running[events.name]


class Stream:
    """The events of one sweep for one reader.

    The reader first reads what there is, page by page. Then a poller tells what happens. The reader reads once more
    after it has joined the poller, because something may have happened in between.

    Args:
        events: What the reader knows.
        pollers: The pollers of all sweeps.
        run: Runs what this reader reads by itself.
        is_closing: Returns whether the service is about to end.
    """

    def __init__(self, events: EventLog, pollers: Pollers, run: Run, is_closing: Callable[[], bool]) -> None:
        self._log = events
        self._pollers = pollers
        self._run = run
        self._is_closing = is_closing
        self._sweep: Sweep | None = None
        self._progress: dict[str, Any] = {}
        self._sent_at = time.monotonic()

    async def messages(self) -> AsyncIterator[str]:
        """Yield events and progress until the sweep or the service ends, with heartbeats in between."""
        try:
            async for text in self._past(self._log.read_next):
                yield text
            if self._sweep is not None and not has_ended(self._sweep):
                async with self._pollers.join(self._log) as poller:
                    async for text in self._present(poller):
                        yield text
            if self._sweep is not None and has_ended(self._sweep):
                yield message("end", self._sweep.to_json(), self._log.last)
        except SweepNotFoundError:
            yield message("deleted", {"sweep": self._log.name})

    async def _past(self, read: Callable[[], tuple[Sweep, list[tuple[int, Event]]]]) -> AsyncIterator[str]:
        """Yield what is stored already."""
        is_full = True
        while is_full and not self._is_closing():
            try:
                self._sweep, events = await self._run(read)
            except LedgerError:  # the database is away: send nothing, and keep the reader
                for text in self._heartbeats():
                    yield text
                await asyncio.sleep(POLL_SECONDS)
                continue
            is_full = len(events) >= PAGE
            for text in self._texts(self._sweep, events):
                yield text

    async def _present(self, poller: Poller) -> AsyncIterator[str]:
        """Yield what happens, as a poller finds it."""
        position = -1
        while not self._is_closing():
            events = poller.since(position) if position >= 0 else None
            if events is None:  # it has just begun, or takes so long that the poller has forgotten
                position = poller.position
                async for text in self._past(self._log.read_again):
                    yield text
                continue
            position += len(events)
            self._sweep = poller.sweep or self._sweep
            for text in self._texts(poller.sweep, self._log.take(events)):
                yield text
            self._log.settle(poller.log.floor)
            if position == poller.position:
                if not poller.is_over:
                    await poller.wait()
                elif poller.sweep is not None:
                    return
                else:  # it was deleted, which this finds too
                    position = -1

    def _texts(self, sweep: Sweep | None, events: list[tuple[int, Event]]) -> list[str]:
        texts = [message("event", event.to_json(), number) for number, event in events]
        current = self._progress if sweep is None else progress(sweep)
        if current != self._progress:
            self._progress = current
            texts.append(message("progress", current))
        if not texts:
            return self._heartbeats()
        self._sent_at = time.monotonic()
        return texts

    def _heartbeats(self) -> list[str]:
        """Return a sign of life if it is time for one."""
        if time.monotonic() - self._sent_at <= HEARTBEAT_SECONDS:
            return []
        self._sent_at = time.monotonic()
        return [": alive\n\n"]
