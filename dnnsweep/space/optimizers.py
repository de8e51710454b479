"""The optimizers, each once: its name in a sweep file, its class in Keras, and why one would choose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer that a sweep file can name.

    Args:
        name: Name in the sweep file.
        keras_class: Name of the class in `keras.optimizers`.
        why: What it does, in one sentence; exported code quotes it.
        options: Keyword arguments of the class other than the learning rate. Keras's defaults hold for all others.
    """

    name: str
    keras_class: str
    why: str
    options: Mapping[str, Any] = field(default_factory=dict)


#: Adding a line makes an optimizer known to sweep files, `fit` and exported code. It is trained in trial arrays once
#: `trainers.array.optimizers` has its update rule, and by `fit` until then.
OPTIMIZERS: Final[Mapping[str, Optimizer]] = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer("sgd", "SGD", "Plain stochastic gradient descent."),
        Optimizer("momentum", "SGD", "Momentum keeps moving in the direction of earlier steps.", {"momentum": 0.9}),
        Optimizer(
            "nesterov",
            "SGD",
            "Nesterov momentum measures the gradient a step ahead.",
            {"momentum": 0.9, "nesterov": True},
        ),
        Optimizer("rmsprop", "RMSprop", "RMSprop divides steps by the size of recent gradients."),
        Optimizer("adagrad", "Adagrad", "Adagrad divides steps by the size of all gradients so far."),
        Optimizer("adam", "Adam", "Adam: momentum, and steps divided by the size of recent gradients."),
        Optimizer("adamw", "AdamW", "AdamW is Adam with weight decay (0.004) apart from the gradients."),
        Optimizer("nadam", "Nadam", "Nadam is Adam with Nesterov momentum."),
        Optimizer("lion", "Lion", "Lion moves each weight by the learning rate, along the sign of its momentum."),
    )
}
