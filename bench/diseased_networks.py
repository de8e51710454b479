"""Networks that a sweep file cannot describe, because their starting weights are bad on purpose."""

from __future__ import annotations

import keras


def stacked(n_features: int, n_outputs: int, activation: str, stddev: float, bias: float) -> keras.Model:
    """Return four layers of 32 units with weights of a given spread."""
    start = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=stddev),
        "bias_initializer": keras.initializers.Constant(bias),
    }
    layers = [keras.layers.Dense(32, activation=activation, **start) for _ in range(4)]
    output = keras.layers.Dense(n_outputs, activation="softmax")
    return keras.Sequential([keras.Input((n_features,)), *layers, output])
