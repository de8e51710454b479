"""Weights of one network on their way into a slot and out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.array.types import Weights


def initial(hp: Hyperparameters, widths: Sequence[int], seed: int) -> Weights:
    """Return the weights that `keras_models.build` would start from.

    Args:
        hp: The point.
        widths: Inputs, units of each hidden layer, outputs.
        seed: The trial's.
    """
    hidden, outputs = widths[1:-1], widths[1:]
    return Weights(
        kernels=tuple(keras_models.initial_kernels(hp, widths, seed)),
        biases=tuple(np.zeros(units, np.float32) for units in outputs),
        gammas=tuple(np.ones(units, np.float32) for units in hidden),
        betas=tuple(np.zeros(units, np.float32) for units in hidden),
        means=tuple(np.zeros(units, np.float32) for units in hidden),
        variances=tuple(np.ones(units, np.float32) for units in hidden),
    )


def keras_order(weights: Weights, *, has_norm: bool) -> list[NDArray[Any]]:
    """Return weights as `set_weights` of the network that `keras_models.build` makes takes them."""
    return list(_keras_order(weights, has_norm=has_norm))


def _keras_order(weights: Weights, *, has_norm: bool) -> Iterator[NDArray[Any]]:
    norms = zip(weights.gammas, weights.betas, weights.means, weights.variances, strict=True)
    for kernel, bias, norm in zip(weights.kernels[:-1], weights.biases[:-1], norms, strict=True):
        yield kernel
        yield from norm if has_norm else (bias,)
    yield weights.kernels[-1]
    yield weights.biases[-1]
