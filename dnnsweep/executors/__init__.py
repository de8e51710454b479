"""Executors: they run trainers somewhere and carry suggestions to them and events back."""

from __future__ import annotations

import importlib
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dnnsweep.errors import Mistake, SpecError
from dnnsweep.records import AttemptStarted, EpochReport, Suggestion, TrialResult
from dnnsweep.records.phases import Phase
from dnnsweep.trainers import Emit, Job, Trainer, TrainerReady


@dataclass(frozen=True, slots=True)
class TrainerLost:
    """A trainer died; another one takes its place.

    Args:
        numbers: Trials that it held.
        error: How it died, with the last line that it printed.
        leaving: Trials that were dropped and that it had not left yet.
    """

    numbers: tuple[int, ...]
    error: str
    leaving: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DropTrial:
    """Tells a trainer that a trial is not wanted any more.

    Args:
        number: Number of the trial.
    """

    number: int


@dataclass(frozen=True, slots=True)
class TrialDropped:
    """A trainer has left a trial that was dropped.

    Args:
        number: Number of the trial.
    """

    number: int


TrainerEvent = AttemptStarted | EpochReport | TrialResult | TrainerLost | TrialDropped


class Executor(Protocol):
    """Runs trainers.

    It has more methods than other seams here. Each is a thing that the controller alone decides and that only the owner
    of the trainers can do: a trial that is too late must be killed, one that is pruned must be dropped without losing
    the trials beside it, and neither can be made of the other. The two counters can be read at any time, since a sweep
    may end at any time, and reading them sends nothing to a trainer.

    Attributes:
        memory_mb: One pair for each trial: how many trials its trainer had ended by then, and its resident memory.
        slot_epochs: Epochs times slots up to the last suggestion handed out, and those in which there was a trial.
    """

    memory_mb: list[tuple[int, float]]
    slot_epochs: tuple[int, int]

    def open(
        self, on_wait: Callable[[], None] = lambda: None, on_phase: Callable[[Phase], None] = lambda _: None
    ) -> TrainerReady:
        """Start the trainers; return what the data are and how trials are trained, as the first trainer tells.

        Args:
            on_wait: Called again and again until then, in this thread; what it raises ends the wait.
            on_phase: Called with what the trainers begin to do.

        Raises:
            DataError: The data cannot be used as the sweep file asks.
            TrainerError: No trainer could be started.
        """

    def submit(self, suggestion: Suggestion) -> bool:
        """Hand a suggestion to a trainer that has room for it; return whether there was one."""

    def events(self, timeout: float) -> Sequence[TrainerEvent]:
        """Return what happened since the last call; wait for it up to `timeout` seconds."""

    def kill(self, number: int) -> tuple[int, ...]:
        """End the trainer that holds a trial or has yet to leave it, if it can be ended; return what else it held."""

    def drop(self, number: int) -> None:
        """Let a trainer leave a trial after its present epoch; `TrialDropped` follows, and it has room again."""

    def close(self) -> None:
        """End all trainers at once; leaves no process behind."""


class ExecutorKind(StrEnum):
    """The executors that a run can choose from."""

    LOCAL = "local"
    IN_PROCESS = "inprocess"

    @classmethod
    def named(cls, name: str) -> ExecutorKind:
        """Return the executor of a name.

        Raises:
            SpecError: There is none of that name.
        """
        if name not in set(cls):
            raise SpecError([Mistake("executor", f"must be {' or '.join(cls)}", repr(name))])
        return cls(name)

    @property
    def trains_in_this_process(self) -> bool:
        """Return whether training takes place in the process that creates the executor."""
        return self is ExecutorKind.IN_PROCESS


def create_executor(
    kind: ExecutorKind, job: Job, trainer: str, *, n_trainers: int | None, max_trainers: int
) -> Executor:
    """Create an executor, not opened yet.

    Args:
        kind: Names the executor.
        job: The sweep to train.
        trainer: `module:class` of the trainer.
        n_trainers: Trainers to start; None for as many as repay their start.
        max_trainers: The most trainers that could ever be busy at once.
    """
    match kind:  # each is imported when it is chosen: an executor may need a library that others do without
        case ExecutorKind.IN_PROCESS:
            from dnnsweep.executors.inprocess import InProcessExecutor

            return InProcessExecutor(job, trainer)
        case ExecutorKind.LOCAL:
            from dnnsweep.executors.local import LocalExecutor

            return LocalExecutor(job, n_trainers, trainer, max_trainers)


def create_trainer(path: str, job: Job) -> Trainer:
    """Create a trainer, not opened yet; it trains each trial in folds if the sweep file asks for it.

    Args:
        path: `module:class` of the trainer.
        job: The sweep to train.
    """
    from dnnsweep.trainers.folding import in_folds  # reads sweep files; commands that only name an executor do not

    module, _, name = path.partition(":")
    return in_folds(getattr(importlib.import_module(module), name), job)


def run_trainer(trainer: Trainer, suggestions: queue.SimpleQueue[Suggestion | None], emit: Emit) -> None:
    """Let a trainer train what comes until None comes.

    Args:
        trainer: Trainer that is open.
        suggestions: Queue of suggestions. It is waited for only while the trainer is idle.
        emit: Called with what the trainer reports, by `Trainer.step`.
    """
    while True:
        while trainer.is_idle or not suggestions.empty():
            suggestion = suggestions.get()
            if suggestion is None:
                return
            trainer.take(suggestion)
        trainer.step(emit)
