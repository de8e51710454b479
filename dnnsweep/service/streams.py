"""Progress as server-sent events, read from the ledger."""

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

POLL_SECONDS: Final = 0.5
HEARTBEAT_SECONDS: Final = 15.0
#: The most readers at once; each polls the ledger twice a second.
MAX_STREAMS: Final = 200
#: How long after an event one with a lower number may still be stored, as transactions overlap.
LATE_SECONDS: Final = 5.0
#: The most events read at once.
PAGE: Final = 500
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


async def count_reader(service: ServiceState, messages: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield messages, counting their reader in `ServiceState.n_streams` meanwhile."""
    service.n_streams += 1
    try:
        async for text in messages:
            yield text
    finally:
        service.n_streams -= 1


class Stream:
    """The events of one sweep for one reader.

    Args:
        store: Store that holds the sweep.
        name: Name of the sweep.
        after: Number of the last event that the reader has seen; 0 for none.
        is_closing: Returns whether the service is about to end.
    """

    def __init__(self, store: LocalStore, name: str, after: int, is_closing: Callable[[], bool]) -> None:
        self._store = store
        self._name = name
        self._floor = after
        self._is_closing = is_closing
        self._sent: dict[int, float] = {}
        self._progress: dict[str, Any] = {}

    async def messages(self) -> AsyncIterator[str]:
        """Yield events and progress until the sweep or the service ends, with heartbeats in between."""
        sent_at = time.monotonic()
        while not self._is_closing():
            try:
                sweep, texts = await run_in_threadpool(self._poll)
            except SweepNotFoundError:
                yield message("deleted", {"sweep": self._name})
                return
            except LedgerError:  # the database is away: send nothing, and keep the reader
                sweep, texts = None, []
            for text in texts:
                sent_at = time.monotonic()
                yield text
            if sweep is not None and has_ended(sweep) and len(texts) < PAGE:
                yield message("end", sweep.to_json(), max([self._floor, *self._sent]))
                return
            if time.monotonic() - sent_at > HEARTBEAT_SECONDS:
                sent_at = time.monotonic()
                yield ": alive\n\n"
            await asyncio.sleep(POLL_SECONDS if len(texts) < PAGE else 0)

    def _poll(self) -> tuple[Sweep, list[str]]:
        """Return the sweep and the new messages; the sweep is read first, so that no event follows its end."""
        sweep = self._store.sweep(self._name)
        events = self._store.events_after(sweep, self._floor, PAGE + len(self._sent))
        texts = [message("event", event.to_json(), number) for number, event in events if number not in self._sent]
        self._sent |= {number: time.monotonic() for number, _ in events if number not in self._sent}
        self._forget_settled()
        current = progress(sweep)
        if current != self._progress:
            self._progress = current
            texts.append(message("progress", current))
        return sweep, texts

    def _forget_settled(self) -> None:
        """Forget numbers below which no event can be stored any more."""
        moment = time.monotonic() - LATE_SECONDS
        settled = [number for number, sent_at in self._sent.items() if sent_at < moment]
        if settled:
            self._floor = max(settled)
            self._sent = {number: at for number, at in self._sent.items() if number > self._floor}
