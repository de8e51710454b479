"""The data of a sweep that this process has leased, loaded by trainers while the sweep may be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from dnnsweep.errors import DnnsweepError
from dnnsweep.executors import Executor
from dnnsweep.ledger import Lease
from dnnsweep.records.phases import Phase
from dnnsweep.trainers import TrainerReady

#: How often a wish to stop is looked for while the data are loaded.
LOOK_SECONDS: Final = 1.0


class StopRequestedError(Exception):
    """The sweep is to stop, and its data are not loaded yet."""


class StopCheck:
    """Looks every now and then whether a sweep that is not trained yet is to stop.

    Args:
        lease: The lease on the sweep.
        clock: Returns seconds, from any beginning.
    """

    def __init__(self, lease: Lease, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._looked_at = clock()

    def look(self) -> None:
        """Look if it is time to do so.

        Raises:
            StopRequestedError: The sweep is to stop.
        """
        if self._clock() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        with suppress(DnnsweepError):  # the database may come back before the data are loaded
            if self._lease.is_stop_requested():
                raise StopRequestedError


def load_data(executor: Executor, lease: Lease, on_phase: Callable[[Phase], None] = lambda _: None) -> TrainerReady:
    """Let trainers load the data of a leased sweep; that does not count as the sweep's time.

    Args:
        executor: The executor of the sweep, not open yet.
        lease: The lease on the sweep, which is prolonged meanwhile.
        on_phase: Called with what the trainers begin to do.

    Raises:
        StopRequestedError: The sweep is to stop.
    """
    with lease.prolonged():
        try:
            return executor.open(StopCheck(lease).look, on_phase)
        finally:
            lease.start_counting()
