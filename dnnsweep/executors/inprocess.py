"""An executor for tests and debugging: it trains in this process, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from dnnsweep.executors import TrainerEvent, TrialDropped, create_trainer, run_trainer
from dnnsweep.records import AttemptStarted, EpochReport, Suggestion, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.settings import DEFAULT_TRAINER
from dnnsweep.trainers import Job, TrainerReady, TrialDroppedError
from dnnsweep.trainers.keras_settings import check_defaults

#: How long to wait for the data before something else may be looked at.
WAIT_SECONDS: Final = 0.2


class InProcessExecutor:
    """Trains in one thread.

    Loading and training have a thread of their own, so that the controller can renew its lease and listen to Ctrl-C
    meanwhile. A thread cannot be ended: what is interrupted runs on until the process ends.

    Args:
        job: The sweep to train.
        trainer: `module:class` of the trainer.

    Raises:
        TrainerError: This process has loaded Keras with settings that would change results.
    """

    def __init__(self, job: Job, trainer: str = DEFAULT_TRAINER) -> None:
        check_defaults()
        self._trainer = create_trainer(trainer, job)
        self._suggestions: queue.SimpleQueue[Suggestion | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[TrainerReady | Exception] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[TrainerEvent | Exception] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._held: set[int] = set()
        self._max_held = 1
        self.memory_mb: list[tuple[int, float]] = []
        self.slot_epochs = (0, 0)

    def open(
        self, on_wait: Callable[[], None] = lambda: None, on_phase: Callable[[Phase], None] = lambda _: None
    ) -> TrainerReady:
        """Load the data; an error that this raises is raised here."""
        on_phase(Phase.LOADING)
        self._thread.start()
        while True:
            on_wait()
            with suppress(queue.Empty):
                ready = self._ready.get(timeout=WAIT_SECONDS)
                if isinstance(ready, Exception):
                    raise ready
                self._max_held = ready.plan.slots
                return ready

    def submit(self, suggestion: Suggestion) -> bool:
        """Take as many suggestions as the trainer has slots."""
        if len(self._held) >= self._max_held:
            return False
        self._held.add(suggestion.number)
        self.slot_epochs = self._trainer.slot_epochs
        self._suggestions.put(suggestion)
        return True

    def _serve(self) -> None:
        try:
            self._ready.put(self._trainer.open())
        except Exception as error:  # noqa: BLE001  raised again where the data are waited for
            self._ready.put(error)
            return
        try:
            run_trainer(self._trainer, self._suggestions, self._emit)
        except Exception as error:  # noqa: BLE001  raised again where events are read
            self._events.put(error)

    def _emit(self, message: AttemptStarted | EpochReport | TrialResult) -> None:
        self._events.put(message)
        if isinstance(message, EpochReport) and message.number not in self._held:
            self._events.put(TrialDropped(message.number))
            raise TrialDroppedError

    def events(self, timeout: float) -> Sequence[TrainerEvent]:
        """Return what the trainer reported; an error that it raised is raised here."""
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return []
        if isinstance(event, Exception):
            raise event
        if isinstance(event, TrialResult):
            self._held.discard(event.number)
        return [event]

    def drop(self, number: int) -> None:
        """Let the trainer leave a trial when it reports next."""
        self._held.discard(number)

    def kill(self, number: int) -> tuple[int, ...]:  # noqa: ARG002  the trial runs on until it ends by itself
        """Do nothing: a thread cannot be ended."""
        return ()

    def close(self) -> None:
        """Let the thread end after its present step: there is no process to end."""
        self._suggestions.put(None)
