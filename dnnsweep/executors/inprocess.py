"""An executor for tests and debugging: it trains in this process, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

from dnnsweep.executors import Event, create_trainer
from dnnsweep.records import DataSummary, Suggestion, TrialResult
from dnnsweep.settings import DEFAULT_TRAINER
from dnnsweep.trainers import Job


class InProcessExecutor:
    """Trains one trial at a time.

    The thread keeps the controller awake, which renews its lease and listens to Ctrl-C; it cannot be ended, so a trial
    that is interrupted runs on until the process ends.

    Args:
        job: The sweep.
        trainer: `module:class` of the trainer.
    """

    def __init__(self, job: Job, trainer: str = DEFAULT_TRAINER) -> None:
        self._trainer = create_trainer(trainer, job)
        self._events: queue.SimpleQueue[Event | Exception] = queue.SimpleQueue()
        self._is_busy = False

    def open(self) -> DataSummary:
        """Load the data."""
        return self._trainer.open()

    def submit(self, suggestion: Suggestion) -> bool:
        """Take one suggestion at a time."""
        if self._is_busy:
            return False
        self._is_busy = True
        threading.Thread(target=self._train, args=(suggestion,), daemon=True).start()
        return True

    def _train(self, suggestion: Suggestion) -> None:
        try:
            self._events.put(self._trainer.train(suggestion, self._events.put))
        except Exception as error:  # noqa: BLE001  raised again where events are read
            self._events.put(error)

    def events(self, timeout: float) -> Sequence[Event]:
        """Return what the trainer said; an error that it raised is raised here."""
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return []
        if isinstance(event, Exception):
            raise event
        if isinstance(event, TrialResult):
            self._is_busy = False
        return [event]

    def close(self) -> None:
        """Do nothing: there is no process to end."""
