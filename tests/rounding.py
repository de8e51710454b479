"""Where rounding decides what a network learns, step by step.

The derivative of ReLU, leaky ReLU and SELU jumps at 0. Where the input of such an activation is nearer to 0 than its
rounding error, a run in single precision may take the derivative of the other side: from then on it trains another
network than the run in double precision.

A gradient that is 0 is rounding error and nothing else in single precision: that of a column that does not vary in the
batch, under batch normalisation. Optimizers that divide by the size of gradients make steps of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from dnnsweep.records import Suggestion
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers.array import optimizers, weights
from dnnsweep.trainers.array.arithmetic import Batch, SlotKnobs, SlotNetworks
from dnnsweep.trainers.array.config import config_of
from dnnsweep.trainers.array.program import _pack
from dnnsweep.trainers.array.update import take_step
from dnnsweep.trainers.groups import group_of
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.shuffling import row_order

#: Activation -> what it is on either side of its kink: for inputs above 0, and for others.
SIDES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "relu": (lambda z: z, lambda z: z * 0),
    "leaky_relu": (lambda z: z, lambda z: z * 0.2),
    "selu": (lambda z: z * 1.05070098, lambda z: 1.05070098 * 1.67326324 * (tf.exp(tf.minimum(z, z * 0)) - 1)),
}


#: Gradients below this share of the largest are 0 in double precision, in which rounding gives 1e-16.
NOTHING = 1e-13


@dataclass(frozen=True)
class Flip:
    """The first input of an activation that is on another side of 0 in single than in double precision."""

    step: int
    layer: int
    in_single: float
    in_double: float


@dataclass(frozen=True)
class Parting:
    """How a trial in single precision parts from the same one in double precision.

    Args:
        first_flip: The first flip; None if there is none.
        own_error: Largest relative error of a tensor of weights at the end.
        error_if_told: The same where the side of each kink is that of the run in double precision, and gradients that
            are 0 in that run are 0.
    """

    first_flip: Flip | None
    own_error: float
    error_if_told: float


class Told(NamedTuple):
    """What a run in double precision tells one in single precision in a step.

    Args:
        sides: Whether each unit of each row is above 0, for each hidden layer.
        zeros: Which gradients are 0, for each tensor of weights.
    """

    sides: Sequence[Any] = ()
    zeros: Sequence[Any] = ()


class Course:
    """A trial in one precision, step by step, by the arithmetic of trial arrays."""

    def __init__(self, material: TrainerInputs, item: Suggestion, dtype: str, *, is_told: bool = False) -> None:
        self._hp, self._data, self._dtype = Hyperparameters.of(item.params), material.data, dtype
        config = config_of(group_of(item.params), material, 1, dtype)
        knobs = (float(self._hp.batch_norm), 0.0, float(np.float32(self._hp.l2)), 0.0)
        self._networks = SlotNetworks(config, SlotKnobs(*(tf.constant([knob], dtype) for knob in knobs)))
        kernels, vectors, moving = _pack(weights.initial(self._hp, config.widths, item.seed), dtype)
        self.weights = [tf.constant(part[None]) for part in (*kernels, vectors)]
        first_v = optimizers.UPDATE_RULES[self._hp.optimizer].first_v
        self._m = [tf.zeros_like(part) for part in self.weights]
        self._v = [tf.zeros_like(part) + first_v for part in self.weights]
        self._moving = [tf.constant(part[None]) for part in moving]
        self.inputs: Sequence[Any] = ()
        self.gradients: Sequence[Any] = ()
        self._step = tf.function(self._traced, jit_compile=True, autograph=False)
        self._activation, self._is_told = self._networks._activation, is_told

    def _traced(self, state: Any, batch: Any, coefficients: Any, told: Told) -> Any:
        seen: list[Any] = []

        def activation(z: Any) -> Any:
            seen.append(z)
            if not self._is_told:
                return self._activation(z)
            above, below = SIDES[self._hp.activation]
            return tf.where(told.sides[len(seen) - 1], above(z), below(z))

        self._networks._activation = activation
        own_weights, m, v, moving = state
        (x, y), masks = batch, None
        learned = self._networks.learn(own_weights, moving, Batch(x, y, None, None), masks)  # type: ignore[arg-type]
        gradients = learned.gradients
        if self._is_told:
            gradients = [tf.where(flags, 0 * g, g) for g, flags in zip(gradients, told.zeros, strict=True)]
        return (*take_step(own_weights, m, v, gradients, coefficients), learned.moving), seen, gradients

    def take_step(self, step: int, rows: Any, told: Told = Told()) -> None:  # noqa: B008  it is frozen
        """Take a step on some rows.

        Args:
            step: Number of steps before.
            rows: Numbers of the rows.
            told: What the run in double precision knows of the step.
        """
        x, y = self._data.x_train[rows][None].astype(self._dtype), self._data.y_train[rows][None]
        batch = (tf.constant(x), tf.constant(y.astype(self._dtype) if y.dtype.kind == "f" else y))
        rate, name = self._hp.learning_rate, self._hp.optimizer
        coefficients = tf.constant(optimizers.coefficients(name, rate, step, 1, self._dtype))
        state = (self.weights, self._m, self._v, self._moving)
        state, self.inputs, self.gradients = self._step(state, batch, coefficients, told)
        self.weights, self._m, self._v, self._moving = state

    def told(self) -> Told:
        """Return what this run decided in its last step."""
        zeros = [tf.abs(g) < NOTHING * tf.reduce_max(tf.abs(g)) for g in self.gradients]
        return Told([z > 0 for z in self.inputs], zeros)


def parting_of(material: TrainerInputs, item: Suggestion) -> Parting:
    """Train a trial in both precisions, and in single precision with what rounding would decide given.

    Args:
        material: Sweep file and data.
        item: Trial with an activation of `SIDES`, without dropout, clipping and schedule.
    """
    reference, own = Course(material, item, "float64"), Course(material, item, "float32")
    told = Course(material, item, "float32", is_told=True)
    first_flip: Flip | None = None
    for step, rows in enumerate(batches(material, item)):
        reference.take_step(step, rows)
        own.take_step(step, rows)
        told.take_step(step, rows, reference.told())
        first_flip = first_flip or flip(step, own.inputs, reference.inputs)
    return Parting(first_flip, error(own, reference), error(told, reference))


def batches(material: TrainerInputs, item: Suggestion) -> Iterator[Any]:
    size, n_rows = Hyperparameters.of(item.params).batch_size, material.data.summary.n_train
    for epoch in range(1, material.sweep.training.epochs + 1):
        order = row_order(item.seed, epoch, n_rows)
        yield from (order[start : start + size] for start in range(0, n_rows, size))


def flip(step: int, single: Sequence[Any], double: Sequence[Any]) -> Flip | None:
    for layer, (a, b) in enumerate(zip(single, double, strict=True)):
        places = np.argwhere((a.numpy() > 0) != (b.numpy() > 0))
        if len(places):
            place = tuple(places[0])
            return Flip(step, layer, float(a.numpy()[place]), float(b.numpy()[place]))
    return None


def error(course: Course, reference: Course) -> float:
    pairs = zip(course.weights, reference.weights, strict=True)
    return max(float(np.linalg.norm(a.numpy() - b.numpy()) / np.linalg.norm(b.numpy())) for a, b in pairs)
