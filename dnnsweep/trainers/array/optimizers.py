"""One update rule for all optimizers: what tells them apart is a row of coefficients for each step.

    m' = am * m + cm * g
    v' = av * v + cv * g**2
    w' = w * (1 - decay) - (nm * m' + ng * g) / (sqrt(v' * sv + inside) + outside)

with the gradient `g`, two buffers `m` and `v`, and the weights `w`. SGD and its momenta keep `v` at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike, NDArray

#: The coefficients of a step, in the order in which they are stored.
COEFFICIENTS: Final = ("am", "cm", "av", "cv", "nm", "ng", "sv", "inside", "outside", "decay")
#: What `v` starts from; 0 for all others.
FIRST_V: Final[Mapping[str, float]] = {"sgd": 1.0, "momentum": 1.0, "nesterov": 1.0, "adagrad": float(np.float32(0.1))}

_EPSILON: Final = 1e-7
_BETA_1: Final = 0.9
_BETA_2: Final = 0.999
_RHO: Final = 0.9
# Keras rounds these to single precision before it casts them to that of the weights.
_MOMENTUM: Final = float(np.float32(0.9))
_ROUNDED_BETA_1: Final = float(np.float32(_BETA_1))
_ROUNDED_BETA_2: Final = float(np.float32(_BETA_2))
_WEIGHT_DECAY: Final = float(np.float32(0.004))
_SCHEDULE_DECAY: Final = 0.96
_ROUNDED_SCHEDULE_DECAY: Final = float(np.float32(_SCHEDULE_DECAY))
_PER_RATE: Final[Mapping[str, tuple[str, ...]]] = {"momentum": ("cm", "ng"), "nesterov": ("cm", "ng")}

Columns = dict[str, NDArray[np.floating] | float]


def coefficients(
    optimizer: str,
    learning_rate: float | NDArray[np.floating],
    first_step: int,
    n_steps: int,
    dtype: DTypeLike = np.float32,
) -> NDArray[np.floating]:
    """Return the coefficients of consecutive steps.

    They are computed in the precision in which Keras computes them, for its bias corrections lose digits there.

    Args:
        optimizer: One of `space.OPTIMIZERS`, with Keras's defaults: momentum 0.9, betas 0.9 and 0.999, RMSprop's rho
            0.9, AdamW's weight decay 0.004, epsilon 1e-7.
        learning_rate: Of all steps, or of each (n_steps,); >= 0.
        first_step: Steps taken before, >= 0.
        n_steps: Steps, >= 1.
        dtype: Of the weights.

    Returns:
        Array (n_steps, 10), columns as in `COEFFICIENTS`.

    References:
        Kingma & Ba, Adam, 2015. Dozat, Incorporating Nesterov momentum into Adam, 2016. Loshchilov & Hutter, Decoupled
        weight decay regularization, 2019. Duchi et al., Adaptive subgradient methods, 2011.
    """
    table = _at_rate_one(optimizer, first_step, n_steps, np.dtype(dtype)).copy()
    table[:, is_scaled(optimizer)] *= np.asarray(learning_rate, dtype).reshape(-1, 1)
    return table


def is_scaled(optimizer: str) -> NDArray[np.bool_]:
    """Return which coefficients grow with the learning rate (10,), and with nothing else that changes."""
    return np.isin(COEFFICIENTS, _PER_RATE.get(optimizer, ("nm", "ng", "decay")))


def at_rates(coefficients: Any, is_scaled: Any, rates: Any) -> Any:
    """Return coefficients that were made for a learning rate of 1, for those of the slots.

    A learning rate that changes acts as in Keras: buffers keep what earlier ones put into them.

    Args:
        coefficients: Of an epoch (slots, steps, 10).
        is_scaled: Which of them grow with it (slots, 10); none in slots to be left as they are.
        rates: Learning rates (slots,).
    """
    return tf.where(is_scaled[:, None, :], coefficients * rates[:, None, None], coefficients)


@lru_cache(maxsize=4096)
def _at_rate_one(optimizer: str, first_step: int, n_steps: int, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    step = np.arange(first_step + 1, first_step + n_steps + 1).astype(dtype)
    columns = _COLUMNS[optimizer](step)
    table = np.zeros((n_steps, len(COEFFICIENTS)), dtype)  # (steps, coefficients)
    for index, name in enumerate(COEFFICIENTS):
        table[:, index] = columns.get(name, 0.0)
    return table


def _sgd(_: NDArray[np.floating]) -> Columns:
    return {"av": 1.0, "sv": 1.0, "ng": 1.0}


def _momentum(_: NDArray[np.floating]) -> Columns:
    return {"av": 1.0, "sv": 1.0, "am": _MOMENTUM, "cm": -1.0, "nm": -1.0}


def _nesterov(_: NDArray[np.floating]) -> Columns:
    return {"av": 1.0, "sv": 1.0, "am": _MOMENTUM, "cm": -1.0, "nm": -_MOMENTUM, "ng": 1.0}


def _rmsprop(_: NDArray[np.floating]) -> Columns:
    return {"av": _RHO, "cv": 1 - _RHO, "sv": 1.0, "ng": 1.0, "inside": _EPSILON}


def _adagrad(_: NDArray[np.floating]) -> Columns:
    return {"av": 1.0, "cv": 1.0, "sv": 1.0, "ng": 1.0, "inside": _EPSILON}


def _moments(beta_1: float, beta_2: float) -> Columns:
    return {"am": beta_1, "cm": 1 - beta_1, "av": beta_2, "cv": 1 - beta_2, "outside": _EPSILON}


def _adam(step: NDArray[np.floating]) -> Columns:
    one = step.dtype.type(1)
    beta_1, beta_2 = step.dtype.type(_ROUNDED_BETA_1), step.dtype.type(_ROUNDED_BETA_2)
    return {**_moments(_BETA_1, _BETA_2), "sv": 1.0, "nm": np.sqrt(one - beta_2**step) / (one - beta_1**step)}


def _adamw(step: NDArray[np.floating]) -> Columns:
    return {**_adam(step), "decay": _WEIGHT_DECAY}


def _nadam(step: NDArray[np.floating]) -> Columns:
    one = step.dtype.type(1)
    beta_1, beta_2 = _ROUNDED_BETA_1, _ROUNDED_BETA_2
    now, following = (_nadam_momentum(at, beta_1, _ROUNDED_SCHEDULE_DECAY) for at in (step, step + one))
    since_start = _nadam_momentum(np.arange(1, step[-1] + one).astype(step.dtype), _BETA_1, _SCHEDULE_DECAY)
    product = np.cumprod(since_start, dtype=step.dtype)[-len(step) :]
    return {
        **_moments(beta_1, beta_2),
        "sv": one / (one - step.dtype.type(beta_2) ** step),
        "nm": following / (one - product * following),
        "ng": (one - now) / (one - product),
    }


def _nadam_momentum(step: NDArray[np.floating], beta_1: float, decay: float) -> NDArray[np.floating]:
    kind = step.dtype.type
    return np.asarray(kind(beta_1) * (kind(1) - kind(0.5) * kind(decay) ** step), step.dtype)


_COLUMNS: Final[Mapping[str, Callable[[NDArray[np.floating]], Columns]]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adam": _adam,
    "adamw": _adamw,
    "nadam": _nadam,
}


def update(weights: Any, m: Any, v: Any, gradients: Any, coefficients: Any) -> tuple[Any, Any, Any]:
    """Apply the rule to all weights of all slots; return weights and both buffers.

    Args:
        weights: Tensors (slots, ...).
        m: As many, of the same shapes.
        v: Likewise.
        gradients: Likewise.
        coefficients: Of this step (slots, 10).
    """
    stepped = [_stepped(*four, coefficients) for four in zip(weights, m, v, gradients, strict=True)]
    new_weights, new_m, new_v = (list(part) for part in zip(*stepped, strict=True))
    return new_weights, new_m, new_v


def _stepped(w: Any, m: Any, v: Any, g: Any, coefficients: Any) -> tuple[Any, Any, Any]:
    shape = (w.shape[0], *[1] * (len(w.shape) - 1), len(COEFFICIENTS))
    c = dict(zip(COEFFICIENTS, tf.unstack(tf.reshape(coefficients, shape), axis=-1), strict=True))
    new_m = c["am"] * m + c["cm"] * g
    new_v = c["av"] * v + c["cv"] * tf.square(g)
    change = (c["nm"] * new_m + c["ng"] * g) / (tf.sqrt(new_v * c["sv"] + c["inside"]) + c["outside"])
    return w - w * c["decay"] - change, new_m, new_v
