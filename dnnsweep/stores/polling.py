"""Following a sweep that another process runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from dnnsweep.errors import LedgerError, ServiceError
from dnnsweep.records import Sweep, SweepState
from dnnsweep.stores import SweepStore

#: How often to read the sweep, and for how long the store may be away meanwhile.
WATCH_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 120.0


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
