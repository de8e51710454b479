"""K dense networks side by side, as tensors with a leading slot axis: outputs, losses, gradients, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import keras
import tensorflow as tf

from dnnsweep.records import Task
from dnnsweep.trainers import dropout, layer_measures
from dnnsweep.trainers.array.config import ArrayConfig
from dnnsweep.trainers.array.types import (
    Chunks,
    MovingStatistics,
    RowFlags,
    Scalar,
    SlotFeatures,
    SlotFlags,
    SlotKernel,
    SlotLogits,
    SlotMask,
    SlotRows,
    SlotRowUnits,
    SlotSums,
    SlotUnitRow,
    SlotUnits,
    SlotValues,
    SlotVectors,
    SlotWeights,
)

#: Momentum of the moving statistics and epsilon of Keras's BatchNormalization.
_MOMENTUM: Final = 0.99
_EPSILON: Final = 1e-3


class SlotKnobs(NamedTuple):
    """The hyperparameters that differ from slot to slot while the program stays the same (slots,).

    They have the names of `space.Hyperparameters` and are in the precision of the weights. In `SlotKnobs` of one trial
    each is a number.

    Args:
        batch_norm: 1 with batch normalisation, 0 without: the mask that chooses between the two.
        dropout: Share of the units that are dropped.
        l2: Factor of the squared kernels.
        global_clipnorm: Norm that all gradients together may have; 0 for no limit.
    """

    batch_norm: SlotValues
    dropout: SlotValues
    l2: SlotValues
    global_clipnorm: SlotValues


class Batch(NamedTuple):
    """The rows of one training step.

    Args:
        x: Features (slots, batch, features).
        y: Targets (slots, batch).
        is_row: Which rows count (batch,) or (slots, batch), 1 or 0; None where all do.
        weights: Weights of the rows in the loss (slots, batch); None where all are 1.
    """

    x: SlotFeatures
    y: SlotRows
    is_row: RowFlags | None
    weights: SlotRows | None


class Learned(NamedTuple):
    """What one training step computes.

    Args:
        gradients: Gradients of the loss and the L2 term, in the shapes of the weights.
        moving: Moving mean and variance after the step.
        sums: Sums of the loss and of the metric over the rows (slots, 2).
    """

    gradients: Sequence[SlotWeights]
    moving: MovingStatistics
    sums: SlotSums


class _Passed(NamedTuple):
    """What a forward pass computes.

    Args:
        logits: Logits (slots, rows, outputs).
        statistics: Mean and variance of hidden units over the batch (slots, hidden); None without hidden layers.
        activations: What each hidden layer answers before dropout, (slots, rows, units) each.
    """

    logits: SlotLogits
    statistics: Sequence[SlotUnits] | None
    activations: Sequence[SlotRowUnits]


class _Vectors(NamedTuple):
    """Biases, scales and shifts of all layers, each (slots, 1, units)."""

    biases: Sequence[SlotUnitRow]
    gammas: Sequence[SlotUnitRow]
    betas: Sequence[SlotUnitRow]


class SlotNetworks:
    """The arithmetic of all slots; what Keras does for one network, to the last term.

    Weights are a list of kernels (slots, inputs, units) and, last, one tensor (slots, vectors) that holds all biases,
    then the scales and then the shifts of batch normalisation: few large tensors are traced and updated sooner than
    many small ones. Moving statistics are a pair (slots, units of all hidden layers).

    Args:
        config: What the program is compiled for.
        knobs: What differs from slot to slot.
    """

    def __init__(self, config: ArrayConfig, knobs: SlotKnobs) -> None:
        self._config = config
        self._knobs = knobs
        self._dtype = tf.as_dtype(config.dtype)
        self._activation = keras.activations.get(config.activation)

    def learn(
        self,
        weights: Sequence[SlotWeights],
        moving: MovingStatistics,
        batch: Batch,
        masks: Sequence[SlotMask],
    ) -> Learned:
        """Return what one step of training computes.

        Args:
            weights: Weights of all slots.
            moving: Moving mean and variance.
            batch: Rows of the step.
            masks: Dropout masks of the hidden layers, from `dropout.draw_masks`.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            logits, statistics, _ = self._forward(weights, batch.x, masks, batch.is_row)
            losses = self._losses(logits, batch.y)  # (slots, batch)
            weighted = losses if batch.weights is None else losses * batch.weights
            total = _mean(weighted, batch.is_row, axis=1)  # (slots,)
        gradients = tape.gradient(total, weights)
        l2 = self._knobs.l2[:, None, None]  # (slots, 1, 1)
        penalised = [g + 2 * l2 * w for g, w in zip(gradients[:-1], weights[:-1], strict=True)]  # kernels alone
        if statistics is not None:
            # Not old * 0.99 + new * 0.01: rounded to single precision, these factors do not add up to 1.
            share = _is_step(batch.is_row) * tf.constant(1 - _MOMENTUM, self._dtype)
            # 2 x (slots, hidden units); a list as before the step, for a loop that is not compiled compares types.
            moving = [old + (new - old) * share for old, new in zip(moving, statistics, strict=True)]
        counted = tf.stack([losses, self._metric(logits, batch.y)], axis=-1)  # (slots, batch, 2)
        counted = counted if batch.is_row is None else counted * batch.is_row[..., None]
        return Learned(self._clip([*penalised, gradients[-1]]), moving, tf.reduce_sum(counted, axis=1))

    def _clip(self, gradients: Sequence[SlotWeights]) -> Sequence[SlotWeights]:
        """Shorten the gradients of slots in which they are longer, all together, than they may be."""
        if not self._config.is_clipped:
            return gradients
        squares = [tf.reduce_sum(tf.square(g), axis=tuple(range(1, len(g.shape)))) for g in gradients]  # (slots,) each
        norm, clip = tf.sqrt(tf.add_n(squares)), self._knobs.global_clipnorm  # (slots,)
        scale = tf.where((clip > 0) & (norm > clip), clip / norm, tf.ones_like(norm))  # (slots,)
        return [g * tf.reshape(scale, (-1, *[1] * (len(g.shape) - 1))) for g in gradients]

    def evaluate(
        self, weights: Sequence[SlotWeights], moving: MovingStatistics, validation: tuple[Chunks, Chunks, Chunks]
    ) -> tuple[SlotSums, SlotLogits]:
        """Return sums of loss and metric over all validation rows (slots, 2), and the logits (slots, rows, outputs).

        The logits are empty unless a sweep asks for scores.

        Args:
            weights: Weights of all slots.
            moving: Moving mean and variance.
            validation: Features (chunks, rows, features), targets (chunks, rows), and which rows count (chunks, rows);
                or with the slots as second axis.
        """
        config, (n_chunks, *_, n_rows) = self._config, validation[1].shape
        has_scores, n_slots = bool(config.layout.scores), config.n_slots

        def body(chunk: Scalar, total: SlotSums, seen: SlotLogits) -> tuple[Scalar, SlotSums, SlotLogits]:
            x, y, is_row = (part[chunk] for part in validation)  # (rows, features), (rows,), (rows,), or of slots
            logits = self._forward(weights, x, moving=moving).logits  # (slots, rows, outputs)
            y = tf.broadcast_to(y, (n_slots, n_rows))  # (slots, rows)
            counted = tf.stack([self._losses(logits, y), self._metric(logits, y)], axis=-1)  # (slots, rows, 2)
            total += tf.cast(tf.reduce_sum(counted * is_row[..., None], axis=1), tf.float64)
            return chunk + 1, total, tf.tensor_scatter_nd_update(seen, [[chunk]], logits[None]) if has_scores else seen

        room = (n_chunks, n_slots, n_rows, config.n_outputs) if has_scores else (0,)
        start = (tf.constant(0), tf.zeros((n_slots, 2), tf.float64), tf.zeros(room, self._dtype))
        _, total, seen = tf.while_loop(lambda chunk, *_: chunk < n_chunks, body, start)
        if has_scores:
            seen = tf.reshape(tf.transpose(seen, (1, 0, 2, 3)), (n_slots, n_chunks * n_rows, config.n_outputs))
        return total, seen

    def measure_layers(self, weights: Sequence[SlotWeights], batch: Batch) -> dict[str, list[SlotValues]]:
        """Return what `layer_measures` names of each hidden layer but its update, (slots,) each.

        Args:
            weights: Weights of all slots.
            batch: Rows to measure on, all of which count.
        """
        kernels = weights[:-2]  # those of hidden layers
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels)
            logits, _, activations = self._forward(weights, batch.x)
            losses = self._losses(logits, batch.y)  # (slots, rows)
            total = tf.reduce_mean(losses if batch.weights is None else losses * batch.weights, axis=1)  # (slots,)
        measured = {
            "gradient_norm": list(map(layer_measures.length, tape.gradient(total, kernels))),
            "weight_norm": list(map(layer_measures.length, kernels)),
            "activation_variance": list(map(layer_measures.spread, activations)),
        }
        activation = self._config.activation
        if activation in layer_measures.IDLE:
            shares = [layer_measures.idle_share(h, activation) for h in activations]
            measured[layer_measures.IDLE[activation][0]] = shares
        return measured

    def penalty(self, weights: Sequence[SlotWeights]) -> SlotValues:
        """Return the L2 term (slots,)."""
        squares = tf.add_n([tf.reduce_sum(tf.square(kernel), axis=(1, 2)) for kernel in weights[:-1]])  # (slots,)
        return tf.math.multiply_no_nan(squares, self._knobs.l2)  # 0 without an L2 term, whatever the weights became

    def _forward(
        self,
        weights: Sequence[SlotWeights],
        x: SlotFeatures,
        masks: Sequence[SlotMask] | None = None,
        is_row: RowFlags | None = None,
        moving: MovingStatistics | None = None,
    ) -> _Passed:
        """Return what a forward pass computes; with moving statistics it is that of evaluation."""
        kernels, vectors = weights[:-1], self._split_vectors(weights[-1])
        fixed = None if moving is None else [self._split_layers(part) for part in moving]
        h, statistics, activations = x, [], []
        for layer, units in enumerate(self._config.hidden):
            z = _product(h, kernels[layer])  # (slots, rows, units)
            mean, variance = _moments(z, is_row) if fixed is None else (fixed[0][layer], fixed[1][layer])
            statistics.append((mean[:, 0], variance[:, 0]))  # (slots, units) each
            h = self._activation(self._shift(z, mean, variance, *(part[layer] for part in vectors)))
            activations.append(h)
            if masks is not None:
                is_kept = dropout.unpack_mask(masks[layer], self._config.batch_size, units)  # (slots, rows, units)
                h = self._drop(h, is_kept)
        logits = _product(h, kernels[-1]) + vectors.biases[-1]
        batch = [tf.concat(part, axis=-1) for part in zip(*statistics, strict=True)] or None
        return _Passed(logits, batch, activations)

    def _split_vectors(self, small: SlotVectors) -> _Vectors:
        """Return biases, scales and shifts, each a list (slots, 1, units) over layers."""
        hidden = list(self._config.hidden)
        parts = tf.split(small[:, None, :], [*hidden, self._config.n_outputs, *hidden, *hidden], axis=-1)
        n = len(hidden)
        return _Vectors(parts[: n + 1], parts[n + 1 : 2 * n + 1], parts[2 * n + 1 :])

    def _split_layers(self, vector: SlotUnits) -> Sequence[SlotUnitRow]:
        hidden = list(self._config.hidden)
        return tf.split(vector[:, None, :], hidden, axis=-1) if hidden else []  # (slots, 1, units) each

    def _shift(  # noqa: PLR0913, PLR0917  the four vectors of a layer beside what they act on
        self,
        z: SlotRowUnits,
        mean: SlotUnitRow,
        variance: SlotUnitRow,
        bias: SlotUnitRow,
        gamma: SlotUnitRow,
        beta: SlotUnitRow,
    ) -> SlotRowUnits:
        """Normalise where a slot has batch normalisation, which shifts by itself; add the bias elsewhere."""
        scale = tf.math.rsqrt(variance + tf.constant(_EPSILON, self._dtype)) * gamma  # (slots, 1, units)
        has_norm = self._knobs.batch_norm[:, None, None] > 0  # (slots, 1, 1)
        return tf.where(has_norm, z * scale + (beta - mean * scale), z + bias)

    def _drop(self, h: SlotRowUnits, is_kept: SlotFlags) -> SlotRowUnits:
        scale = 1 / (1 - self._knobs.dropout)  # (slots,)
        return tf.where(is_kept, h * scale[:, None, None], tf.zeros((), self._dtype))

    def _losses(self, logits: SlotLogits, y: SlotRows) -> SlotRows:
        """Return the loss of each row (slots, rows)."""
        if self._config.task is Task.REGRESSION:
            return tf.square(logits[..., 0] - y)
        if self._config.task is Task.BINARY:
            return tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(y, self._dtype), logits=logits[..., 0])
        # Without the largest logit, so that no exponential overflows.
        shifted = logits - tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True))
        is_label = tf.range(self._config.n_outputs, dtype=y.dtype) == y[..., None]  # (slots, rows, outputs)
        at_label = tf.reduce_sum(tf.where(is_label, shifted, tf.zeros((), self._dtype)), axis=-1)  # (slots, rows)
        return tf.math.log(tf.reduce_sum(tf.exp(shifted), axis=-1)) - at_label

    def _metric(self, logits: SlotLogits, y: SlotRows) -> SlotRows:
        """Return what is averaged to accuracy or mean absolute error (slots, rows)."""
        if self._config.task is Task.REGRESSION:
            return tf.abs(logits[..., 0] - y)
        if self._config.task is Task.BINARY:
            return tf.cast((tf.sigmoid(logits[..., 0]) > 0.5) == (y > 0), self._dtype)
        # Not argmax, which XLA does not vectorise: the first of the largest.
        is_top = logits == tf.reduce_max(logits, axis=-1, keepdims=True)  # (slots, rows, outputs)
        label = tf.range(self._config.n_outputs, dtype=y.dtype)  # (outputs,)
        top = tf.reduce_min(tf.where(is_top, label, self._config.n_outputs), axis=-1)  # (slots, rows)
        return tf.cast(top == y, self._dtype)


def _product(x: SlotFeatures, kernel: SlotKernel) -> SlotRowUnits:
    """Multiply rows (slots, rows, inputs) by kernels (slots, inputs, units); rows without slots are shared by all."""
    return tf.einsum("vf,kfu->kvu", x, kernel) if len(x.shape) == 2 else tf.matmul(x, kernel)


def _mean(values: SlotRowUnits, is_row: RowFlags | None, axis: int) -> SlotUnits:
    """Return the mean over the rows that count."""
    if is_row is None:
        return tf.reduce_mean(values, axis=axis)
    n_rows = tf.reduce_sum(is_row, axis=-1, keepdims=True)
    if _is_per_slot(is_row):
        n_rows = tf.maximum(n_rows, tf.ones((), n_rows.dtype))  # in a step that the trial of a slot has no rows for
    weight = tf.reshape(is_row / n_rows, (*is_row.shape, *[1] * (len(values.shape) - axis - 1)))  # (rows, 1, ...)
    return tf.reduce_sum(values * weight, axis=axis)


def _is_per_slot(is_row: RowFlags | None) -> bool:
    return is_row is not None and len(is_row.shape) == 2


def _is_step(is_row: RowFlags | None) -> SlotUnits:
    """Return 1 where the trial of a slot takes a step and 0 where it has no rows for one (slots, 1); 1 for all."""
    return tf.reduce_max(is_row, axis=1, keepdims=True) if _is_per_slot(is_row) else 1


def _moments(z: SlotRowUnits, is_row: RowFlags | None) -> tuple[SlotUnitRow, SlotUnitRow]:
    """Return mean and variance over the rows that count (slots, 1, units)."""
    mean = _mean(z, is_row, axis=1)[:, None]
    variance = _mean(tf.math.squared_difference(z, tf.stop_gradient(mean)), is_row, axis=1)[:, None]
    return mean, variance
