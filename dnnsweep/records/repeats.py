"""Repeats: trainings of a configuration again, by which luck is told from merit. They are not trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dnnsweep.records.states import Reason, State

if TYPE_CHECKING:  # most commands do without NumPy
    import numpy as np
    from numpy.typing import NDArray


class Purpose(StrEnum):
    """What a configuration is repeated for."""

    NOISE = "noise"
    CONFIRM = "confirm"
    EFFECTS = "effects"
    ISOLATE = "isolate"
    CURE = "cure"
    RETRAIN = "retrain"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration that is repeated.

    Args:
        number: Its number among the candidates of its sweep, from 0.
        purpose: What it was repeated for first; later purposes use its repeats again.
        label: What it is called, such as `trial 12` or `baseline`.
        params: Every hyperparameter, as a trial has them.
        trial: Number of the trial that has these hyperparameters; None if there is none.
        run_id: The MLflow run; None until it was created.
    """

    number: int
    purpose: Purpose
    label: str
    params: Mapping[str, Any]
    trial: int | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """One training of a candidate in a block.

    All repeats of a block have the same seed and the same split, so that the differences within it are paired.

    Args:
        number: Its number among the repeats of its sweep, from 0.
        candidate: Number of the candidate.
        block: The block, from 0.
        seed: Seeds weights, row order and dropout.
        state: State of the repeat, as that of a trial.
        reason: Why it ended; None before.
        value: The objective at the best epoch; None unless the state is COMPLETE.
        metrics: The network's metrics at the best epoch.
        best_epoch: The epoch whose weights were kept, from 1.
        epochs: Number of epochs trained.
        seconds: Time for which it trained.
        attempts: How often it was started.
        error: Text of the error that it failed with.
        started_at: Start of the last attempt, in milliseconds since 1970 (UTC).
        ended_at: When it ended, in milliseconds since 1970 (UTC).
    """

    number: int
    candidate: int
    block: int
    seed: int
    state: State = State.QUEUED
    reason: Reason | None = None
    value: float | None = None
    metrics: Mapping[str, float] | None = None
    best_epoch: int | None = None
    epochs: int = 0
    seconds: float | None = None
    attempts: int = 0
    error: str | None = None
    started_at: int | None = None
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the repeats of a trial's hyperparameters say, beside the value of the trial itself.

    Args:
        mean: Mean of the objective over the repeats.
        interval: Lower and upper end of an interval for the mean on new data of the same source; None if there is none.
        n: Number of repeats.
    """

    mean: float
    interval: tuple[float | None, ...] | None
    n: int


@dataclass(frozen=True, slots=True)
class Retraining:
    """How a configuration is trained on all development rows.

    There is no early stopping, as no rows are left to stop by: the weights of the last epoch are kept. What is measured
    on validation rows is measured on those of the sweep's own split, which are among the training rows here.

    Args:
        n_epochs: Number of epochs, at most those of the sweep file, which schedules of learning rates are made for.
        opens_test: Whether the network answers the test rows in the end.
        saves_model: Whether the model is saved.
    """

    n_epochs: int
    opens_test: bool = False
    saves_model: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TestAnswers:
    """What a network answers for the test rows.

    Args:
        targets: Class indices (rows,), or numbers in the target's own units.
        outputs: Probabilities (rows, classes), or (rows, 1) of the second of two classes; for regression numbers
            (rows, 1) in the target's own units.
    """

    targets: NDArray[Any]
    outputs: NDArray[np.float64]
