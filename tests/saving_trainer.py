"""A trainer that pretends to train and saves a file in place of a model."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from scripted_trainer import ScriptedTrainer

from dnnsweep.records import EpochReport, Reason, Suggestion, TrialResult
from dnnsweep.trainers import Job

#: What is in a model.
NAME = "trial.txt"


def read_model(path: Path) -> str:
    """Return the text in a model."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(NAME).decode()


class SavingTrainer(ScriptedTrainer):
    """Its model of a trial is an archive, as Keras's are, with a text that names the trial."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._models = job.models

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        result = super().train(suggestion, report)
        if self._models is None or result.reason is not Reason.COMPLETED:
            return result
        path = Path(self._models) / f"trial-{suggestion.number}-{suggestion.attempt}.keras"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(NAME, f"trial {suggestion.number}")
        return replace(result, model_path=str(path))
