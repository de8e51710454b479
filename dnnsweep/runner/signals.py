"""What SIGINT and SIGTERM do to a run: the first of each kind is answered, a repeated one ends it at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handle_signals(on_first: Callable[[], None]) -> Iterator[None]:
    """Call a function at the first SIGINT and at the first SIGTERM; raise KeyboardInterrupt when one is repeated.

    Each kind counts by itself, because a process manager may send both at once. Handlers may be nested: the inner one
    counts its own signals, and the outer one is in place again afterwards. Outside the main thread nothing changes,
    because only the main thread receives signals.

    Args:
        on_first: Called in the main thread, between two of its instructions; at most once for each kind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    answered: set[int] = set()

    def handle(number: int, _frame: FrameType | None) -> None:
        if number in answered:
            raise KeyboardInterrupt
        answered.add(number)
        on_first()

    previous = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Shutdown:
    """The request to a worker to end, and the time that it has to do so.

    Args:
        grace: Seconds in which a sweep is to be finished or handed back after the request.
    """

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._requested = threading.Event()
        self._requested_at = 0.0
        self._is_abrupt = False

    @property
    def is_requested(self) -> bool:
        """Return whether the worker is asked to end."""
        return self._requested.is_set()

    def begin(self) -> None:
        """Note that the worker is to end, whether it was asked before or not."""
        if not self.is_requested:
            self._requested_at = time.monotonic()
        self._requested.set()

    @property
    def seconds_left(self) -> float:
        """Return how much of its time the worker still has; none if it ends without a request."""
        return max(0.0, self._requested_at + self.grace - time.monotonic()) if self.is_requested else 0.0

    def request(self) -> None:
        """Ask the worker to end.

        Raises:
            KeyboardInterrupt: The worker was asked before, or does what is not waited for (see `abruptly`).
        """
        is_first = not self.is_requested
        self.begin()
        if self._is_abrupt or not is_first:
            raise KeyboardInterrupt

    def wait(self, seconds: float) -> None:
        """Sleep for some seconds, or until the worker is asked to end."""
        self._requested.wait(seconds)

    @contextmanager
    def abruptly(self) -> Iterator[None]:
        """Let a request that comes within raise KeyboardInterrupt: what is done here is not waited for."""
        self._is_abrupt = True
        try:
            yield
        finally:
            self._is_abrupt = False
