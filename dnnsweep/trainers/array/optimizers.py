"""Optimizers in trial arrays: what tells them apart is a row of coefficients for each step of one update.

    m' = m + (cm * g - dm * m)
    v' = v + (cv * g**2 - dv * v)
    d  = nm * m' + ng * g
    w' = w * (1 - decay) - d / (sqrt(v' * sv + inside) + outside) - signed * sign(d)

with the gradient `g`, two buffers `m` and `v`, and the weights `w`. SGD and its momenta keep `v` at 1; `signed` is 0
for all but Lion. A buffer that averages has dm = cm or dv = cv, the same number in any precision. Written as
0.999 * v + 0.001 * g**2 it would drift in single precision, in which the two factors do not add up to 1.

The compiled program computes it in `update`; here are the coefficients, without TensorFlow, because the choice of a
trainer asks which optimizers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dnnsweep.space import OPTIMIZERS

#: The coefficients of a step, in the order in which they are stored.
COEFFICIENTS: Final = ("dm", "cm", "dv", "cv", "nm", "ng", "sv", "inside", "outside", "decay", "signed")

_EPSILON: Final = 1e-7
_BETA_1: Final = 0.9
_BETA_2: Final = 0.999
_RHO: Final = 0.9
# Keras rounds these to single precision before it casts them to that of the weights.
_MOMENTUM: Final = float(np.float32(OPTIMIZERS["momentum"].options["momentum"]))
_ROUNDED_BETA_1: Final = float(np.float32(_BETA_1))
_ROUNDED_BETA_2: Final = float(np.float32(_BETA_2))
_WEIGHT_DECAY: Final = float(np.float32(0.004))
_SCHEDULE_DECAY: Final = 0.96
_ROUNDED_SCHEDULE_DECAY: Final = float(np.float32(_SCHEDULE_DECAY))
_FIRST_ACCUMULATOR: Final = float(np.float32(0.1))
_LION_BETA_1: Final = float(np.float32(0.9))
_LION_BETA_2: Final = float(np.float32(0.99))

Steps = NDArray[np.floating]  # (steps,), counted from 1, in the precision of the weights
Columns = dict[str, NDArray[np.floating] | float]  # coefficient -> (steps,), or one value for all steps


def _sgd(_: Steps) -> Columns:
    return {"sv": 1.0, "ng": 1.0}


def _momentum(_: Steps) -> Columns:
    return {"sv": 1.0, "dm": 1 - _MOMENTUM, "cm": -1.0, "nm": -1.0}


def _nesterov(_: Steps) -> Columns:
    return {"sv": 1.0, "dm": 1 - _MOMENTUM, "cm": -1.0, "nm": -_MOMENTUM, "ng": 1.0}


def _rmsprop(_: Steps) -> Columns:
    return {"dv": 1 - _RHO, "cv": 1 - _RHO, "sv": 1.0, "ng": 1.0, "inside": _EPSILON}


def _adagrad(_: Steps) -> Columns:
    return {"cv": 1.0, "sv": 1.0, "ng": 1.0, "inside": _EPSILON}


def _moments(beta_1: float, beta_2: float) -> Columns:
    return {"dm": 1 - beta_1, "cm": 1 - beta_1, "dv": 1 - beta_2, "cv": 1 - beta_2, "outside": _EPSILON}


def _adam(step: Steps) -> Columns:
    one = step.dtype.type(1)
    beta_1, beta_2 = step.dtype.type(_ROUNDED_BETA_1), step.dtype.type(_ROUNDED_BETA_2)
    correction = np.sqrt(one - beta_2**step) / (one - beta_1**step)  # (steps,)
    return {**_moments(_BETA_1, _BETA_2), "sv": 1.0, "nm": correction}


def _adamw(step: Steps) -> Columns:
    return {**_adam(step), "decay": _WEIGHT_DECAY}


def _nadam(step: Steps) -> Columns:
    one = step.dtype.type(1)
    beta_1, beta_2 = _ROUNDED_BETA_1, _ROUNDED_BETA_2
    now, following = (_nadam_momentum(at, beta_1, _ROUNDED_SCHEDULE_DECAY) for at in (step, step + one))  # (steps,)
    # The product runs over all steps since the first, of which only the last are asked for.
    since_start = _nadam_momentum(np.arange(1, step[-1] + one).astype(step.dtype), _BETA_1, _SCHEDULE_DECAY)
    product = np.cumprod(since_start, dtype=step.dtype)[-len(step) :]  # (steps,)
    return {
        **_moments(beta_1, beta_2),
        "sv": one / (one - step.dtype.type(beta_2) ** step),
        "nm": following / (one - product * following),
        "ng": (one - now) / (one - product),
    }


def _nadam_momentum(step: Steps, beta_1: float, decay: float) -> NDArray[np.floating]:
    kind = step.dtype.type
    return np.asarray(kind(beta_1) * (kind(1) - kind(0.5) * kind(decay) ** step), step.dtype)  # (steps,)


def _lion(_: Steps) -> Columns:
    # Keras takes the sign of beta_1 * m + (1 - beta_1) * g, with `m` before the step; this is the same from m' and g.
    by_m = _LION_BETA_1 / _LION_BETA_2
    by_g = 1 - _LION_BETA_1 - by_m * (1 - _LION_BETA_2)
    # Nothing is left of a step that is divided by infinity: the sign is all that moves a weight.
    direction: Columns = {"nm": by_m, "ng": by_g, "outside": np.inf, "signed": 1.0}
    return {"dm": 1 - _LION_BETA_2, "cm": 1 - _LION_BETA_2, **direction}


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """How one optimizer fills in the coefficients.

    Args:
        columns: Function that returns the coefficients of steps at a learning rate of 1; those it leaves out are 0.
        first_v: Value that the buffer `v` starts from.
        scaled: Coefficients that are proportional to the learning rate.
    """

    columns: Callable[[Steps], Columns]
    first_v: float = 0.0
    scaled: tuple[str, ...] = ("nm", "ng", "decay")


_WITH_MOMENTUM: Final = ("cm", "ng")  # `m` holds steps that were multiplied by the learning rate of their time

#: Optimizer -> its update rule. A sweep with an optimizer that has none here is trained by `fit`.
UPDATE_RULES: Final[Mapping[str, UpdateRule]] = {
    "sgd": UpdateRule(_sgd, first_v=1.0),
    "momentum": UpdateRule(_momentum, first_v=1.0, scaled=_WITH_MOMENTUM),
    "nesterov": UpdateRule(_nesterov, first_v=1.0, scaled=_WITH_MOMENTUM),
    "rmsprop": UpdateRule(_rmsprop),
    "adagrad": UpdateRule(_adagrad, first_v=_FIRST_ACCUMULATOR),
    "adam": UpdateRule(_adam),
    "adamw": UpdateRule(_adamw),
    "nadam": UpdateRule(_nadam),
    "lion": UpdateRule(_lion, scaled=("signed",)),
}


def coefficients(
    optimizer: str,
    learning_rate: float | NDArray[np.floating],
    first_step: int,
    n_steps: int,
    dtype: DTypeLike = np.float32,
) -> NDArray[np.floating]:
    """Return the coefficients of consecutive steps.

    They are computed in the precision in which Keras computes them, because its bias corrections lose digits there.

    Args:
        optimizer: Name in `UPDATE_RULES`. Keras's defaults hold: momentum 0.9, betas 0.9 and 0.999, RMSprop's rho 0.9,
            AdamW's weight decay 0.004, epsilon 1e-7, Lion's betas 0.9 and 0.99.
        learning_rate: Learning rate of all steps, or of each (n_steps,); >= 0.
        first_step: Number of steps taken before, >= 0.
        n_steps: Number of steps, >= 1.
        dtype: Precision of the weights.

    Returns:
        Array (n_steps, coefficients), columns as in `COEFFICIENTS`.

    References:
        Kingma & Ba, Adam, 2015. Dozat, Incorporating Nesterov momentum into Adam, 2016. Loshchilov & Hutter, Decoupled
        weight decay regularization, 2019. Duchi et al., Adaptive subgradient methods, 2011. Chen et al., Symbolic
        discovery of optimization algorithms, 2023.
    """
    table = _at_rate_one(optimizer, first_step, n_steps, np.dtype(dtype)).copy()  # (steps, coefficients)
    table[:, is_scaled(optimizer)] *= np.asarray(learning_rate, dtype).reshape(-1, 1)  # (steps, 1) or (1, 1)
    return table


def no_step(dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
    """Return the coefficients (coefficients,) that leave weights and buffers as they are."""
    return np.array([float(name == "outside") for name in COEFFICIENTS], dtype)


def is_scaled(optimizer: str) -> NDArray[np.bool_]:
    """Return which coefficients are proportional to the learning rate (coefficients,)."""
    return np.isin(COEFFICIENTS, UPDATE_RULES[optimizer].scaled)


@lru_cache(maxsize=4096)
def _at_rate_one(optimizer: str, first_step: int, n_steps: int, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    step = np.arange(first_step + 1, first_step + n_steps + 1).astype(dtype)  # (steps,)
    columns = UPDATE_RULES[optimizer].columns(step)
    table = np.zeros((n_steps, len(COEFFICIENTS)), dtype)  # (steps, coefficients)
    for index, name in enumerate(COEFFICIENTS):
        table[:, index] = columns.get(name, 0.0)
    return table
