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
from dnnsweep.trainers.compiled.structures import strengths

_METRICS: Final = {
    Task.BINARY: keras.metrics.binary_accuracy,
    Task.MULTICLASS: keras.metrics.sparse_categorical_accuracy,
    Task.REGRESSION: keras.metrics.mean_absolute_error,
}


class EpochProgram:
    """Trains and validates a network for an epoch in one call; the numbers are those of `fit`.

    Made once for all networks of a structure (`structures.structure_of`): what else differs is loaded.

    Args:
        network: Functional or Sequential, of dense layers; trained in place.
        hp: Names the optimizer and the batch size.
        task: Decides loss and metric.
        rows: Training and validation rows from `keras_models.hold`, as the network takes them.
    """

    def __init__(
        self, network: keras.Model, hp: Hyperparameters, task: Task, rows: tuple[tuple[Any, ...], tuple[Any, ...]]
    ) -> None:
        self._dropouts: list[_Dropout] = []
        self._network = self._with_own_dropout(network)
        self._variables = self._network.trainable_variables
        self._penalties = [tf.Variable(tf.zeros((2,), keras.config.floatx())) for _ in self._variables]
        self._is_penalized = [variable.regularizer is not None for variable in self._variables]
        self._optimizer = keras_models.optimizer_of(hp)
        self._optimizer.build(self._variables)
        self._fresh = [variable.numpy() for variable in self._optimizer.variables]
        self._batch_size = hp.batch_size
        self._loss = keras_models.LOSSES[task](reduction="none")
        self._metric = _METRICS[task]
        self._names = ("loss", keras_models.METRICS[task])
        (self._x, self._y, *weights), (self._x_validation, self._y_validation) = rows
        self._weights = weights[0] if weights else None
        self._epoch = tf.function(self._run, jit_compile=True, autograph=False)

    def load(self, network: keras.Model, hp: Hyperparameters) -> None:
        """Take over a network of the same structure as it starts.

        Args:
            network: Its weights, rates of dropout, seeds and strengths of regularizers are taken.
            hp: Its learning rate is taken.
        """
        self._network.set_weights(network.get_weights())
        for own, layer in zip(self._dropouts, _dropouts(network), strict=True):
            own.load(layer)
        for penalty, variable in zip(self._penalties, network.trainable_variables, strict=True):
            penalty.assign(strengths(variable.regularizer))
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        self.set_rate(hp.learning_rate)

    def set_rate(self, rate: float) -> None:
        """Let the coming epochs have another learning rate."""
        self._optimizer.learning_rate.assign(rate)

    @property
    def network(self) -> keras.Model:
        """Return the network that is trained; its weights are the trial's."""
        return self._network

    def penalty(self) -> float:
        """Return what the regularizers of the weights add to the data's loss."""
        return sum(float(penalty) for penalty in self._each_penalty())

    def _each_penalty(self) -> list[tf.Tensor]:
        """Return the penalty of each weight that has one."""
        found = zip(self._variables, self._penalties, self._is_penalized, strict=True)
        return [
            strength[0] * tf.reduce_sum(tf.abs(variable.value)) + strength[1] * tf.reduce_sum(tf.square(variable.value))
            for variable, strength, is_penalized in found
            if is_penalized
        ]

    def _with_own_dropout(self, network: keras.Model) -> keras.Model:
        """Return a network of the same layers and weights in which `_Dropout` stands for Dropout layers."""

        def stand_in(layer: keras.Layer) -> keras.Layer:
            if isinstance(layer, keras.Model):
                return self._with_own_dropout(layer)
            if type(layer) is not keras.layers.Dropout or layer.rate == 0:
                return layer
            self._dropouts.append(_Dropout(layer))
            return self._dropouts[-1]

        return keras.models.clone_model(network, clone_function=stand_in)

    def epoch(self, order: NDArray[np.int32]) -> dict[str, float]:
        """Train an epoch and validate after it.

        Args:
            order: Of the training rows (rows,).

        Returns:
            `loss`, `accuracy` or `mae`, and the same with `val_`.
        """
        values = self._epoch(tf.constant(order)).numpy().tolist()
        names = [f"{prefix}{name}" for prefix in ("", "val_") for name in self._names]
        return dict(zip(names, values, strict=True))

    def _run(self, order: tf.Tensor) -> tf.Tensor:
        n_train, n_validation = len(self._y), len(self._y_validation)
        trained = _over_batches(n_train, self._batch_size, lambda rows: self._step(tf.gather(order, rows)))
        tested = _over_batches(n_validation, keras_models.EVALUATION_ROWS, self._test)
        return tf.concat([trained / n_train, tested / n_validation], axis=0)

    def _step(self, rows: tf.Tensor) -> tf.Tensor:
        x, y = _taken(self._x, rows), tf.gather(self._y, rows)
        with tf.GradientTape() as tape:
            answers = self._network(x, training=True)
            losses = self._loss(y, answers)
            weighted = losses if self._weights is None else losses * tf.gather(self._weights, rows)
            whole = tf.add_n([tf.reduce_mean(weighted), *self._each_penalty()])
        self._optimizer.apply(tape.gradient(whole, self._variables), self._variables)
        return self._sums(y, answers, losses)

    def _test(self, rows: tf.Tensor) -> tf.Tensor:
        y = tf.gather(self._y_validation, rows)
        answers = self._network(_taken(self._x_validation, rows), training=False)
        return self._sums(y, answers, self._loss(y, answers))

    def _sums(self, y: tf.Tensor, answers: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
        """Return the sums of loss and metric over the rows of a batch (2,)."""
        column = y[:, None] if answers.shape[1] == 1 else y
        return tf.stack([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(self._metric(column, answers), losses.dtype))])


def _taken(x: Any, rows: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda part: tf.gather(part, rows), x)


def _over_batches(n_rows: int, size: int, batch: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Sum what each batch gives; the last one takes what is left."""
    n_whole, n_left = divmod(n_rows, size)
    total = tf.zeros((2,), keras.config.floatx())
    if n_whole:
        total = tf.while_loop(
            lambda step, _: step < n_whole,
            lambda step, total: (step + 1, total + batch(step * size + tf.range(size))),
            (tf.constant(0), total),
        )[1]
    return total + batch(n_rows - n_left + tf.range(n_left)) if n_left else total


class _Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Does what a Dropout layer does, with the masks that it would draw without XLA, which XLA computes fast.

    Args:
        layer: Stood in for; its rate is above 0, and so is that of any layer loaded later.
    """

    def __init__(self, layer: keras.layers.Dropout) -> None:
        super().__init__(name=layer.name)
        self._seed = tf.Variable(layer.seed_generator.state.value)
        self._limit = tf.Variable(0, dtype=tf.uint32)
        self._scale = tf.Variable(1.0, dtype=keras.config.floatx())
        self.load(layer)

    def load(self, layer: keras.layers.Dropout) -> None:
        """Take over the rate of a layer and the random numbers that it would draw next."""
        self._seed.assign(layer.seed_generator.state.value)
        self._limit.assign(dropout.threshold(np.array(layer.rate, np.float32)))
        self._scale.assign(1 / (1 - layer.rate))

    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002  as Keras calls it
        """Drop units while training."""
        if not training:
            return inputs
        seed = self._seed.value()
        self._seed.assign(seed + tf.constant([0, 1], seed.dtype))
        is_kept = dropout.mask(seed, self._limit.value(), inputs.shape)
        return tf.where(is_kept, inputs * self._scale, tf.zeros_like(inputs))


def _dropouts(network: keras.Model) -> Iterator[keras.layers.Dropout]:
    """Yield the Dropout layers that drop of a network and of the networks in it, in their order."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _dropouts(layer)
        elif type(layer) is keras.layers.Dropout and layer.rate > 0:
            yield layer
