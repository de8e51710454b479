"""The compiled program of a trial array: K networks of one shape, trained side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.trainers import dropout
from dnnsweep.trainers.array import scores
from dnnsweep.trainers.array.arithmetic import Batch, SlotKnobs, SlotNetworks
from dnnsweep.trainers.array.config import ArrayConfig
from dnnsweep.trainers.array.stopping import decide
from dnnsweep.trainers.array.types import (
    CallInputs,
    Chunks,
    EpochMetrics,
    MovingStatistics,
    NetworkWeights,
    PlateauState,
    RowFlags,
    Scalar,
    SlotCounts,
    SlotFlags,
    SlotMask,
    SlotMetrics,
    SlotProgress,
    SlotRows,
    SlotSums,
    SlotValues,
    SlotWeights,
)
from dnnsweep.trainers.array.update import scale_by_rates, take_step

#: Rows of a validation step.
EVALUATION_ROWS: Final = 2048


class Rows(NamedTuple):
    """Rows that all slots share, as TensorFlow has them.

    Args:
        x: Features (rows, features).
        y: Targets (rows,).
        weights: Weights of the rows in the loss (rows,); None where all are 1.
    """

    x: tf.Tensor
    y: tf.Tensor
    weights: tf.Tensor | None = None


class _TrainingState(NamedTuple):
    """What a step of training changes.

    Args:
        weights: Kernels (slots, inputs, units) and, last, all vectors (slots, vectors).
        m: First buffers of the optimizers, in the shapes of the weights.
        v: Second buffers of the optimizers, in the shapes of the weights.
        moving: Moving mean and variance of batch normalisation.
    """

    weights: Sequence[SlotWeights]
    m: Sequence[SlotWeights]
    v: Sequence[SlotWeights]
    moving: MovingStatistics


class _Call(NamedTuple):
    """What an epoch of a call changes.

    Args:
        epoch: Epochs of the call so far ().
        state: State of the training.
        best: Weights and moving statistics of each slot's best epoch.
        metrics: Metrics of the call so far (epochs_per_call, slots, metrics).
        progress: How far each slot's trial has come.
        end_codes: How trials ended in the last epoch (slots,).
    """

    epoch: Scalar
    state: _TrainingState
    best: Sequence[SlotWeights]
    metrics: EpochMetrics
    progress: SlotProgress
    end_codes: SlotCounts


class CallResult(NamedTuple):
    """What one call of the program returns.

    Args:
        n_epochs: Epochs trained.
        metrics: Metrics (epochs_per_call, slots, metrics), in the order of `MetricLayout.names`; zeros where no epoch
            was trained.
        progress: How far each slot's trial has come.
        end_codes: How trials ended (slots,), by `stopping.END_CODES`; 0 where they continue.
    """

    n_epochs: int
    metrics: NDArray[np.floating]
    progress: SlotProgress
    end_codes: NDArray[np.int32]


class ArrayProgram:
    """Trains up to K networks at once; compiled at the first call.

    Args:
        config: What it is compiled for.
        training: Training rows.
        validation: Validation rows.
    """

    def __init__(self, config: ArrayConfig, training: Rows, validation: Rows) -> None:
        self.config = config
        self._dtype = tf.as_dtype(config.dtype)
        self._rows = training
        self._validation = _chunks(validation)
        self._n_validation = len(validation.x)
        # Not constants, by whose reciprocals XLA would multiply: then 743 of 1,000 rows are not 0.743.
        self._n_rows = tf.Variable([len(training.x), self._n_validation], trainable=False, dtype=tf.float64)
        n_hidden, n_slots = sum(config.hidden), config.n_slots
        shapes: list[tuple[int, ...]] = [(n_slots, *pair) for pair in pairwise(config.widths)]
        shapes.append((n_slots, 3 * n_hidden + config.n_outputs))
        moving = [(n_slots, n_hidden)] * 2
        self._state = _TrainingState(*(self._variables(part) for part in (shapes, shapes, shapes, moving)))
        self._best = self._variables([*shapes, *moving])  # weights and moving statistics of each slot's best epoch
        self._knobs = SlotKnobs(*self._variables([(n_slots,)] * len(SlotKnobs._fields)))
        self._networks = SlotNetworks(config, self._knobs)
        # Not AutoGraph, which triples the time of tracing.
        self._call = tf.function(self._train_epochs, jit_compile=True, autograph=False)
        self._fill = tf.function(self._fill_slot, jit_compile=True, autograph=False)

    def _variables(self, shapes: Sequence[tuple[int, ...]]) -> list[tf.Variable]:
        return [tf.Variable(tf.zeros(shape, self._dtype), trainable=False) for shape in shapes]

    @property
    def n_bytes(self) -> int:
        """Return the memory of weights, buffers, statistics and best weights of all slots."""
        variables = [variable for part in (*self._state, self._best) for variable in part]
        return sum(int(np.prod(variable.shape)) * self._dtype.size for variable in variables)

    def start_trial(self, slot: int, weights: NetworkWeights, knobs: SlotKnobs, first_v: float) -> None:
        """Write what a trial starts from into a slot.

        Args:
            slot: Slot, from 0.
            weights: Starting weights.
            knobs: Hyperparameters of the trial.
            first_v: Value that the second buffer of the optimizer starts from.
        """
        kernels, vectors, moving = _pack(weights, self.config.dtype)
        values = np.array([*knobs, first_v], self.config.dtype)
        self._fill(tf.constant(slot), [*kernels, vectors], moving, values)

    def _fill_slot(
        self, slot: Scalar, weights: Sequence[tf.Tensor], moving: Sequence[tf.Tensor], values: tf.Tensor
    ) -> None:
        def assign(variable: tf.Variable, value: tf.Tensor) -> None:
            if 0 not in value.shape:  # without hidden layers there are no statistics
                variable.assign(tf.tensor_scatter_nd_update(variable, [[slot]], value[None]))

        *knobs, first_v = tf.unstack(values)
        m, v = [tf.zeros_like(w) for w in weights], [tf.zeros_like(w) + first_v for w in weights]
        fresh = _TrainingState(weights, m, v, moving)
        for variables, new in (*zip(self._state, fresh, strict=True), (self._knobs, knobs)):
            for variable, value in zip(variables, new, strict=True):
                assign(variable, value)

    def run(self, inputs: CallInputs, n_epochs: int, progress: SlotProgress) -> CallResult:
        """Train all slots for some epochs; stop early after an epoch in which an active trial ended.

        Args:
            inputs: Inputs of `epochs_per_call` epochs, of which the first `n_epochs` count.
            n_epochs: The most epochs to train.
            progress: Progress after the call before.
        """
        n_done, metrics, progress, end_codes = self._call(inputs, tf.constant(n_epochs), progress)
        on_host = tf.nest.map_structure(np.array, progress)
        return CallResult(int(n_done), metrics.numpy(), on_host, end_codes.numpy())

    def best_weights(self, slot: int) -> NetworkWeights:
        """Return the weights of a slot's best epoch."""
        *kernels, vectors, means, variances = [variable[slot].numpy() for variable in self._best]
        hidden, n_outputs = list(self.config.hidden), self.config.n_outputs
        n_hidden = sum(hidden)
        biases, gammas, betas = np.split(vectors, [n_hidden + n_outputs, 2 * n_hidden + n_outputs])
        of_hidden = (_split(part, hidden) for part in (gammas, betas, means, variances))
        return NetworkWeights(tuple(kernels), _split(biases, [*hidden, n_outputs]), *of_hidden)

    # What follows runs inside the compiled program.

    def _train_epochs(
        self, inputs: CallInputs, n_epochs: Scalar, progress: SlotProgress
    ) -> tuple[Scalar, EpochMetrics, SlotProgress, SlotCounts]:
        def continues(now: _Call) -> Scalar:
            return tf.logical_and(now.epoch < n_epochs, tf.reduce_all(now.end_codes == 0))

        def body(now: _Call) -> tuple[_Call]:
            state, sums = self._train_epoch(now.state, self._inputs_at(now.epoch, inputs, now.progress))
            measured = self._measure(sums, state, now.progress)  # (slots, metrics)
            metrics = tf.tensor_scatter_nd_update(now.metrics, [[now.epoch]], measured[None])
            progress, end_codes, is_best = decide(self.config, measured, now.progress)
            present = (*state.weights, *state.moving)
            best = [_select(is_best, new, old) for new, old in zip(present, now.best, strict=True)]
            return (_Call(now.epoch + 1, state, best, metrics, progress, end_codes),)

        (last,) = tf.while_loop(continues, body, (self._first(progress),))
        for variables, values in (*zip(self._state, last.state, strict=True), (self._best, last.best)):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return last.epoch, last.metrics, last.progress, last.end_codes

    def _first(self, progress: SlotProgress) -> _Call:
        config = self.config
        return _Call(
            epoch=tf.constant(0),
            state=_TrainingState(*([variable.value() for variable in part] for part in self._state)),
            best=[variable.value() for variable in self._best],
            metrics=tf.zeros((config.epochs_per_call, config.n_slots, len(config.layout.names)), tf.float64),
            progress=progress,
            end_codes=tf.zeros((config.n_slots,), tf.int32),
        )

    def _inputs_at(self, epoch: Scalar, inputs: CallInputs, progress: SlotProgress) -> CallInputs:
        """Return the inputs of an epoch of the call, at the learning rates that the epochs before it left."""
        of_epoch = inputs.at(epoch)
        if not isinstance(progress.plateau, PlateauState):
            return of_epoch
        rates = progress.plateau.rate  # (slots,)
        return of_epoch._replace(coefficients=scale_by_rates(of_epoch.coefficients, of_epoch.is_scaled, rates))

    def _train_epoch(self, state: _TrainingState, inputs: CallInputs) -> tuple[_TrainingState, SlotSums]:
        """Train one epoch; return the new state and sums over rows of loss and metric (slots, 2)."""
        config = self.config
        order, is_row = self._batches(inputs.row_orders)  # (slots, steps, batch), (steps, batch)

        def body(
            step: Scalar, state: _TrainingState, masks: Sequence[SlotMask], sums: SlotSums
        ) -> tuple[Scalar, _TrainingState, Sequence[SlotMask], SlotSums]:
            next_masks = self._draw_masks(inputs, tf.minimum(step + 1, config.n_steps - 1))
            batch = self._batch(order[:, step], None if is_row is None else is_row[step])
            learned = self._networks.learn(state.weights, state.moving, batch, masks)
            updated = take_step(state.weights, state.m, state.v, learned.gradients, inputs.coefficients[:, step])
            sums += tf.cast(learned.sums, tf.float64)
            return step + 1, _TrainingState(*updated, learned.moving), next_masks, sums

        # The masks of a step are drawn in the one before: XLA would otherwise draw them again for each of their uses.
        masks = self._draw_masks(inputs, tf.constant(0))
        start = (tf.constant(0), state, masks, tf.zeros((config.n_slots, 2), tf.float64))
        _, state, _, sums = tf.while_loop(lambda step, *_: step < config.n_steps, body, start)
        return state, sums

    def _batch(self, index: SlotRows, is_row: RowFlags | None) -> Batch:
        """Return the rows of a step by their numbers (slots, batch)."""
        return Batch(
            tf.gather(self._rows.x, index),  # (slots, batch, features)
            tf.gather(self._rows.y, index),  # (slots, batch)
            is_row,
            None if self._rows.weights is None else tf.gather(self._rows.weights, index),  # (slots, batch)
        )

    def _batches(self, order: SlotRows) -> tuple[SlotRows, RowFlags | None]:
        """Cut an epoch's order into steps (slots, steps, batch); the last one is filled up with rows that do not count.

        Returns:
            The order, and which rows count (steps, batch); None where all do.
        """
        config = self.config
        n_places = config.n_steps * config.batch_size
        filled = tf.pad(order, [[0, 0], [0, n_places - config.n_rows]])  # (slots, steps * batch)
        batches = tf.reshape(filled, (config.n_slots, config.n_steps, config.batch_size))
        if n_places == config.n_rows:
            return batches, None
        is_row = (np.arange(n_places) < config.n_rows).reshape(config.n_steps, config.batch_size)
        return batches, tf.constant(is_row, self._dtype)

    def _draw_masks(self, inputs: CallInputs, step: Scalar) -> Sequence[SlotMask]:
        n_units = [self.config.batch_size * units for units in self.config.hidden]
        return dropout.draw_masks(inputs.dropout_keys[:, step], inputs.dropout_thresholds, n_units)

    def _measure(self, sums: SlotSums, state: _TrainingState, progress: SlotProgress) -> SlotMetrics:
        """Return the metrics of an epoch (slots, metrics), in double precision: shares of rows are exact."""
        measured = dict(self._metrics(sums, state, progress))
        return tf.stack([tf.cast(measured[name], tf.float64) for name in self.config.layout.names], axis=1)

    def _metrics(
        self, sums: SlotSums, state: _TrainingState, progress: SlotProgress
    ) -> Iterator[tuple[str, SlotValues]]:
        """Yield the metrics of an epoch by name, each (slots,)."""
        config = self.config
        totals, logits = self._networks.evaluate(state.weights, state.moving, self._validation)
        training, validation = sums / self._n_rows[0], totals / self._n_rows[1]  # (slots, 2) each
        for index, name in enumerate(("loss", config.layout.metric)):
            yield name, training[:, index]
            yield f"val_{name}", validation[:, index]
        yield "l2_penalty", self._networks.penalty(state.weights)
        if config.layout.scores:
            targets = tf.reshape(self._validation[1], (-1,))[: self._n_validation]  # (rows,)
            probabilities = scores.probabilities_of(config.task, logits[:, : self._n_validation])
            yield from scores.scores(config, probabilities, targets).items()
        if isinstance(progress.plateau, PlateauState):
            yield "learning_rate", progress.plateau.rate


def _pack(
    weights: NetworkWeights, dtype: str
) -> tuple[list[NDArray[np.floating]], NDArray[np.floating], list[NDArray[np.floating]]]:
    """Return kernels, all vectors in one, and both moving statistics, as `SlotNetworks` takes them."""
    empty = np.zeros(0)  # without hidden layers there is nothing else to concatenate
    vectors = np.concatenate([*weights.biases, *weights.gammas, *weights.betas]).astype(dtype)
    moving = [np.concatenate([*part, empty]).astype(dtype) for part in (weights.means, weights.variances)]
    return [kernel.astype(dtype) for kernel in weights.kernels], vectors, moving


def _split(vector: NDArray[np.floating], sizes: Sequence[int]) -> tuple[NDArray[np.floating], ...]:
    return tuple(np.split(vector, np.cumsum(sizes)[:-1])) if sizes else ()


def _select(is_new: SlotFlags, new: SlotWeights, old: SlotWeights) -> SlotWeights:
    """Return the new weights of some slots and the old ones of all others."""
    return tf.where(tf.reshape(is_new, (-1, *[1] * (len(new.shape) - 1))), new, old)


def _chunks(rows: Rows) -> tuple[Chunks, Chunks, Chunks]:
    """Cut rows into equal chunks: features, targets, and which rows count."""
    n_rows = len(rows.x)
    n_chunks = -(-n_rows // EVALUATION_ROWS)
    size = -(-n_rows // n_chunks)
    n_filled = n_chunks * size - n_rows
    x = tf.pad(rows.x, [[0, n_filled], [0, 0]])
    y = tf.pad(rows.y, [[0, n_filled]])
    is_row = tf.cast(tf.range(n_chunks * size) < n_rows, rows.x.dtype)
    return (
        tf.reshape(x, (n_chunks, size, x.shape[1])),
        tf.reshape(y, (n_chunks, size)),
        tf.reshape(is_row, (n_chunks, size)),
    )
