"""Trainers as processes of this machine, one per core by default."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

from dnnsweep.errors import DnnsweepError, TrainerError
from dnnsweep.executors import DropTrial, TrainerEvent, TrainerLost, TrialDropped
from dnnsweep.executors.placement import choose_trainer
from dnnsweep.executors.trainer_handle import TrainerHandle
from dnnsweep.executors.trainer_pool import TrainerPool
from dnnsweep.records import Suggestion, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.settings import DEFAULT_TRAINER
from dnnsweep.spec import ResourcesSpec
from dnnsweep.trainers import Job, TrainerPlan, TrainerReady, TrainerUsage
from dnnsweep.trainers.groups import group_for

#: Each model that is built leaves some 8 MB behind: after so many trials a process that trains by `fit` is replaced.
TRIALS_PER_PROCESS: Final = 100
#: Training that repays the start of one more trainer.
SECONDS_PER_TRAINER: Final = 15.0
#: If more time than this passes between two looks at the trainers, the controller itself was held up.
ATTENTION_SECONDS: Final = 5.0
#: Trainers in a row that may die before they have loaded the data; then no more are started.
MAX_FAILED_STARTS: Final = 3


class LocalExecutor:
    """Runs trainers as processes; `placement` decides which of them gets a suggestion.

    Args:
        job: The sweep to train.
        n_trainers: Number of processes; None for as many as repay their start, up to one for each core that this
            process may use.
        trainer: `module:class` of the trainer.
        max_trainers: Number of processes that could ever be busy at once.
    """

    def __init__(
        self, job: Job, n_trainers: int | None = None, trainer: str = DEFAULT_TRAINER, max_trainers: int = 1024
    ) -> None:
        self._pool = TrainerPool(job, trainer)
        self._n_trainers = n_trainers
        self._max_trainers = max_trainers
        self._hung_seconds = ResourcesSpec.model_validate(job.spec.get("resources", {})).hung_seconds
        self._n_failed_starts = 0
        self._ready: TrainerReady | None = None
        self._lost: set[int] = set()
        self._looked_at = time.monotonic()
        self.memory_mb: list[tuple[int, float]] = []
        self.slot_epochs = (0, 0)

    def open(
        self, on_wait: Callable[[], None] = lambda: None, on_phase: Callable[[Phase], None] = lambda _: None
    ) -> TrainerReady:
        """Start the trainers; return as soon as the first one has loaded the data."""
        on_phase(Phase.STARTING)
        self._pool.start(min(self._n_trainers or 1, self._max_trainers))
        while True:
            on_wait()
            for handle in self._pool.wait(timeout=0.2):
                message = self._receive(handle)
                if isinstance(message, TrainerReady):
                    if self._n_trainers is None:
                        self._pool.start(min(n_useful_trainers(message.plan), self._max_trainers) - 1)
                    return message
                if handle in self._pool:  # a sign of life: it is up, and loads the data
                    on_phase(Phase.LOADING)

    def submit(self, suggestion: Suggestion) -> bool:
        """Hand a suggestion to the trainer that `placement.choose_trainer` names, if any has room for it."""
        group, handles = group_for(suggestion), list(self._pool)
        loads = [handle.load for handle in handles]
        index = choose_trainer(loads, suggestion.number, group, self._plan, self._lost)
        if index is None:
            return False
        loads[index].held[suggestion.number] = group
        loads[index].compiled.add(group)
        self.slot_epochs = self._pool.slot_epochs
        handles[index].send(suggestion)
        return True

    @property
    def _plan(self) -> TrainerPlan:
        return TrainerPlan("fit") if self._ready is None else self._ready.plan

    def events(self, timeout: float) -> Sequence[TrainerEvent]:
        """Return reports, results and losses."""
        return [*self._read_events(timeout), *self._replace_hung()]

    def kill(self, number: int) -> tuple[int, ...]:
        """End the process that holds a trial or has yet to leave it, and start another; return what else it held."""
        for handle in self._pool:
            if number in handle.load.held or number in handle.load.leaving:
                self._pool.replace(handle)
                return tuple(other for other in handle.load.held if other != number)
        return ()

    def drop(self, number: int) -> None:
        """Let a trial's trainer leave it after its present epoch, and count on the room that it leaves."""
        for handle in self._pool:
            if number in handle.load.held:
                handle.send(DropTrial(number))
                handle.load.leaving.add(number)
                self._free(handle, number)
                return

    def close(self) -> None:
        """Kill the trainers: what they hold is in the ledger or is trained again."""
        self._pool.close()

    def pids(self) -> list[int]:
        """Return the process ids of the trainers."""
        return [handle.pid for handle in self._pool]

    def _read_events(self, timeout: float) -> list[TrainerEvent]:
        """Return what the trainers have sent; end early at any message, even if it is no event."""
        until = time.monotonic() + timeout
        while True:
            ready = self._pool.wait(max(0.0, until - time.monotonic()))
            messages = [message for handle in ready for message in self._receive_all(handle)]
            if messages or time.monotonic() >= until:
                return [message for message in messages if not isinstance(message, TrainerReady | None)]

    def _receive_all(self, handle: TrainerHandle) -> Iterator[TrainerEvent | TrainerReady | None]:
        """Yield everything that a trainer has sent."""
        yield self._receive(handle)
        while handle in self._pool and handle.connection.poll():
            yield self._receive(handle)

    def _receive(self, handle: TrainerHandle) -> TrainerEvent | TrainerReady | None:
        """Take a message in and return it if it matters to the controller."""
        try:
            message = handle.receive()
        except Exception:  # noqa: BLE001  it is gone, or has sent what cannot be read
            return self._replace_dead(handle, handle.cause_of_death())
        match message:
            case DnnsweepError():
                raise message
            case TrainerReady():
                self._check_same_data(message)
                handle.load.is_open = True
                self._n_failed_starts = 0
            case TrainerUsage(n_trials=n_trials, memory_mb=memory_mb):
                handle.usage = message
                self.memory_mb.append((n_trials, memory_mb))
                return None
            case TrialDropped(number=number):
                handle.load.leaving.discard(number)
            case TrialResult(number=number):
                handle.load.leaving.discard(number)
                self._free(handle, number)
        return cast("TrainerEvent | TrainerReady | None", message)

    def _check_same_data(self, ready: TrainerReady) -> None:
        if self._ready is not None and self._ready.data.fingerprint != ready.data.fingerprint:
            raise TrainerError("the data changed while the sweep was running; restore them and run it again")
        self._ready = self._ready or ready

    def _free(self, handle: TrainerHandle, number: int) -> None:
        """Make room for another trial; replace a process of the reference trainer that is old."""
        if handle.load.held.pop(number, None) is None:
            return
        self._lost.discard(number)
        handle.n_trained += 1
        if self._plan.kind != "array" and handle.n_trained >= TRIALS_PER_PROCESS:
            self._pool.replace(handle)

    def _replace_hung(self) -> list[TrainerLost]:
        """Replace trainers that give no sign of life; the time in which the controller was held up does not count."""
        now = time.monotonic()
        if (gap := now - self._looked_at) > ATTENTION_SECONDS:
            for handle in self._pool:
                handle.heard_at += gap
        self._looked_at = now
        hung = [handle for handle in self._pool if now - handle.heard_at > self._hung_seconds]
        error = f"the trainer gave no sign of life for {self._hung_seconds:g} seconds"
        losses = [self._replace_dead(handle, error) for handle in hung]
        return [loss for loss in losses if loss is not None]

    def _replace_dead(self, handle: TrainerHandle, error: str) -> TrainerLost | None:
        """Start another trainer in place of one that died, unless too many have died while they started.

        Returns:
            What was lost with it; None if it held no trial.

        Raises:
            TrainerError: None of the trainers can be started.
        """
        load = handle.load
        self._n_failed_starts += not load.is_open
        if self._n_failed_starts < MAX_FAILED_STARTS:
            self._pool.replace(handle)
        elif any(other.load.is_open for other in self._pool if other is not handle):
            self._pool.remove(handle)  # go on with those that work
        else:
            raise TrainerError(f"no trainer could be started: {error}")
        self._lost |= load.held.keys()
        if not load.held and not load.leaving:
            return None
        return TrainerLost(tuple(load.held), error, tuple(load.leaving))


def n_useful_trainers(plan: TrainerPlan) -> int:
    """Return how many trainers repay their start, which takes seconds: at most one per core."""
    return max(1, min(n_cores(), math.ceil(min(plan.seconds / SECONDS_PER_TRAINER, 1024))))


def n_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
