"""Weights of one network on their way into a slot and out of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.array.types import NetworkWeights


def initial(hp: Hyperparameters, widths: Sequence[int], seed: int) -> NetworkWeights:
    """Return the weights that `keras_models.build` starts from.

    Args:
        hp: Point that names the initializer.
        widths: Inputs, units of each hidden layer, outputs.
        seed: Seed of the trial.
    """
    hidden, outputs = widths[1:-1], widths[1:]
    return NetworkWeights(
        kernels=tuple(keras_models.initial_kernels(hp, widths, seed)),
        biases=tuple(np.zeros(units, np.float32) for units in outputs),
        gammas=tuple(np.ones(units, np.float32) for units in hidden),
        betas=tuple(np.zeros(units, np.float32) for units in hidden),
        means=tuple(np.zeros(units, np.float32) for units in hidden),
        variances=tuple(np.ones(units, np.float32) for units in hidden),
    )


def keras_order(weights: NetworkWeights, *, batch_norm: bool) -> list[NDArray[np.floating]]:
    """Return weights in the order in which `set_weights` of what `keras_models.build` returns takes them.

    Args:
        weights: Weights of the network.
        batch_norm: Whether batch normalisation follows the hidden linear layers, which then have no bias.
    """
    return list(_keras_order(weights, batch_norm=batch_norm))


def _keras_order(weights: NetworkWeights, *, batch_norm: bool) -> Iterator[NDArray[np.floating]]:
    norms = zip(weights.gammas, weights.betas, weights.means, weights.variances, strict=True)
    for kernel, bias, norm in zip(weights.kernels[:-1], weights.biases[:-1], norms, strict=True):
        yield kernel
        yield from norm if batch_norm else (bias,)
    yield weights.kernels[-1]
    yield weights.biases[-1]
