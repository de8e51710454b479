"""An executor for tests and debugging: it trains where it is called."""

from __future__ import annotations

from collections.abc import Sequence

from dnnsweep.executors import Event, create_trainer
from dnnsweep.records import DataSummary, Suggestion
from dnnsweep.settings import DEFAULT_TRAINER
from dnnsweep.trainers import Job


class InProcessExecutor:
    """Trains one trial at a time in this process, inside `events`.

    Args:
        job: The sweep.
        trainer: `module:class` of the trainer.
    """

    def __init__(self, job: Job, trainer: str = DEFAULT_TRAINER) -> None:
        self._trainer = create_trainer(trainer, job)
        self._next: Suggestion | None = None

    def open(self) -> DataSummary:
        """Load the data."""
        return self._trainer.open()

    def submit(self, suggestion: Suggestion) -> bool:
        """Take one suggestion at a time."""
        if self._next is not None:
            return False
        self._next = suggestion
        return True

    def events(self, timeout: float) -> Sequence[Event]:  # noqa: ARG002  it never waits
        """Train the suggestion to its end."""
        if self._next is None:
            return []
        events: list[Event] = []
        result = self._trainer.train(self._next, events.append)
        self._next = None
        return [*events, result]

    def close(self) -> None:
        """Do nothing: there is no process to end."""
