"""Trainers: they load the data once, then turn suggestions into results."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from dnnsweep.records import AttemptStarted, DataSummary, EpochReport, Suggestion, TrialResult
from dnnsweep.settings import Limits


@dataclass(frozen=True, slots=True)
class TrainerPlan:
    """How the trials of a sweep are trained.

    Args:
        kind: `array`, `fit` or `compiled`.
        slots: Number of trials side by side in one program.
        device: `cpu` or `gpu`.
        reasons: Sentences that say why.
        seconds: Rough guess of how long one process would train the whole budget.
    """

    kind: str
    slots: int = 1
    device: str = "cpu"
    reasons: tuple[str, ...] = ()
    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class TrainerReady:
    """What a trainer says once it has loaded the data.

    Args:
        data: Description of the data.
        plan: How it will train.
    """

    data: DataSummary
    plan: TrainerPlan


@dataclass(frozen=True, slots=True)
class Job:
    """What a trainer needs to know about a sweep.

    Args:
        spec: The sweep file as plain JSON (`SweepSpec.to_json`).
        models: Folder for the models of ended trials; None saves no model.
        data: `(x, y)` handed over in Python; None if the sweep file names the source of its data.
        plan: How the sweep's trials were trained before; None lets the trainer decide.
        limits: What the operator allows a sweep that came over the network; None for a sweep of this machine.
        reading: How the sweep's data were read before, as plain JSON; empty for a sweep of a version that stored none.
            None finds out how to read them.
    """

    spec: Mapping[str, Any]
    models: str | None = None
    data: tuple[Any, Any] | None = None
    plan: TrainerPlan | None = None
    limits: Limits | None = None
    reading: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TrainerUsage:
    """What a trainer has used since it began.

    Args:
        n_trials: Number of trials that it has ended.
        slot_epochs: Epochs times slots of all arrays.
        busy_slot_epochs: Epochs times slots in which there was a trial.
        memory_mb: Resident memory in megabytes; NaN if the system does not tell.
    """

    n_trials: int
    slot_epochs: int
    busy_slot_epochs: int
    memory_mb: float


class TrialDroppedError(Exception):
    """The trial that a report is about was pruned; its trainer must stop training it."""


#: Takes what a trainer reports; raises `TrialDroppedError` for a trial that was pruned.
Emit = Callable[[AttemptStarted | EpochReport | TrialResult], None]


class Trainer(Protocol):
    """Holds suggestions and trains them, some of them side by side."""

    def open(self) -> TrainerReady:
        """Load the data; return what they are and how trials will be trained.

        Raises:
            DataError: The data cannot be used as the sweep file asks.
        """

    def warm_up(self) -> None:
        """Load and compile what the first trial would wait for, while the controller prepares it."""

    def take(self, suggestion: Suggestion) -> None:
        """Add a suggestion to those that wait to be trained."""

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to train."""

    @property
    def slot_epochs(self) -> tuple[int, int]:
        """Return epochs times slots so far, and those of them in which there was a trial."""

    def step(self, emit: Emit) -> None:
        """Train for a while: an epoch of some of the suggestions taken, or the whole of one.

        Args:
            emit: Called with reports and results as they come about. An error while training is a result with reason
                `failed`. If it raises `TrialDroppedError` for a report, the trial is left without a result. Any other
                exception from it ends the trainer.
        """


class SequentialTrainer(ABC):
    """A trainer that trains one suggestion after the other."""

    def __init__(self) -> None:
        self._taken: deque[Suggestion] = deque()

    @abstractmethod
    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        """Train a suggestion to its end; an error while training becomes a result with reason `failed`.

        Raises:
            Exception: Whatever `report` raises; it ends the attempt without a result.
        """

    @abstractmethod
    def warm_up(self) -> None:
        """Load what the first trial would wait for."""

    def take(self, suggestion: Suggestion) -> None:
        """Queue a suggestion behind those taken before."""
        self._taken.append(suggestion)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to train."""
        return not self._taken

    @property
    def slot_epochs(self) -> tuple[int, int]:
        """Return nothing to count: there are no slots."""
        return 0, 0

    def step(self, emit: Emit) -> None:
        """Train the oldest suggestion to its end."""
        suggestion = self._taken.popleft()
        emit(AttemptStarted(suggestion.number, suggestion.attempt))
        with suppress(TrialDroppedError):
            emit(self.train(suggestion, emit))
