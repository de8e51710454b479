"""The initializers of kernels, each once: its name in a sweep file, its class in Keras, and why one would choose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Initializer:
    """An initializer that a sweep file can name.

    Args:
        name: Name in the sweep file, by which Keras knows it as well.
        keras_class: Name of the class in `keras.initializers`; it takes a seed.
        why: What it does, in one sentence; exported code quotes it.
    """

    name: str
    keras_class: str
    why: str


_GLOROT: Final = "Glorot (Xavier) initialization keeps the signals' and the gradients' variance."
_HE: Final = "He initialization makes up for the half of the signal that ReLU cuts off."
_LECUN: Final = "LeCun initialization keeps the signals' variance from layer to layer."
_ORTHOGONAL: Final = "Orthogonal initialization keeps the length of signals in linear layers."

#: Adding a line makes an initializer known to sweep files, all trainers and exported code.
INITIALIZERS: Final[Mapping[str, Initializer]] = {
    initializer.name: initializer
    for initializer in (
        Initializer("glorot_uniform", "GlorotUniform", _GLOROT),
        Initializer("glorot_normal", "GlorotNormal", _GLOROT),
        Initializer("he_uniform", "HeUniform", _HE),
        Initializer("he_normal", "HeNormal", _HE),
        Initializer("lecun_uniform", "LecunUniform", _LECUN),
        Initializer("lecun_normal", "LecunNormal", _LECUN),
        Initializer("orthogonal", "Orthogonal", _ORTHOGONAL),
    )
}
