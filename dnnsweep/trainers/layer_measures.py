"""What is measured of hidden layers, for any number of networks side by side: lengths, spreads, and idle units.

All numbers are of the network as it is before an epoch, on a few training rows, always the same, without dropout; batch
normalisation uses the statistics of these rows. Gradients are those of the data's loss, without the penalty and not
clipped. Only the change of the weights is that of the whole epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.records import LayerMetrics
from dnnsweep.records.metrics import four_digits

#: Rows that are looked at, by the fewest training rows for so many: a small part of the work of an epoch.
_N_ROWS: Final = ((512, 32), (0, 16))
#: Activation -> what its idle units are called, and the ranges of answers in which it passes on less than a hundredth
#: of the largest gradient. Leaky ReLU has no such range.
IDLE: Final[Mapping[str, tuple[str, tuple[tuple[float, float], ...]]]] = {
    "relu": ("dead_units", ((-math.inf, 0.0),)),
    "elu": ("dead_units", ((-math.inf, -0.99),)),
    "selu": ("dead_units", ((-math.inf, -1.7405),)),
    "gelu": ("dead_units", ((-0.005, 0.0),)),
    "silu": ("dead_units", ((-0.005, 0.0),)),
    "sigmoid": ("saturated_units", ((-math.inf, 0.0025), (0.9975, math.inf))),
    "tanh": ("saturated_units", ((-math.inf, -0.995), (0.995, math.inf))),
}
#: What is measured of each hidden layer, beside its idle units.
MEASURES: Final = ("gradient_norm", "weight_norm", "update_ratio", "activation_variance")


def rows_to_measure(n_rows: int, most_rows: int) -> NDArray[np.int32]:
    """Return the numbers of the training rows that layers are measured on, spread evenly.

    Args:
        n_rows: Number of training rows.
        most_rows: The most training rows of a split of the sweep, by which is decided on how many is measured.

    Example:
        >>> rows_to_measure(100, 100)[:4]
        array([ 0,  6, 12, 18], dtype=int32)
    """
    n_measured = n_measured_rows(most_rows)
    return np.asarray(np.arange(n_measured) * n_rows // n_measured, np.int32)


def n_measured_rows(most_rows: int) -> int:
    """Return on how many rows layers are measured where there are enough."""
    return min(most_rows, next(number for least, number in _N_ROWS if most_rows >= least))


def names_for(activation: str) -> tuple[str, ...]:
    """Return the metrics of layers with an activation, in the order in which `measures` has them.

    Example:
        >>> names_for("tanh")[-1], names_for("leaky_relu")[-1]
        ('saturated_units', 'activation_variance')
    """
    return (*MEASURES, IDLE[activation][0]) if activation in IDLE else MEASURES


def length(tensor: Any) -> Any:
    """Return the Euclidean length of a tensor (networks, ...) of each network (networks,), in double precision."""
    squares = tf.square(tf.cast(tensor, tf.float64))  # a length of 1e-25 has a square that single precision lacks
    return tf.sqrt(tf.reduce_sum(squares, axis=tuple(range(1, len(tensor.shape)))))


def spread(activations: Any) -> Any:
    """Return the variance of all activations (networks, rows, units) of a layer (networks,)."""
    return tf.math.reduce_variance(tf.cast(activations, tf.float64), axis=(1, 2))


def idle_share(activations: Any, activation: str) -> Any:
    """Return the share of the units (networks, rows, units) that are idle in all rows (networks,)."""
    _, ranges = IDLE[activation]
    is_idle = [tf.logical_and(activations >= low, activations <= high) for low, high in ranges]
    is_unit_idle = tf.reduce_all(tf.reduce_any(tf.stack(is_idle), axis=0), axis=1)  # (networks, units)
    return tf.reduce_mean(tf.cast(is_unit_idle, tf.float64), axis=1)


def by_layer(measured: Iterable[tuple[str, Sequence[str], Sequence[float]]], n_steps: int) -> LayerMetrics:
    """Return what was measured in an epoch by metric and layer, rounded to four digits.

    Args:
        measured: Each metric, the layers that it was measured in, and its value in each; the change of the weights is
            that of the whole epoch.
        n_steps: Steps of the epoch. Its change divided by them is what a step has changed on average, or less where
            steps undid each other.

    Example:
        >>> by_layer([("gradient_norm", ["hidden_1"], [0.123456]), ("update_ratio", ["hidden_1"], [0.5])], 10)
        {'gradient_norm': {'hidden_1': 0.1235}, 'update_ratio': {'hidden_1': 0.05}}
    """
    return {
        metric: dict(
            zip(layers, [four_digits(v / n_steps if metric == "update_ratio" else v) for v in values], strict=True)
        )
        for metric, layers, values in measured
        if layers
    }
