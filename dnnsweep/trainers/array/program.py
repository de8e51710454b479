"""The compiled program of a trial array: K networks of one shape, trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.trainers import dropout
from dnnsweep.trainers.array import optimizers, scores
from dnnsweep.trainers.array.arithmetic import Knobs, Networks
from dnnsweep.trainers.array.stopping import judge
from dnnsweep.trainers.array.types import Feed, Rates, Shape, Standing, Weights

#: Rows of a validation step.
EVALUATION_ROWS: Final = 2048


class Rows(NamedTuple):
    """Rows, their targets and, unless all count alike, their weights in the loss; as TensorFlow has them."""

    x: tf.Tensor
    y: tf.Tensor
    weights: tf.Tensor | None = None


class _State(NamedTuple):
    """What a step of training changes."""

    weights: Any
    m: Any
    v: Any
    moving: Any


class Outcome(NamedTuple):
    """What came of a call.

    Args:
        n_epochs: Epochs trained.
        metrics: (epochs_per_call, slots, measured), in the order of `Shape.measured`; zeros where no epoch was trained.
        standing: Where each slot's trial stands now.
        ends: How trials ended (slots,), codes of `stopping`.
    """

    n_epochs: int
    metrics: NDArray[Any]
    standing: Standing
    ends: NDArray[np.int32]


class Program:
    """Trains up to K networks at once; compiled at the first call.

    Args:
        shape: What it is compiled for.
        training: Training rows.
        validation: Validation rows.
    """

    def __init__(self, shape: Shape, training: Rows, validation: Rows) -> None:
        self.shape = shape
        self._dtype = tf.as_dtype(shape.dtype)
        self._rows = training
        self._validation = _chunks(validation)
        self._n_validation = len(validation.x)
        n_hidden, slots = sum(shape.hidden), shape.slots
        shapes: list[tuple[int, ...]] = [(slots, *pair) for pair in pairwise(shape.widths)]
        shapes.append((slots, 3 * n_hidden + shape.n_outputs))
        moving = [(slots, n_hidden)] * 2
        self._state = _State(*(self._variables(part) for part in (shapes, shapes, shapes, moving)))
        self._kept = self._variables([*shapes, *moving])
        self._knobs = Knobs(*self._variables([(slots,)] * len(Knobs._fields)))
        self._networks = Networks(shape, self._knobs)
        # Not AutoGraph, which triples the time of tracing.
        self._call = tf.function(self._epochs, jit_compile=True, autograph=False)
        self._fill = tf.function(self._assign, jit_compile=True, autograph=False)

    def _variables(self, shapes: Sequence[tuple[int, ...]]) -> list[tf.Variable]:
        return [tf.Variable(tf.zeros(shape, self._dtype), trainable=False) for shape in shapes]

    @property
    def n_bytes(self) -> int:
        """Return the memory of weights, buffers, statistics and kept weights of all slots."""
        variables = [variable for part in (*self._state, self._kept) for variable in part]
        return sum(int(np.prod(variable.shape)) * self._dtype.size for variable in variables)

    def put(self, slot: int, weights: Weights, knobs: Knobs, first_v: float) -> None:
        """Begin a trial in a slot.

        Args:
            slot: From 0.
            weights: To start from.
            knobs: The trial's.
            first_v: What the second buffer of the update rule starts from.
        """
        kernels, small, moving = _packed(weights, self.shape.dtype)
        values = np.array([*knobs, first_v], self.shape.dtype)
        self._fill(tf.constant(slot), [*kernels, small], moving, values)

    def _assign(self, slot: tf.Tensor, weights: Any, moving: Any, values: tf.Tensor) -> None:
        def put(variable: tf.Variable, value: tf.Tensor) -> None:
            if 0 not in value.shape:  # without hidden layers there are no statistics
                variable.assign(tf.tensor_scatter_nd_update(variable, [[slot]], value[None]))

        *knobs, first_v = tf.unstack(values)
        fresh = _State(weights, map(tf.zeros_like, weights), (tf.zeros_like(w) + first_v for w in weights), moving)
        for variables, new in (*zip(self._state, fresh, strict=True), (self._knobs, knobs)):
            for variable, value in zip(variables, new, strict=True):
                put(variable, value)

    def run(self, feed: Feed, n_epochs: int, standing: Standing) -> Outcome:
        """Train all slots for some epochs; stops early after an epoch in which an active trial ended.

        Args:
            feed: For `epochs_per_call` epochs, of which the first `n_epochs` count.
            n_epochs: At most.
            standing: From the call before.
        """
        n_done, metrics, standing, ends = self._call(feed, tf.constant(n_epochs), standing)
        host = tf.nest.map_structure(np.array, standing)
        return Outcome(int(n_done), metrics.numpy(), host, ends.numpy())

    def kept(self, slot: int) -> Weights:
        """Return the weights of a slot's best epoch."""
        *kernels, small, means, variances = [variable[slot].numpy() for variable in self._kept]
        hidden, n_outputs = list(self.shape.hidden), self.shape.n_outputs
        n_hidden = sum(hidden)
        biases, gammas, betas = np.split(small, [n_hidden + n_outputs, 2 * n_hidden + n_outputs])
        rest = (_cut(part, hidden) for part in (gammas, betas, means, variances))
        return Weights(tuple(kernels), _cut(biases, [*hidden, n_outputs]), *rest)

    # What follows runs inside the compiled program.

    def _epochs(self, feed: Feed, n_epochs: tf.Tensor, standing: Standing) -> Any:
        def goes_on(epoch: Any, _state: Any, _kept: Any, _metrics: Any, _standing: Any, ends: Any) -> Any:
            return tf.logical_and(epoch < n_epochs, tf.reduce_all(ends == 0))

        def body(epoch: Any, state: Any, kept: Any, measured: Any, standing: Any, _: Any) -> Any:
            state, sums = self._train(state, self._at(epoch, feed, standing))
            metrics = self._measured(sums, state, standing)
            measured = tf.tensor_scatter_nd_update(measured, [[epoch]], metrics[None])
            standing, ends, is_better = judge(self.shape, metrics, standing)
            present = (*state.weights, *state.moving)
            kept = [_select(is_better, new, old) for new, old in zip(present, kept, strict=True)]
            return epoch + 1, state, kept, measured, standing, ends

        slots = self.shape.slots
        measured = tf.zeros((self.shape.epochs_per_call, slots, len(self.shape.measured)), self._dtype)
        state = _State(*([variable.value() for variable in part] for part in self._state))
        kept = [variable.value() for variable in self._kept]
        start = (tf.constant(0), state, kept, measured, standing, tf.zeros((slots,), tf.int32))
        n_done, state, kept, measured, standing, ends = tf.while_loop(goes_on, body, start)
        for variables, values in (*zip(self._state, state, strict=True), (self._kept, kept)):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return n_done, measured, standing, ends

    def _at(self, epoch: Any, feed: Feed, standing: Standing) -> Feed:
        """Return what an epoch of the call is fed with, at the learning rates that the epochs before it left."""
        now = feed.at(epoch)
        if not isinstance(standing.rates, Rates):
            return now
        return now._replace(coefficients=optimizers.at_rates(now.coefficients, now.is_scaled, standing.rates.rate))

    def _train(self, state: _State, feed: Feed) -> tuple[_State, Any]:
        """Train one epoch; return the new state and sums over rows of loss and metric (slots, 2)."""
        shape = self.shape
        order, is_row = self._batches(feed.orders)

        def body(step: Any, state: _State, masks: Any, sums: Any) -> Any:
            following = self._masks(feed, tf.minimum(step + 1, shape.n_steps - 1))
            index = order[:, step]  # (slots, batch)
            rows = (
                tf.gather(self._rows.x, index),
                tf.gather(self._rows.y, index),
                None if is_row is None else is_row[step],
                None if self._rows.weights is None else tf.gather(self._rows.weights, index),
            )
            gradients, moving, counted = self._networks.learn(state.weights, state.moving, rows, masks)
            updated = optimizers.update(state.weights, state.m, state.v, gradients, feed.coefficients[:, step])
            return step + 1, _State(*updated, moving), following, sums + counted

        # The masks of a step are drawn in the one before: XLA would otherwise draw them again for each of their uses.
        start = (tf.constant(0), state, self._masks(feed, tf.constant(0)), tf.zeros((shape.slots, 2), self._dtype))
        _, state, _, sums = tf.while_loop(lambda step, *_: step < shape.n_steps, body, start)
        return state, sums

    def _batches(self, order: Any) -> tuple[Any, Any]:
        """Cut an epoch's order into steps (slots, steps, batch); the last one is filled up with rows that do not count.

        Returns:
            The order, and which rows count (steps, batch); None where all do.
        """
        shape = self.shape
        n_places = shape.n_steps * shape.batch_size
        filled = tf.pad(order, [[0, 0], [0, n_places - shape.n_rows]])
        batches = tf.reshape(filled, (shape.slots, shape.n_steps, shape.batch_size))
        if n_places == shape.n_rows:
            return batches, None
        is_row = (np.arange(n_places) < shape.n_rows).reshape(shape.n_steps, shape.batch_size)
        return batches, tf.constant(is_row, self._dtype)

    def _masks(self, feed: Feed, step: Any) -> Any:
        n_units = [self.shape.batch_size * units for units in self.shape.hidden]
        return dropout.draw(feed.keys[:, step], feed.limits, n_units)

    def _measured(self, sums: Any, state: _State, standing: Standing) -> Any:
        """Return the metrics of an epoch (slots, measured), in the order of `Shape.measured`."""
        validation, logits = self._networks.measure(state.weights, state.moving, self._validation)
        penalty = self._networks.penalty(state.weights)[:, None]
        parts = [sums / self.shape.n_rows, validation / self._n_validation, penalty]
        if self.shape.scores:
            targets = tf.reshape(self._validation[1], (-1,))[: self._n_validation]
            answers = scores.answers_of(self.shape, logits[:, : self._n_validation])
            parts.append(scores.scores(self.shape, answers, targets))
        if isinstance(standing.rates, Rates):
            parts.append(standing.rates.rate[:, None])
        return tf.concat(parts, axis=1)


def _packed(weights: Weights, dtype: str) -> tuple[list[NDArray[Any]], NDArray[Any], list[NDArray[Any]]]:
    """Return kernels, all vectors in one, and both moving statistics, as `Networks` takes them."""
    empty = np.zeros(0)
    small = np.concatenate([*weights.biases, *weights.gammas, *weights.betas]).astype(dtype)
    moving = [np.concatenate([*part, empty]).astype(dtype) for part in (weights.means, weights.variances)]
    return [kernel.astype(dtype) for kernel in weights.kernels], small, moving


def _cut(vector: NDArray[Any], sizes: Sequence[int]) -> tuple[NDArray[Any], ...]:
    return tuple(np.split(vector, np.cumsum(sizes)[:-1])) if sizes else ()


def _select(is_new: Any, new: Any, old: Any) -> Any:
    return tf.where(tf.reshape(is_new, (-1, *[1] * (len(new.shape) - 1))), new, old)


def _chunks(rows: Rows) -> tuple[tf.Tensor, ...]:
    """Cut rows into equal chunks (chunks, rows, ...); the third part says which rows count."""
    n_rows = len(rows.x)
    n_chunks = -(-n_rows // EVALUATION_ROWS)
    size = -(-n_rows // n_chunks)
    n_filled = n_chunks * size - n_rows
    parts = (
        tf.pad(rows.x, [[0, n_filled], [0, 0]]),
        tf.pad(rows.y, [[0, n_filled]]),
        tf.cast(tf.range(n_chunks * size) < n_rows, rows.x.dtype),
    )
    return tuple(tf.reshape(part, (n_chunks, size, *part.shape[1:])) for part in parts)
