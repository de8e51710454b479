"""Progress as it happens: server-sent events, read from the ledger."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from dnnsweep.errors import LedgerError, SweepNotFoundError
from dnnsweep.records import Sweep, SweepState
from dnnsweep.service.state import ServiceState
from dnnsweep.stores.local import LocalStore

LOOK_SECONDS: Final = 0.5
HEARTBEAT_SECONDS: Final = 15.0
#: At once; each looks into the ledger twice a second.
MAX_STREAMS: Final = 200
#: How late an event may be stored whose number is lower than that of another one: transactions overlap.
LATE_SECONDS: Final = 5.0
#: Events sent at once.
PAGE: Final = 500
MEDIA_TYPE: Final = "text/event-stream"
_OPEN: Final = (SweepState.QUEUED, SweepState.RUNNING)


def has_ended(sweep: Sweep) -> bool:
    """Return whether nothing more happens to a sweep unless it is queued again."""
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
    """Return how far a sweep is."""
    names = ("state", "n_trials", "n_finished", "n_running", "n_failed", "best_number", "best_value")
    plain = sweep.to_json()
    return {name: plain[name] for name in names}


async def counted(desk: ServiceState, messages: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield messages, and count their reader among those of a desk meanwhile."""
    desk.n_streams += 1
    try:
        async for text in messages:
            yield text
    finally:
        desk.n_streams -= 1


class Stream:
    """What happens to one sweep, for one reader.

    Args:
        place: Where it is.
        name: The sweep.
        after: The number of the last event that the reader has seen; 0 for none.
        is_closing: Whether the service is about to end.
    """

    def __init__(self, place: LocalStore, name: str, after: int, is_closing: Callable[[], bool]) -> None:
        self._place = place
        self._name = name
        self._floor = after
        self._is_closing = is_closing
        self._sent: dict[int, float] = {}
        self._progress: dict[str, Any] = {}

    async def messages(self) -> AsyncIterator[str]:
        """Yield events and progress until the sweep or the service ends, and a sign of life in between."""
        spoken_at = time.monotonic()
        while not self._is_closing():
            try:
                sweep, found = await run_in_threadpool(self._look)
            except SweepNotFoundError:
                yield message("deleted", {"sweep": self._name})
                return
            except LedgerError:  # the database is away: the reader is told by silence, and stays
                sweep, found = None, []
            for text in found:
                spoken_at = time.monotonic()
                yield text
            if sweep is not None and has_ended(sweep) and len(found) < PAGE:
                yield message("end", sweep.to_json(), max([self._floor, *self._sent]))
                return
            if time.monotonic() - spoken_at > HEARTBEAT_SECONDS:
                spoken_at = time.monotonic()
                yield ": alive\n\n"
            await asyncio.sleep(LOOK_SECONDS if len(found) < PAGE else 0)

    def _look(self) -> tuple[Sweep, list[str]]:
        """Return the sweep, and what is new; the sweep is read first, so that nothing follows its end."""
        sweep = self._place.sweep(self._name)
        found = self._place.ledger.overview.events_after(sweep, self._floor, PAGE + len(self._sent))
        texts = [message("event", event.to_json(), number) for number, event in found if number not in self._sent]
        self._sent |= {number: time.monotonic() for number, _ in found if number not in self._sent}
        self._settle()
        now = progress(sweep)
        if now != self._progress:
            self._progress = now
            texts.append(message("progress", now))
        return sweep, texts

    def _settle(self) -> None:
        """Forget the numbers below which no event can be stored any more."""
        moment = time.monotonic() - LATE_SECONDS
        settled = [number for number, sent_at in self._sent.items() if sent_at < moment]
        if settled:
            self._floor = max(settled)
            self._sent = {number: at for number, at in self._sent.items() if number > self._floor}
