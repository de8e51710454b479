"""An executor that never gets beyond loading the data."""

from __future__ import annotations

from collections.abc import Callable

from dnnsweep.errors import DataError, Mistake
from dnnsweep.records.phases import Phase
from dnnsweep.trainers import TrainerReady


class LoadingExecutor:
    """Its trainer loads data until somebody gives up; what happens in each moment is given.

    Args:
        moments: Called one after the other while the data are loaded; after the last one they cannot be used.
    """

    def __init__(self, *moments: Callable[[], object]) -> None:
        self._moments = moments
        self.is_closed = False

    def open(
        self, on_wait: Callable[[], None] = lambda: None, on_phase: Callable[[Phase], None] = lambda _: None
    ) -> TrainerReady:
        on_phase(Phase.LOADING)
        for happen in self._moments:
            happen()
            on_wait()
        raise DataError([Mistake("dataset.source", "no such thing")])

    def close(self) -> None:
        self.is_closed = True
