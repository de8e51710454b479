"""The reference trainer: one Keras model for each suggestion, trained with `model.fit`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnsweep.datasets import Dataset
from dnnsweep.errors import TrainerError
from dnnsweep.records import EpochReport, Reason, Suggestion, TrialResult
from dnnsweep.space import PLATEAU, Hyperparameters
from dnnsweep.trainers import Job, SequentialTrainer, TrainerPlan, TrainerReady
from dnnsweep.trainers.attempt import Attempt, ParetoFront, in_own_units, one_line
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs
from dnnsweep.trainers.shuffling import row_order
from dnnsweep.trainers.stopping import Plateau, Stopping, is_diverged

#: Above this, the network before is freed at once: a quarter of a second against tens of megabytes.
LARGE_PARAMETERS: Final = 1_000_000


class Laps(NamedTuple):
    """The epochs that a trial may train.

    Args:
        orders: Called for the order of the rows (rows,) in each epoch; endless.
        n_epochs: The most of them.
        after_epoch: Called with what each epoch measured; answers whether to stop.
    """

    orders: Callable[[], Iterator[NDArray[np.int32]]]
    n_epochs: int
    after_epoch: Callable[[Mapping[str, float]], bool]


class FitTrainer(SequentialTrainer):
    """Trains with plain Keras; what a faster trainer is held to.

    A result depends on the suggestion and the data only, not on what was trained before, nor on global seeds.
    TensorFlow is loaded by `warm_up` or the first `train`, so that mistakes in the data show without waiting for it.

    Args:
        job: What to train on and how.
        material: What `job` names, where it was loaded already.
    """

    def __init__(self, job: Job, material: TrainerInputs | None = None) -> None:
        super().__init__()
        self._job = job
        self._material = material
        self._front: ParetoFront | None = None
        self._held: tuple[Any, ...] = ()

    def open(self) -> TrainerReady:
        """Load the data and say what they are.

        Raises:
            DataError: The data cannot be used as the sweep file asks.
            SpecError: The sweep file is wrong, or names a metric that the data's task does not have.
        """
        return TrainerReady(self._loaded().data.summary, TrainerPlan("fit"))

    def warm_up(self) -> None:
        """Load TensorFlow."""
        from dnnsweep.trainers import keras_models  # noqa: F401

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        """Train a suggestion to its end; an error while training becomes a result with reason `failed`.

        Raises:
            TrainerError: Keras does not run on TensorFlow.
            Exception: Whatever `report` raises; it ends the attempt without a result.
        """
        from dnnsweep.trainers import keras_models  # noqa: F401  loading TensorFlow is not part of the first trial

        material, attempt = self._loaded(), _Attempt(Attempt(suggestion), report)
        try:
            return self._train(attempt, material)
        except Exception as error:
            if error is attempt.report_error or isinstance(error, TrainerError):
                raise
            return attempt.course.end(Reason.FAILED, error=one_line(error))

    def _train(self, attempt: _Attempt, material: TrainerInputs) -> TrialResult:
        from dnnsweep.trainers import keras_models

        sweep, data, course = material.sweep, material.data, attempt.course
        hp, seed = Hyperparameters.of(course.suggestion.params), course.suggestion.seed
        task, n_train, n_epochs = data.summary.task, data.summary.n_train, sweep.training.epochs
        limit, variance = sweep.training.timeout_seconds, data.validation_variance
        attempt.stopping = Stopping.of(sweep.training.early_stopping)
        attempt.plateau = Plateau.of(sweep.plateau, hp)
        network = self._build(course.suggestion, data)
        course.n_parameters = network.count_params()
        if course.n_parameters > LARGE_PARAMETERS:
            gc.collect()  # the networks before this one lie in reference cycles

        def after_epoch(measured: Mapping[str, float]) -> bool:
            penalty = self._penalty(network, hp)
            own = in_own_units(measured, task, data.target_std, variance)
            rate, epoch = attempt.plateau.rate, len(course.reports) + 1
            changing = _changing_rate(hp, rate, epoch, keras_models.n_steps(n_train, hp.batch_size), n_epochs)
            attempt.add({**own, **self._scores(network, data), "l2_penalty": penalty, **changing})
            if attempt.plateau.rate != rate:
                self._set_rate(network, attempt.plateau.rate)
            if attempt.stopping.is_improved:
                attempt.weights = self._weights(network)
            return attempt.is_over or course.is_late(limit)

        def orders() -> Iterator[NDArray[np.int32]]:
            return (row_order(seed, epoch, n_train) for epoch in count(1))

        self._fit(network, hp, data, Laps(orders, n_epochs, after_epoch))
        if attempt.is_diverged:
            return course.end(Reason.DIVERGED)
        if not attempt.is_over and len(course.reports) < n_epochs:
            return course.end_late(limit)
        network.set_weights(attempt.weights)
        best_epoch = attempt.stopping.best_epoch
        model = course.model_path(self._job.models)
        if not self._front_of(material).add_if_unbeaten(course, best_epoch):
            model = None
        if model is not None:
            keras_models.save(network, hp, task, model)
        is_whole = len(course.reports) == n_epochs
        return course.end(Reason.COMPLETED if is_whole else Reason.EARLY_STOPPED, best_epoch, model=model)

    def _build(self, suggestion: Suggestion, data: Dataset) -> Any:
        """Return a suggestion's network with its starting weights."""
        from dnnsweep.trainers import keras_models

        hp = Hyperparameters.of(suggestion.params)
        return keras_models.build(hp, data.summary.n_features, data.summary.task, data.n_outputs, suggestion.seed)

    def _penalty(self, network: Any, hp: Hyperparameters) -> float:
        """Return what the size of the weights adds to the loss."""
        from dnnsweep.trainers import keras_models

        return keras_models.l2_penalty(network, hp)

    def _scores(self, network: Any, data: Dataset) -> dict[str, float]:
        """Return the scores that the sweep file names."""
        from dnnsweep.trainers import keras_models

        names = self._loaded().sweep.scores
        if not names:
            return {}
        from dnnsweep.trainers.scores import scores

        x_validation = self._hold(network, data)[1][0]
        answers = keras_models.answers_of(network, x_validation, len(data.y_validation))
        return scores(names, data.y_validation, answers)

    def _weights(self, network: Any) -> list[Any]:
        """Return a copy of the weights as they are."""
        return list(network.get_weights())

    def _set_rate(self, network: Any, rate: float) -> None:
        """Let the coming steps have another learning rate."""
        network.optimizer.learning_rate = rate

    def _fit(self, network: Any, hp: Hyperparameters, data: Dataset, laps: Laps) -> None:
        """Train a network."""
        self._fit_steps(network, hp, data, laps)

    def _fit_steps(self, network: Any, hp: Hyperparameters, data: Dataset, laps: Laps, mode: str = "graph") -> None:
        """Train a network by Keras's `fit`, all steps of an epoch in one call."""
        from dnnsweep.trainers import keras_models

        task, n_steps = data.summary.task, keras_models.n_steps(data.summary.n_train, hp.batch_size)
        keras_models.compile_(network, keras_models.optimizer_of(hp, n_steps * laps.n_epochs), task, n_steps, mode)
        training, validation = self._hold(network, data)
        batches = keras_models.batches_of(training, laps.orders(), hp.batch_size)
        validation = keras_models.evaluation_of(*validation)
        keras_models.fit(network, batches, validation, laps.n_epochs, laps.after_epoch)

    def _hold(self, network: Any, data: Dataset) -> tuple[Any, ...]:  # noqa: ARG002  other trainers ask it for its inputs
        """Return training rows and validation rows as TensorFlow has them: one copy for all trials."""
        from dnnsweep.trainers import keras_models

        if not self._held:
            training = keras_models.hold(data.x_train, data.y_train, data.w_train)
            self._held = (training, keras_models.hold(data.x_validation, data.y_validation))
        return self._held

    def _loaded(self) -> TrainerInputs:
        if self._material is None:
            self._material = load_inputs(self._job)
        return self._material

    def _front_of(self, material: TrainerInputs) -> ParetoFront:
        if self._front is None:
            is_final = material.sweep.pruner.kind == "none"
            self._front = ParetoFront(material.sweep.objectives, is_final=is_final)
        return self._front


class _Attempt:
    """A course under early stopping, and the weights kept."""

    def __init__(self, course: Attempt, report: Callable[[EpochReport], None]) -> None:
        self.course = course
        self.stopping = Stopping()
        self.plateau = Plateau(0.0)
        self.weights: list[Any] = []
        self.is_diverged = False
        self.report_error: Exception | None = None
        self._report = report

    @property
    def is_over(self) -> bool:
        """Return whether no further epoch should be trained."""
        return self.is_diverged or self.stopping.is_over

    def add(self, metrics: Mapping[str, float]) -> None:
        """Take down an epoch, pass it on, and judge it."""
        epoch = self.course.add(metrics)
        try:
            self._report(epoch)
        except Exception as error:
            self.report_error = error
            raise
        self.is_diverged = is_diverged(metrics)
        self.stopping = self.stopping.after(metrics)
        self.plateau = self.plateau.after(metrics)


def _changing_rate(hp: Hyperparameters, rate: float, epoch: int, n_steps: int, n_epochs: int) -> dict[str, float]:
    """Return the learning rate of an epoch's last step as a metric, where it is not the same in all epochs.

    Args:
        hp: Names the schedule.
        rate: Of the epoch, where it is reduced on a plateau.
        epoch: From 1.
        n_steps: Of an epoch.
        n_epochs: Of the trial.
    """
    from dnnsweep.trainers import keras_models

    if hp.schedule == PLATEAU:
        return {"learning_rate": rate}
    last = epoch * n_steps - 1
    rates = keras_models.learning_rates(hp, range(last, last + 1), n_steps * n_epochs)
    return {} if isinstance(rates, float) else {"learning_rate": float(rates[0])}
