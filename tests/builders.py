"""Functions that build networks, as users write them: named by sweep files of the tests."""

from __future__ import annotations

import operator
from typing import Any

import keras
from keras import layers


def dense(units: int = 16, dropout: float = 0.3, l2: float = 1e-3, *, batch_norm: bool = True) -> keras.Model:
    """Two hidden layers for digits, with everything that a program has to get right."""
    rows = hidden = keras.Input((64,))
    for n_units in (units, 8):
        penalty = keras.regularizers.L1L2(l1=1e-5, l2=l2)
        hidden = layers.Dense(n_units, kernel_regularizer=penalty, use_bias=not batch_norm)(hidden)
        if batch_norm:
            hidden = layers.BatchNormalization()(hidden)
        hidden = layers.Dropout(dropout)(layers.Activation("relu")(hidden))
    return keras.Model(rows, layers.Dense(10, activation="softmax")(hidden))


def compiled(units: int = 4) -> keras.Model:
    """As KerasTuner asks for it."""
    network = keras.Sequential([keras.Input((64,)), layers.Dense(units, "relu"), layers.Dense(10, "softmax")])
    network.compile("sgd", "mse", ["mae"])
    return network


def nested(dropout: float = 0.2) -> keras.Model:
    """A network in a network, with dropout in both."""
    inner = keras.Sequential([keras.Input((64,)), layers.Dense(12, "tanh"), layers.Dropout(dropout)])
    return keras.Sequential(
        [keras.Input((64,)), inner, layers.Dropout(dropout / 2), layers.Dense(10, activation="softmax")]
    )


def convolutional(filters: int, dropout: float = 0.2) -> keras.Model:
    """For digits as images."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(filters, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(10, activation="softmax"),
        ]
    )


def of_dictionary(hp: dict[str, Any]) -> keras.Model:
    """Without an input layer, as Keras allows it."""
    return keras.Sequential([layers.Dense(hp["units"], "relu"), layers.Dense(10, "softmax")])


def two_inputs(units: int) -> keras.Model:
    """The upper half of the image and the lower half."""
    halves = [keras.Input((4, 8), name="upper"), keras.Input((32,), name="lower")]
    both = layers.Concatenate()([layers.Flatten()(halves[0]), halves[1]])
    return keras.Model(halves, layers.Dense(10, "softmax")(layers.Dense(units, "relu")(both)))


def named_inputs(units: int, n_outputs: int) -> keras.Model:
    """As `two_inputs`, by name."""
    halves = {name: keras.Input((32,), name=name) for name in ("b", "a")}
    hidden = layers.Dense(units, "relu")(layers.Concatenate()([halves["a"], halves["b"]]))
    return keras.Model(halves, layers.Dense(n_outputs, "softmax")(hidden))


def for_features(n_features: int) -> keras.Model:
    """Two classes from as many features as there are."""
    return keras.Sequential([keras.Input((n_features,)), layers.Dense(3, "tanh"), layers.Dense(1, "sigmoid")])


class Eager(keras.Model):  # type: ignore[misc]
    """Looks at values, which a graph does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.output_layer = layers.Dense(10, activation="softmax")

    def call(self, rows: Any) -> Any:
        """Return probabilities."""
        factor = float(rows.numpy().max() > -1e9)
        return self.output_layer(rows * factor)


def eager() -> keras.Model:
    """A network that TensorFlow cannot trace."""
    return Eager()


def own_activation() -> keras.Model:
    """A function that Keras does not know."""
    return keras.Sequential([keras.Input((64,)), layers.Dense(8, keras.ops.sin), layers.Dense(10, "softmax")])


def logits() -> keras.Model:
    """No probabilities."""
    return keras.Sequential([keras.Input((64,)), layers.Dense(10)])


def few_outputs(units: int = 3) -> keras.Model:
    """Too few classes."""
    return keras.Sequential([keras.Input((64,)), layers.Dense(units, "softmax")])


def other_columns() -> keras.Model:
    """For other data."""
    return keras.Sequential([keras.Input((7,)), layers.Dense(10, "softmax")])


def two_outputs() -> keras.Model:
    """More answers than one."""
    rows = keras.Input((64,))
    return keras.Model(rows, [layers.Dense(10, "softmax")(rows), layers.Dense(1)(rows)])


def nothing() -> None:
    """Forgets to return the network."""
    operator.add(1, 1)


def broken() -> keras.Model:
    """Cannot be built."""
    raise RuntimeError("out of ideas")


def needy(units: int, depth: int) -> keras.Model:
    """Asks for what nobody gives."""
    hidden = [layers.Dense(units) for _ in range(depth)]
    return keras.Sequential([keras.Input((64,)), *hidden, layers.Dense(10, "softmax")])


NOT_A_FUNCTION = 3
