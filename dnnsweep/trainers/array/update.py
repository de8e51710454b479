"""One step of every slot's optimizer, inside the compiled program: the update that `optimizers` describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from dnnsweep.trainers.array.optimizers import COEFFICIENTS
from dnnsweep.trainers.array.types import SlotCoefficients, SlotFlags, SlotStepCoefficients, SlotValues, SlotWeights


class Updated(NamedTuple):
    """Weights and both buffers after a step.

    Args:
        weights: Weights, one tensor (slots, ...) each.
        m: First buffers, in the shapes of the weights.
        v: Second buffers, in the shapes of the weights.
    """

    weights: Sequence[SlotWeights]
    m: Sequence[SlotWeights]
    v: Sequence[SlotWeights]


def scale_by_rates(coefficients: SlotStepCoefficients, is_scaled: SlotFlags, rates: SlotValues) -> SlotStepCoefficients:
    """Return coefficients that were made for a learning rate of 1, at the learning rates of the slots.

    A learning rate that changes acts as in Keras: buffers keep what earlier ones put into them.

    Args:
        coefficients: Coefficients of an epoch (slots, steps, coefficients).
        is_scaled: Whether each is proportional to the slot's learning rate (slots, coefficients); all False in slots
            whose coefficients hold the learning rate already.
        rates: Learning rates (slots,).
    """
    return tf.where(is_scaled[:, None, :], coefficients * rates[:, None, None], coefficients)  # (slots, steps, c)


def take_step(
    weights: Sequence[SlotWeights],
    m: Sequence[SlotWeights],
    v: Sequence[SlotWeights],
    gradients: Sequence[SlotWeights],
    coefficients: SlotCoefficients,
) -> Updated:
    """Return all weights of all slots, and both buffers, after one step.

    Args:
        weights: Weights, one tensor (slots, ...) each.
        m: First buffers, in the shapes of the weights.
        v: Second buffers, in the shapes of the weights.
        gradients: Gradients of the loss, in the shapes of the weights.
        coefficients: Coefficients of this step (slots, coefficients).
    """
    steps = [_step(*tensors, coefficients) for tensors in zip(weights, m, v, gradients, strict=True)]
    return Updated(*(list(part) for part in zip(*steps, strict=True)))


def _step(
    w: SlotWeights, m: SlotWeights, v: SlotWeights, g: SlotWeights, coefficients: SlotCoefficients
) -> tuple[SlotWeights, SlotWeights, SlotWeights]:
    shape = (w.shape[0], *[1] * (len(w.shape) - 1), len(COEFFICIENTS))  # (slots, 1, ..., coefficients)
    c = dict(zip(COEFFICIENTS, tf.unstack(tf.reshape(coefficients, shape), axis=-1), strict=True))
    new_m = m + (c["cm"] * g - c["dm"] * m)
    new_v = v + (c["cv"] * tf.square(g) - c["dv"] * v)
    d = c["nm"] * new_m + c["ng"] * g
    change = d / (tf.sqrt(new_v * c["sv"] + c["inside"]) + c["outside"]) + c["signed"] * tf.sign(d)
    return w - w * c["decay"] - change, new_m, new_v
