"""Settings of Keras that would change what `fit` and builders compute, but not what arrays do."""

from __future__ import annotations

import sys
from typing import Any, Final

from dnnsweep.errors import TrainerError

#: What Keras computes with unless `~/.keras/keras.json` or a program says something else.
FLOATX: Final = "float32"
EPSILON: Final = 1e-7


def use_defaults(keras: Any) -> None:
    """Undo what `~/.keras/keras.json` and the environment say, in a process that loads Keras for dnnsweep alone.

    Args:
        keras: The module.
    """
    keras.config.set_floatx(FLOATX)
    keras.config.set_epsilon(EPSILON)
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


def check_defaults() -> None:
    """Check the settings of a process that may have loaded Keras before; they are not ours to change.

    Raises:
        TrainerError: They are others.
    """
    keras = sys.modules.get("keras")
    if keras is None:
        return
    floatx, epsilon = keras.config.floatx(), keras.config.epsilon()
    if (floatx, epsilon) != (FLOATX, EPSILON):
        raise TrainerError(
            f"Keras must compute in {FLOATX} with epsilon {EPSILON:g} where executor is inprocess, "
            f"got {floatx} and {epsilon:g}; call keras.config.set_floatx('{FLOATX}') and "
            f"keras.config.set_epsilon({EPSILON:g}), or leave out the executor"
        )
