"""An epoch of any dense Keras network as one program that XLA compiles: real layers, optimizer and losses of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.records import Task
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import dropout, keras_models
from dnnsweep.trainers.keras_engine import Rows
from dnnsweep.trainers.structures import strengths

_METRICS: Final = {
    Task.BINARY: keras.metrics.binary_accuracy,
    Task.MULTICLASS: keras.metrics.sparse_categorical_accuracy,
    Task.REGRESSION: keras.metrics.mean_absolute_error,
}


class EpochProgram:
    """Trains and validates a network for an epoch in one call; the numbers are those of `fit`.

    It is made once for all networks of a structure (`structures.structure_of`). All else that differs is loaded.

    Args:
        network: Functional or Sequential model of dense layers; a copy of it is trained.
        hp: Point that names the optimizer and the batch size.
        task: Task of the data, which decides loss and metric.
    """

    def __init__(self, network: keras.Model, hp: Hyperparameters, task: Task) -> None:
        self._dropouts: list[Dropout] = []
        self._network = self._with_stand_in_dropout(network)
        self._variables = self._network.trainable_variables
        self._strengths = [tf.Variable(tf.zeros((2,), keras.config.floatx())) for _ in self._variables]  # each (L1, L2)
        self._is_penalized = [variable.regularizer is not None for variable in self._variables]
        self._optimizer = keras_models.optimizer_of(hp)
        self._optimizer.build(self._variables)
        self._initial_optimizer = [variable.numpy() for variable in self._optimizer.variables]
        self._batch_size = hp.batch_size
        self._loss = keras_models.LOSSES[task](reduction="none")
        self._metric = _METRICS[task]
        self._names = ("loss", keras_models.METRICS[task])
        self._rows: Rows | None = None
        self._epoch = tf.function(self._run, jit_compile=True, autograph=False)

    def load(self, network: keras.Model, hp: Hyperparameters, rows: Rows) -> None:
        """Load another network of the same structure, to train it from its start.

        Args:
            network: Network whose weights, dropout rates, seeds and regularizer strengths are loaded.
            hp: Point whose learning rate is loaded.
            rows: Rows as the network takes them. Other numbers of rows compile the program again.
        """
        self._rows = rows
        self._network.set_weights(network.get_weights())
        for stand_in, layer in zip(self._dropouts, _dropouts(network), strict=True):
            stand_in.load(layer)
        for strength, variable in zip(self._strengths, network.trainable_variables, strict=True):
            strength.assign(strengths(variable.regularizer))
        for variable, value in zip(self._optimizer.variables, self._initial_optimizer, strict=True):
            variable.assign(value)
        self.set_rate(hp.learning_rate)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the epochs to come."""
        self._optimizer.learning_rate.assign(rate)

    @property
    def network(self) -> keras.Model:
        """Return the network that is trained; its weights are the trial's."""
        return self._network

    def penalty(self) -> float:
        """Return what the regularizers of the weights add to the data's loss."""
        return sum(float(penalty) for penalty in self._penalties())

    def _penalties(self) -> list[tf.Tensor]:
        """Return the penalty of each weight that has one."""
        variables = zip(self._variables, self._strengths, self._is_penalized, strict=True)
        return [
            strength[0] * tf.reduce_sum(tf.abs(variable.value)) + strength[1] * tf.reduce_sum(tf.square(variable.value))
            for variable, strength, is_penalized in variables
            if is_penalized
        ]

    def _with_stand_in_dropout(self, network: keras.Model) -> keras.Model:
        """Return a network of the same layers and weights in which `Dropout` stands for Dropout layers."""

        def stand_in(layer: keras.Layer) -> keras.Layer:
            if isinstance(layer, keras.Model):
                return self._with_stand_in_dropout(layer)
            if type(layer) is not keras.layers.Dropout or layer.rate == 0:
                return layer
            self._dropouts.append(Dropout(layer))
            return self._dropouts[-1]

        return keras.models.clone_model(network, clone_function=stand_in)

    def epoch(self, order: NDArray[np.int32]) -> dict[str, float]:
        """Train an epoch and validate after it.

        Args:
            order: Order of the training rows (rows,).

        Returns:
            `loss`, `accuracy` or `mae`, and the same with `val_`.
        """
        values = self._epoch(tf.constant(order), self._rows).numpy().tolist()
        names = [f"{prefix}{name}" for prefix in ("", "val_") for name in self._names]
        return dict(zip(names, values, strict=True))

    def _run(self, order: tf.Tensor, rows: Rows) -> tf.Tensor:
        n_train, n_validation = (part[1].shape[0] for part in rows)
        training_sums = _over_batches(
            n_train, self._batch_size, lambda places: self._step(rows.training, tf.gather(order, places))
        )  # (2,)
        validation_sums = _over_batches(
            n_validation, keras_models.EVALUATION_ROWS, lambda index: self._test(rows.validation, index)
        )  # (2,)
        return tf.concat([training_sums / n_train, validation_sums / n_validation], axis=0)  # (4,)

    def _step(self, rows: tuple[Any, ...], index: tf.Tensor) -> tf.Tensor:
        """Take a step on a batch of rows (batch,); return its sums of loss and metric (2,)."""
        x, y, *weights = _rows_of(rows, index)
        with tf.GradientTape() as tape:
            predictions = self._network(x, training=True)  # (batch, outputs)
            losses = self._loss(y, predictions)  # (batch,)
            weighted = losses * weights[0] if weights else losses
            loss = tf.add_n([tf.reduce_mean(weighted), *self._penalties()])
        self._optimizer.apply(tape.gradient(loss, self._variables), self._variables)
        return self._sums(y, predictions, losses)

    def _test(self, rows: tuple[Any, ...], index: tf.Tensor) -> tf.Tensor:
        """Return the sums of loss and metric (2,) of a batch of validation rows (batch,)."""
        x, y = _rows_of(rows, index)
        predictions = self._network(x, training=False)  # (batch, outputs)
        return self._sums(y, predictions, self._loss(y, predictions))

    def _sums(self, y: tf.Tensor, predictions: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
        """Return the sums of loss and metric over the rows of a batch (2,)."""
        targets = y[:, None] if predictions.shape[1] == 1 else y
        metric = tf.cast(self._metric(targets, predictions), losses.dtype)  # (batch,)
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(metric)])


def _rows_of(parts: Any, index: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda part: tf.gather(part, index), parts)


def _over_batches(n_rows: int, size: int, batch: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Return the sum (2,) of what `batch` returns for the rows (batch,) of each batch; the last one may be shorter."""
    n_whole, n_left = divmod(n_rows, size)
    total = tf.zeros((2,), keras.config.floatx())
    if n_whole:
        total = tf.while_loop(
            lambda step, _: step < n_whole,
            lambda step, total: (step + 1, total + batch(step * size + tf.range(size))),
            (tf.constant(0), total),
        )[1]
    return total + batch(n_rows - n_left + tf.range(n_left)) if n_left else total


class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Does what a Dropout layer does, with the masks that it would draw without XLA, which XLA computes fast.

    Args:
        layer: Layer to stand in for. Its rate is above 0, and so is that of any layer loaded later.
    """

    def __init__(self, layer: keras.layers.Dropout) -> None:
        super().__init__(name=layer.name)
        self._seed = tf.Variable(layer.seed_generator.state.value)
        self._limit = tf.Variable(0, dtype=tf.uint32)
        self._scale = tf.Variable(1.0, dtype=keras.config.floatx())
        self.load(layer)

    def load(self, layer: keras.layers.Dropout) -> None:
        """Set the rate to that of a layer, and the seed to what it would draw with next."""
        self._seed.assign(layer.seed_generator.state.value)
        self._limit.assign(dropout.threshold(np.array(layer.rate, np.float32)))
        self._scale.assign(1 / (1 - layer.rate) if layer.rate < 1 else 0.0)  # Keras takes 1, which drops every unit

    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002  as Keras calls it
        """Drop units while training."""
        if not training:
            return inputs
        seed = self._seed.value()
        self._seed.assign(seed + tf.constant([0, 1], seed.dtype))
        is_kept = dropout.mask(seed, self._limit.value(), inputs.shape)
        return tf.where(is_kept, inputs * self._scale, tf.zeros_like(inputs))


def _dropouts(network: keras.Model) -> Iterator[keras.layers.Dropout]:
    """Yield the Dropout layers with a rate above 0 in a network and in the networks inside it, in their order."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _dropouts(layer)
        elif type(layer) is keras.layers.Dropout and layer.rate > 0:
            yield layer
