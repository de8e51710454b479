"""The loop over the epochs of one trial: the same for every engine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

from dnnsweep.datasets import Dataset
from dnnsweep.errors import TrainerError
from dnnsweep.records import EpochReport, LayerMetrics, Reason, Suggestion, TrialResult
from dnnsweep.space import PLATEAU, Hyperparameters
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.attempt import Attempt, ParetoFront, in_own_units, one_line, with_exact_shares
from dnnsweep.trainers.engine import Engine, EngineRefusedError
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.layer_probe import LayerProbes
from dnnsweep.trainers.memory_check import require_memory
from dnnsweep.trainers.retraining import answer_test, end_repeat
from dnnsweep.trainers.shuffling import row_order
from dnnsweep.trainers.stopping import Plateau, Stopping, is_diverged

#: Above this, the networks before this one are freed at once: a quarter of a second saves tens of megabytes.
LARGE_PARAMETERS: Final = 1_000_000


class TrialLoop:
    """Trains single trials: metrics, reports, early stopping, learning rates on a plateau, and the weights kept.

    Args:
        inputs: Sweep file and data.
        models: Folder for the models of ended trials; None saves no model.
        engine_for: Builds the network of a suggestion and chooses the engine that trains it on some data.
    """

    def __init__(
        self, inputs: TrainerInputs, models: str | None, engine_for: Callable[[Suggestion, Dataset], Engine]
    ) -> None:
        self._sweep = inputs.sweep
        self._inputs = inputs
        self._models = models
        self._engine_for = engine_for
        is_final, keeps_all = inputs.sweep.pruner.kind == "none", inputs.sweep.keeps_all_models
        self._front = ParetoFront(inputs.sweep.objectives, is_final=is_final, keeps_all=keeps_all)
        self._probes = LayerProbes(inputs.data.summary.task, inputs.splits.most_rows[0])

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        """Train a suggestion to its end; an error while training becomes a result with reason `failed`.

        Raises:
            TrainerError: No trial can be trained, whatever its suggestion.
            MemoryError: No memory is left.
            Exception: Whatever `report` raises; it ends the attempt without a result.
        """
        attempt, reports = Attempt(suggestion), _Reports(report)
        try:
            return self._train(attempt, reports)
        except Exception as error:
            if error is reports.error or isinstance(error, TrainerError):
                raise
            require_memory()
            return attempt.end(Reason.FAILED, error=one_line(error))

    def _train(self, attempt: Attempt, reports: _Reports) -> TrialResult:
        trial = self._start(attempt)
        engine = self._engine_for(attempt.suggestion, trial.data)
        attempt.n_parameters = engine.network.count_params()
        if attempt.n_parameters > LARGE_PARAMETERS:
            gc.collect()  # the networks before this one lie in reference cycles
        return self._end(trial, self._fit(engine, trial, reports).network)

    def _start(self, attempt: Attempt) -> _TrialState:
        hp = Hyperparameters.of(attempt.suggestion.params)
        training, retraining = self._sweep.training, attempt.suggestion.retraining
        stopping = Stopping.of(training.early_stopping if retraining is None else None)
        n_epochs = training.epochs if retraining is None else min(retraining.n_epochs, training.epochs)
        data = self._inputs.data_for(attempt.suggestion)
        return _TrialState(attempt, hp, data, n_epochs, stopping, Plateau.of(self._sweep.plateau, hp))

    def _fit(self, engine: Engine, trial: _TrialState, reports: _Reports) -> Engine:
        """Train a trial; return the engine that did, which is another one if the first refuses."""

        def after_epoch(measured: Mapping[str, float]) -> bool:
            self._record_epoch(engine, trial, measured, measure_layers(), reports)
            return trial.is_over or trial.is_whole or trial.attempt.is_late(self._sweep.training.timeout_seconds)

        seed, n_train = trial.attempt.suggestion.seed, trial.data.summary.n_train
        n_steps = keras_models.n_steps(n_train, trial.hp.batch_size)
        is_repeat = trial.attempt.suggestion.is_repeat
        measure_layers = dict if is_repeat else self._probes.watch(engine, n_train, n_steps)
        orders = (row_order(seed, epoch, n_train) for epoch in count(1))
        try:  # a retraining of fewer epochs has the schedule of all of them
            engine.fit(orders, self._sweep.training.epochs, after_epoch)
        except EngineRefusedError as refusal:
            return self._fit(refusal.substitute, trial, reports)
        return engine

    def _record_epoch(
        self,
        engine: Engine,
        trial: _TrialState,
        measured: Mapping[str, float],
        layers: LayerMetrics,
        reports: _Reports,
    ) -> None:
        """Report an epoch, keep its weights if it improved, and set the learning rate of the next one."""
        metrics, rate = self._metrics(engine, trial, measured), trial.plateau.rate
        require_memory()
        reports.send(trial.attempt.add(metrics, layers=layers))
        trial.judge(metrics)
        if trial.plateau.rate != rate:
            engine.set_rate(trial.plateau.rate)
        if trial.stopping.is_improved:
            trial.weights = engine.weights()

    def _metrics(self, engine: Engine, trial: _TrialState, measured: Mapping[str, float]) -> dict[str, float]:
        penalty, data, summary = engine.penalty(), trial.data, trial.data.summary
        means = with_exact_shares(measured, summary.n_train, summary.n_validation)
        metrics = in_own_units(means, summary.task, data.target_std, data.validation_variance)
        return {**metrics, **self._scores(engine, data), "l2_penalty": penalty, **self._changing_rate(trial)}

    def _scores(self, engine: Engine, data: Dataset) -> dict[str, float]:
        """Return the scores that the sweep file names."""
        names = self._sweep.scores
        if not names:
            return {}
        from dnnsweep.trainers.scores import scores  # loads scikit-learn, which most sweeps do without

        return scores(names, data.y_validation, engine.predict())

    def _changing_rate(self, trial: _TrialState) -> dict[str, float]:
        """Return the learning rate of an epoch's last step as a metric, unless it is the same in all epochs."""
        if trial.hp.schedule == PLATEAU:
            return {"learning_rate": trial.plateau.rate}
        n_steps = keras_models.n_steps(trial.data.summary.n_train, trial.hp.batch_size)
        last = (len(trial.attempt.reports) + 1) * n_steps - 1
        rates = keras_models.learning_rates(trial.hp, range(last, last + 1), n_steps * self._sweep.training.epochs)
        return {} if isinstance(rates, float) else {"learning_rate": float(rates[0])}

    def _end(self, trial: _TrialState, network: Any) -> TrialResult:
        """Return the result of a trial whose training has stopped, with its model saved if it is worth it."""
        attempt, training = trial.attempt, self._sweep.training
        if trial.is_diverged:
            return attempt.end(Reason.DIVERGED)
        if not trial.is_over and not trial.is_whole:
            return attempt.end_late(training.timeout_seconds)
        if trial.stopping.best_epoch is not None:
            network.set_weights(trial.weights)
        reason = Reason.COMPLETED if trial.is_whole else Reason.EARLY_STOPPED
        save = partial(keras_models.save, network, trial.hp, trial.data.preprocessing)
        if attempt.suggestion.is_repeat:
            answer = partial(answer_test, self._inputs, trial.data, network)
            return end_repeat(attempt, reason, trial.stopping.best_epoch, self._models, save, answer)
        return self._front.end(attempt, reason, trial.stopping.best_epoch, self._models, save)


class _Reports:
    """Sends reports, and remembers an error of whoever receives them: it is not the fault of the trial."""

    def __init__(self, report: Callable[[EpochReport], None]) -> None:
        self.error: Exception | None = None
        self._report = report

    def send(self, epoch: EpochReport) -> None:
        try:
            self._report(epoch)
        except Exception as error:
            self.error = error
            raise


@dataclass(slots=True)
class _TrialState:
    """Where a trial stands after its last epoch.

    Args:
        attempt: The attempt at it, with the reports of its epochs.
        hp: Hyperparameters of the trial.
        data: Data that it is trained on.
        n_epochs: Epochs after which it is complete.
        stopping: Early stopping after the last epoch.
        plateau: Learning rate that is reduced on a plateau.
        weights: Weights of the best epoch; empty before there is one.
        is_diverged: Whether the last epoch diverged.
    """

    attempt: Attempt
    hp: Hyperparameters
    data: Dataset
    n_epochs: int
    stopping: Stopping
    plateau: Plateau
    weights: list[Any] = field(default_factory=list)
    is_diverged: bool = False

    @property
    def is_over(self) -> bool:
        """Return whether no further epoch should be trained."""
        return self.is_diverged or self.stopping.is_over

    @property
    def is_whole(self) -> bool:
        """Return whether all epochs were trained."""
        return len(self.attempt.reports) == self.n_epochs

    def judge(self, metrics: Mapping[str, float]) -> None:
        """Advance early stopping and learning rate by an epoch's metrics."""
        self.is_diverged = is_diverged(metrics)
        self.stopping = self.stopping.after(metrics)
        self.plateau = self.plateau.after(metrics)
