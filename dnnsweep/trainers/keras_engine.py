"""The reference engine: Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnsweep.datasets import Dataset
from dnnsweep.records import Suggestion
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import keras_models


class Rows(NamedTuple):
    """Training and validation rows as TensorFlow has them, in the shape that a network takes them in.

    Args:
        training: Features and targets; also their weights if the sweep file names any.
        validation: Features and targets.
    """

    training: tuple[Any, ...]
    validation: tuple[Any, ...]


class HeldRows:
    """Holds one copy of the rows for all networks that take the same rows in the same shape.

    Args:
        inputs_of: Returns features in the shape that a network takes them in.
    """

    def __init__(self, inputs_of: Callable[[Any, Any], Any] = lambda _, x: x) -> None:
        self._inputs_of = inputs_of
        self._data: Dataset | None = None
        self._shapes: Any = None
        self._rows: Rows | None = None

    def for_network(self, network: Any, data: Dataset) -> Rows:
        """Return the rows for a network; they are copied anew only if rows or shape are not those of the last."""
        x_train, x_validation = (self._inputs_of(network, x) for x in (data.x_train, data.x_validation))
        shapes = _shapes_of(x_train)
        if self._rows is None or data is not self._data or shapes != self._shapes:
            self._data, self._shapes = data, shapes
            training = keras_models.hold(x_train, data.y_train, data.w_train)
            self._rows = Rows(training, keras_models.hold(x_validation, data.y_validation))
        return self._rows


def _shapes_of(x: Any) -> Any:
    """Return the shapes of an array, or of each in a tuple, a list or a dictionary of arrays."""
    if isinstance(x, Mapping):
        return {name: part.shape for name, part in x.items()}
    return [part.shape for part in x] if isinstance(x, list | tuple) else x.shape


class KerasEngine:
    """Trains by Keras's `fit`, all steps of an epoch in one call.

    Args:
        network: Network with its starting weights, not compiled.
        hp: Point that names optimizer, schedule and batch size.
        data: Data that the network is trained on.
        rows: Holder of the data's rows.
        penalty_of: Returns what the regularizers of the network add to the loss.
        mode: How `fit` runs: `keras_models.GRAPH`, `XLA` or `EAGER`.
    """

    def __init__(  # noqa: PLR0913, PLR0917  all that a call of `fit` takes
        self,
        network: Any,
        hp: Hyperparameters,
        data: Dataset,
        rows: HeldRows,
        penalty_of: Callable[[Any], float],
        mode: str = keras_models.GRAPH,
    ) -> None:
        self.network = network
        self.is_compiled = False  # even if XLA compiles `fit`: its epochs are long
        self._hp = hp
        self._data = data
        self._held_rows = rows
        self._penalty_of = penalty_of
        self._mode = mode

    @cached_property
    def _rows(self) -> Rows:
        return self._held_rows.for_network(self.network, self._data)

    def fit(
        self, orders: Iterator[NDArray[np.int32]], n_epochs: int, after_epoch: Callable[[Mapping[str, float]], bool]
    ) -> None:
        """Train and validate, epoch by epoch."""
        network, hp, data = self.network, self._hp, self._data.summary
        n_steps = keras_models.n_steps(data.n_train, hp.batch_size)
        optimizer = keras_models.optimizer_of(hp, n_steps * n_epochs)
        keras_models.compile_(network, optimizer, data.task, n_steps, self._mode)
        batches = keras_models.batches_of(self._rows.training, orders, hp.batch_size)
        validation = keras_models.evaluation_of(*self._rows.validation)
        keras_models.fit(network, batches, validation, n_epochs, after_epoch)

    def penalty(self) -> float:
        """Return what the regularizers add to the loss."""
        return self._penalty_of(self.network)

    def predict(self) -> NDArray[Any]:
        """Return the predictions (rows, outputs) for the validation rows."""
        return keras_models.predictions_of(self.network, self._rows.validation[0], self._data.summary.n_validation)

    def weights(self) -> list[NDArray[Any]]:
        """Return a copy of all weights."""
        return list(self.network.get_weights())

    @property
    def trained(self) -> Any:
        """Return the network, which is trained itself."""
        return self.network

    def training_rows(self, index: NDArray[np.int32]) -> tuple[Any, ...]:
        """Return some training rows: features, targets, and any weights."""
        return keras_models.take(self._rows.training, index)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the epochs to come."""
        self.network.optimizer.learning_rate = rate


class KerasEngines:
    """Builds the network of a suggestion by `keras_models.build`, to be trained by `fit`."""

    def __init__(self) -> None:
        self._rows = HeldRows()

    def engine_for(self, suggestion: Suggestion, data: Dataset) -> KerasEngine:
        """Return an engine with the suggestion's network and its starting weights.

        Args:
            suggestion: What is trained.
            data: Data that the network is trained on.
        """
        hp = Hyperparameters.of(suggestion.params)
        n_features, task = data.summary.n_features, data.summary.task
        network = keras_models.build(hp, n_features, task, data.n_outputs, suggestion.seed)
        return KerasEngine(network, hp, data, self._rows, lambda network: keras_models.l2_penalty(network, hp))
