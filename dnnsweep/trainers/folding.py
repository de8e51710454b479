"""A trainer that trains each suggestion once for each fold, by another trainer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from dnnsweep import spec
from dnnsweep.records import AttemptStarted, EpochReport, Suggestion, TrialResult
from dnnsweep.trainers import Emit, Job, Trainer, TrainerReady, TrialDroppedError
from dnnsweep.trainers.attempt import FoldResult, ParetoFront
from dnnsweep.trainers.folds import FoldedAttempt


class FoldingTrainer:
    """Hands each suggestion to another trainer once for each fold, and reports means over the folds.

    To whoever holds it, it is a trainer of ordinary trials: a trial starts once, has one curve and ends once. A repeat
    is handed through: its block says which fold validates.

    Args:
        trainer: Trains the folds.
        sweep: Sweep file whose trials are trained in folds.
        models: Folder for the models of ended trials; None saves no model.
    """

    def __init__(self, trainer: Trainer, sweep: spec.SweepSpec, models: str | None) -> None:
        self._trainer = trainer
        self._sweep = sweep
        self._models = models
        self._n_folds = sweep.dataset.folds or 1
        is_final, keeps_all = sweep.pruner.kind == "none", sweep.keeps_all_models
        self._front = ParetoFront(sweep.objectives, is_final=is_final, keeps_all=keeps_all)
        self._trials: dict[tuple[int, int], FoldedAttempt] = {}
        self._repeats: set[tuple[int, int]] = set()

    def open(self) -> TrainerReady:
        """Load the data; return what they are and how trials will be trained."""
        return self._trainer.open()

    def warm_up(self) -> None:
        """Load and compile what the first trial would wait for."""
        self._trainer.warm_up()

    def take(self, suggestion: Suggestion) -> None:
        """Add all folds of a suggestion to those that wait to be trained; a repeat is trained once."""
        if suggestion.is_repeat:
            self._repeats.add((suggestion.number, suggestion.attempt))
            self._trainer.take(suggestion)
            return
        rule = self._sweep.training.early_stopping
        trial = FoldedAttempt(suggestion, self._n_folds, rule, self._sweep.objectives)
        self._trials[suggestion.number, suggestion.attempt] = trial
        for fold in range(self._n_folds):
            self._trainer.take(replace(suggestion, fold=fold))

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to train."""
        return self._trainer.is_idle

    @property
    def slot_epochs(self) -> tuple[int, int]:
        """Return epochs times slots so far, and those of them in which there was a fold of a trial."""
        return self._trainer.slot_epochs

    def step(self, emit: Emit) -> None:
        """Train for a while."""
        self._trainer.step(partial(self._collect, emit))

    def _collect(self, emit: Emit, message: AttemptStarted | EpochReport | TrialResult) -> None:
        """Take what a fold reports, and report what follows for its trial.

        Raises:
            TrialDroppedError: The trial was dropped or has ended; the fold is to be left.
        """
        key = message.number, message.attempt
        if key in self._repeats:
            if isinstance(message, TrialResult):
                self._repeats.remove(key)
            emit(message)
            return
        trial = self._trials.get(key)
        if isinstance(message, AttemptStarted):
            if trial is not None:
                trial.start()
                emit(message)
            return
        if trial is None:
            if isinstance(message, EpochReport):
                raise TrialDroppedError
            return
        if isinstance(message, EpochReport):
            trial.add(message)
        elif isinstance(message, FoldResult):
            trial.end_fold(message)
        self._report(emit, trial, key)
        if isinstance(message, EpochReport) and key not in self._trials:
            raise TrialDroppedError

    def _report(self, emit: Emit, trial: FoldedAttempt, key: tuple[int, int]) -> None:
        """Report the means that are new, and the end of the trial if it has ended."""
        means = trial.take_means()
        try:
            for mean in means:
                emit(mean)
        except TrialDroppedError:
            del self._trials[key]
            raise
        result = self._result(trial)
        if result is not None:
            del self._trials[key]
            emit(result)
        elif not means and trial.take_sign(time.monotonic()):
            emit(AttemptStarted(*key))  # the other folds may take long to reach the epochs of this one

    def _result(self, trial: FoldedAttempt) -> TrialResult | None:
        result, limit = trial.result(), self._sweep.training.timeout_seconds
        if result is None:
            return trial.attempt.end_late(limit) if trial.attempt.is_late(limit) else None
        model = self._save_if_unbeaten(trial, result)
        return result if model is None else replace(result, model_path=str(model))

    def _save_if_unbeaten(self, trial: FoldedAttempt, result: TrialResult) -> Path | None:
        """Save the first fold's model of a trial that no other beats; return its path, or None for all others."""
        path, first = trial.attempt.model_path(self._models), trial.first_fold
        if not self._front.add_if_unbeaten(trial.attempt, result.best_epoch):
            return None
        if path is None or first is None or first.save is None:
            return None
        first.save(path)
        return path


def in_folds(trainer: Callable[[Job], Trainer], job: Job) -> Trainer:
    """Create a trainer, and let it train each trial in folds if the sweep file asks for it."""
    if not job.spec.get("dataset", {}).get("folds"):
        return trainer(job)
    return FoldingTrainer(trainer(job), spec.check(job.spec), job.models)
