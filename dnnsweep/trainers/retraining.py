"""How repeats end: as results that no trial is compared to, with answers for the test rows where they are opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dnnsweep.datasets import Dataset
from dnnsweep.records import Reason, Task, TestAnswers, TrialResult
from dnnsweep.trainers import saved_model
from dnnsweep.trainers.attempt import Attempt, one_line
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.memory_check import require_memory


def end_repeat(  # noqa: PLR0913, PLR0917  all that is needed of a trained network
    attempt: Attempt,
    reason: Reason,
    best_epoch: int | None,
    models: str | None,
    save: Callable[[Path], None],
    answer: Callable[[], TestAnswers | None],
) -> TrialResult:
    """Return the result of a repeat; a retraining has its model saved and the test rows opened if it asks for that.

    An error in one of the two becomes a result with reason `failed`.

    Args:
        attempt: The attempt at it.
        reason: Why it ended.
        best_epoch: Epoch whose weights are kept; None if there is none.
        models: Folder for models; None saves no model.
        save: Writes the model with these weights to a path.
        answer: Returns what this model answers for the test rows.
    """
    result, retraining = attempt.end(reason, best_epoch), attempt.suggestion.retraining
    if retraining is None or result.best_epoch is None:
        return result
    path = attempt.model_path(models) if retraining.saves_model else None
    try:
        if path is not None:
            save(path)
        test = answer() if retraining.opens_test else None
    except Exception as error:  # noqa: BLE001  no room for the model, for example
        require_memory()
        return attempt.end(Reason.FAILED, error=one_line(error))
    return replace(result, model_path=None if path is None else str(path), test=test)


def answer_test(inputs: TrainerInputs, data: Dataset, network: Any) -> TestAnswers | None:
    """Return what a network answers for the test rows; None where there are none.

    Args:
        inputs: Holds the test rows.
        data: Data that the network was trained on, which say how rows are encoded.
        network: The trained network.
    """
    rows = inputs.splits.open_test(data)
    if rows is None:
        return None
    outputs = saved_model.outputs_of(network, rows.x).astype(np.float64)
    if data.summary.task is Task.REGRESSION:
        outputs = outputs * data.target_std + data.target_mean
    return TestAnswers(rows.targets, outputs)
