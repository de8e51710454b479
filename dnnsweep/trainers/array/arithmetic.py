"""K dense networks side by side, as tensors with a leading slot axis: outputs, losses, gradients, statistics."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import keras
import tensorflow as tf

from dnnsweep.records import Task
from dnnsweep.trainers import dropout
from dnnsweep.trainers.array.types import Shape

#: Of Keras's BatchNormalization.
_MOMENTUM: Final = 0.99
_EPSILON: Final = 1e-3


class Knobs(NamedTuple):
    """What differs from slot to slot (slots,), in the precision of the weights.

    Args:
        has_norm: 1 with batch normalisation, 0 without.
        rate: Of dropout.
        l2: Factor of the squared kernels.
        clip: The norm that all gradients together may have; 0 for any.
    """

    has_norm: Any
    rate: Any
    l2: Any
    clip: Any


class Networks:
    """The arithmetic of all slots; what Keras does for one network, to the last term.

    Weights are a list of kernels (slots, inputs, units) and, last, one tensor (slots, vectors) that holds all biases,
    then the scales and then the shifts of batch normalisation: few large tensors are traced and updated sooner than
    many small ones. Moving statistics are a pair (slots, units of all hidden layers).

    Args:
        shape: Of the networks.
        knobs: What differs from slot to slot.
    """

    def __init__(self, shape: Shape, knobs: Knobs) -> None:
        self._shape = shape
        self._knobs = knobs
        self._dtype = tf.as_dtype(shape.dtype)
        self._activation = keras.activations.get(shape.activation)

    def learn(self, weights: Any, moving: Any, rows: Any, masks: Any) -> Any:
        """Return gradients, moved statistics, and sums of loss and metric over the rows (slots, 2) of one step.

        Args:
            weights: Of all slots.
            moving: Moving mean and variance.
            rows: Features (slots, batch, features), targets (slots, batch), which rows count (batch,), 1 or 0, None
                where all do, and what they count in the loss (slots, batch), None where it is 1.
            masks: From `dropout.draw`.
        """
        x, y, is_row, factors = rows
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            logits, batch = self._forward(weights, x, masks, is_row)
            losses = self._losses(logits, y)  # (slots, batch)
            total = _mean(losses if factors is None else losses * factors, is_row, axis=1)
        gradients = tape.gradient(total, weights)
        l2 = self._knobs.l2[:, None, None]
        penalised = [g + 2 * l2 * w for g, w in zip(gradients[:-1], weights[:-1], strict=True)]
        if batch is not None:
            kept = tf.constant(_MOMENTUM, self._dtype)
            moving = tuple(old * kept + new * (1 - kept) for old, new in zip(moving, batch, strict=True))
        counted = tf.stack([losses, self._metric(logits, y)], axis=-1)
        counted = counted if is_row is None else counted * is_row[:, None]
        return self._clipped([*penalised, gradients[-1]]), moving, tf.reduce_sum(counted, axis=1)

    def _clipped(self, gradients: Any) -> Any:
        """Shorten the gradients of slots in which they are longer, all together, than they may be."""
        if not self._shape.is_clipped:
            return gradients
        squares = [tf.reduce_sum(tf.square(g), axis=tuple(range(1, len(g.shape)))) for g in gradients]
        norm, clip = tf.sqrt(tf.add_n(squares)), self._knobs.clip
        scale = tf.where((clip > 0) & (norm > clip), clip / norm, tf.ones_like(norm))
        return [g * tf.reshape(scale, (-1, *[1] * (len(g.shape) - 1))) for g in gradients]

    def measure(self, weights: Any, moving: Any, validation: Any) -> Any:
        """Return sums of loss and metric over all validation rows (slots, 2), and the logits (slots, rows, outputs).

        The logits are there only where scores are wanted of them.

        Args:
            weights: Of all slots.
            moving: Moving mean and variance.
            validation: Features (chunks, rows, features), targets (chunks, rows), and which rows count.
        """
        shape, (n_chunks, n_rows) = self._shape, validation[0].shape[:2]

        def body(chunk: Any, total: Any, seen: Any) -> Any:
            x, y, is_row = (part[chunk] for part in validation)
            logits, _ = self._forward(weights, x, moving=moving)
            y = y[None] + tf.zeros((self._shape.slots, 1), y.dtype)
            counted = tf.stack([self._losses(logits, y), self._metric(logits, y)], axis=-1)
            total += tf.reduce_sum(counted * is_row[:, None], axis=1)
            return (
                chunk + 1,
                total,
                tf.tensor_scatter_nd_update(seen, [[chunk]], logits[None]) if shape.scores else seen,
            )

        room = (n_chunks, shape.slots, n_rows, shape.n_outputs) if shape.scores else (0,)
        start = (tf.constant(0), tf.zeros((shape.slots, 2), self._dtype), tf.zeros(room, self._dtype))
        _, total, seen = tf.while_loop(lambda chunk, *_: chunk < n_chunks, body, start)
        if shape.scores:
            seen = tf.reshape(tf.transpose(seen, (1, 0, 2, 3)), (shape.slots, n_chunks * n_rows, shape.n_outputs))
        return total, seen

    def penalty(self, weights: Any) -> Any:
        """Return the L2 term (slots,)."""
        squares = tf.add_n([tf.reduce_sum(tf.square(kernel), axis=(1, 2)) for kernel in weights[:-1]])
        return tf.math.multiply_no_nan(squares, self._knobs.l2)  # without one it is 0, whatever the weights became

    def _forward(self, weights: Any, x: Any, masks: Any = None, is_row: Any = None, moving: Any = None) -> Any:
        """Return logits (slots, rows, outputs), and mean and variance of hidden units over the batch (slots, hidden).

        With moving statistics it is the forward pass of evaluation.
        """
        kernels, vectors = weights[:-1], self._vectors(weights[-1])
        fixed = None if moving is None else [self._layers(part) for part in moving]
        h, statistics = x, []
        for layer, units in enumerate(self._shape.hidden):
            z = _product(h, kernels[layer])
            mean, variance = _moments(z, is_row) if fixed is None else (fixed[0][layer], fixed[1][layer])
            statistics.append((mean[:, 0], variance[:, 0]))
            h = self._activation(self._shifted(z, mean, variance, *(part[layer] for part in vectors)))
            if masks is not None:
                h = self._dropped(h, dropout.kept(masks[layer], self._shape.batch_size, units))
        logits = _product(h, kernels[-1]) + vectors[0][-1]
        batch = [tf.concat(part, axis=-1) for part in zip(*statistics, strict=True)] or None
        return logits, batch

    def _vectors(self, small: Any) -> Any:
        """Return biases, scales and shifts, each a list (slots, 1, units) over layers."""
        hidden = list(self._shape.hidden)
        parts = tf.split(small[:, None, :], [*hidden, self._shape.n_outputs, *hidden, *hidden], axis=-1)
        n = len(hidden)
        return parts[: n + 1], parts[n + 1 : 2 * n + 1], parts[2 * n + 1 :]

    def _layers(self, vector: Any) -> Any:
        hidden = list(self._shape.hidden)
        return tf.split(vector[:, None, :], hidden, axis=-1) if hidden else []

    def _shifted(self, z: Any, mean: Any, variance: Any, bias: Any, gamma: Any, beta: Any) -> Any:  # noqa: PLR0913, PLR0917
        """Normalise where a slot has batch normalisation, which shifts by itself; add the bias elsewhere."""
        scale = tf.math.rsqrt(variance + tf.constant(_EPSILON, self._dtype)) * gamma
        return tf.where(self._knobs.has_norm[:, None, None] > 0, z * scale + (beta - mean * scale), z + bias)

    def _dropped(self, h: Any, is_kept: Any) -> Any:
        scale = 1 / (1 - self._knobs.rate)
        return tf.where(is_kept, h * scale[:, None, None], tf.zeros((), self._dtype))

    def _losses(self, logits: Any, y: Any) -> Any:
        """Return the loss of each row (slots, rows)."""
        if self._shape.task is Task.REGRESSION:
            return tf.square(logits[..., 0] - y)
        if self._shape.task is Task.BINARY:
            return tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(y, self._dtype), logits=logits[..., 0])
        shifted = logits - tf.stop_gradient(tf.reduce_max(logits, axis=-1, keepdims=True))
        is_label = tf.range(self._shape.n_outputs, dtype=y.dtype) == y[..., None]
        at_label = tf.reduce_sum(tf.where(is_label, shifted, tf.zeros((), self._dtype)), axis=-1)
        return tf.math.log(tf.reduce_sum(tf.exp(shifted), axis=-1)) - at_label

    def _metric(self, logits: Any, y: Any) -> Any:
        """Return what is averaged to accuracy or mean absolute error (slots, rows)."""
        if self._shape.task is Task.REGRESSION:
            return tf.abs(logits[..., 0] - y)
        if self._shape.task is Task.BINARY:
            return tf.cast((tf.sigmoid(logits[..., 0]) > 0.5) == (y > 0), self._dtype)
        # Not argmax, which XLA does not vectorise: the first of the largest.
        is_top = logits == tf.reduce_max(logits, axis=-1, keepdims=True)
        label = tf.range(self._shape.n_outputs, dtype=y.dtype)
        top = tf.reduce_min(tf.where(is_top, label, self._shape.n_outputs), axis=-1)
        return tf.cast(top == y, self._dtype)


def _product(x: Any, kernel: Any) -> Any:
    """Multiply rows (slots, rows, inputs) by kernels (slots, inputs, units); rows without slots are shared by all."""
    return tf.einsum("vf,kfu->kvu", x, kernel) if len(x.shape) == 2 else tf.matmul(x, kernel)


def _mean(values: Any, is_row: Any, axis: int) -> Any:
    """Return the mean over the rows that count."""
    if is_row is None:
        return tf.reduce_mean(values, axis=axis)
    weight = tf.reshape(is_row / tf.reduce_sum(is_row), (-1, *[1] * (len(values.shape) - axis - 1)))
    return tf.reduce_sum(values * weight, axis=axis)


def _moments(z: Any, is_row: Any) -> Any:
    """Return mean and variance over the rows that count (slots, 1, units)."""
    mean = _mean(z, is_row, axis=1)[:, None]
    variance = _mean(tf.math.squared_difference(z, tf.stop_gradient(mean)), is_row, axis=1)[:, None]
    return mean, variance
