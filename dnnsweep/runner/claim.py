"""A sweep that a worker has claimed, and how signals reach whoever runs a sweep."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from dnnsweep.errors import DnnsweepError
from dnnsweep.ledger import Lease, Ledger
from dnnsweep.records import DataSummary

#: How often a lease is prolonged while the data are loaded.
PROLONG_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A sweep that a worker has claimed.

    Args:
        ledger: That holds it.
        lease: On it.
        spec: What trainers are told of its file: with the real path of its data.
        trainers: Training processes; None for one per core.
        check: Called with what the data are; raises where they are more than the operator allows.
        grace: Seconds in which the sweep is to be finished or handed back once the worker is asked to end.
        is_draining: Set when it is.
        is_loading: Set while the data are loaded, which is not waited for.
    """

    ledger: Ledger
    lease: Lease
    spec: Mapping[str, Any]
    trainers: int | None
    check: Callable[[DataSummary], None]
    grace: float
    is_draining: threading.Event
    is_loading: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Prolong the lease again and again while the data are loaded, which may take longer than it lasts."""
        is_over = threading.Event()

        def prolong() -> None:
            while not is_over.wait(PROLONG_SECONDS):
                with suppress(DnnsweepError):  # what is lost is found when the sweep is written
                    self.lease.prolong()

        thread = threading.Thread(target=prolong, name="dnnsweep-lease", daemon=True)
        thread.start()
        self.is_loading.set()
        try:
            yield
        finally:
            self.is_loading.clear()
            is_over.set()
            thread.join()


@contextmanager
def interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the sweep at its next safe point; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: object) -> None:
        interrupt()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
