"""Following a sweep that another process runs, or may be running."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from dnnsweep.errors import LedgerError, ServiceError, SweepHeldError
from dnnsweep.records import Sweep, SweepState
from dnnsweep.stores import SweepStore

T = TypeVar("T")
log: Final = logging.getLogger(__name__)
#: How often to read the sweep, and for how long the store may be away meanwhile.
WATCH_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 120.0
#: How long a holder that is there may take to renew its lease; until then there is nothing to tell.
QUIET_SECONDS: Final = 3.0


def watch_sweep(store: SweepStore, name: str) -> Iterator[Sweep]:
    """Yield a sweep each time that it has changed, until it has ended; the store may be away for a while."""
    last: Sweep | None = None
    until = time.monotonic() + AWAY_SECONDS
    while last is None or last.state in (SweepState.QUEUED, SweepState.RUNNING):
        try:
            sweep = store.sweep(name)
        except (ServiceError, LedgerError):
            if time.monotonic() > until:
                raise
        else:
            until = time.monotonic() + AWAY_SECONDS
            if sweep != last:
                yield sweep
            last = sweep
        time.sleep(WATCH_SECONDS)


def retry_while_uncertain(work: Callable[[], T]) -> T:
    """Do work that must not disturb whoever runs a sweep, again until it is known whether anybody does.

    Args:
        work: Function that raises `SweepHeldError` as long as the sweep is, or may be, held. Each call of it looks at
            the lease.

    Raises:
        SweepHeldError: The sweep's holder was seen to renew its lease.
    """
    quiet_until = time.monotonic() + QUIET_SECONDS
    while True:
        try:
            return work()
        except SweepHeldError as held:
            if held.is_certain:
                raise
            if time.monotonic() >= quiet_until:
                log.warning("%s", held)
                quiet_until = math.inf
        time.sleep(WATCH_SECONDS)
