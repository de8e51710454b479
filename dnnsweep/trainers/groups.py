"""Groups: trials that fit into one compiled program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dnnsweep.space import Hyperparameters


@dataclass(frozen=True, slots=True)
class Group:
    """What all trials of one array have in common, because its program is compiled for it.

    All other hyperparameters may differ from slot to slot.

    Args:
        hidden: Units of each hidden layer.
        activation: Activation of the hidden layers.
        batch_size: Rows of a step.
    """

    KNOB_NAMES: ClassVar[frozenset[str]] = frozenset({"hidden", "activation", "batch_size"})

    hidden: tuple[int, ...]
    activation: str
    batch_size: int


def group_of(params: Mapping[str, Any]) -> Group:
    """Return the group that a point belongs to.

    Example:
        >>> group_of({"hidden": [8], "activation": "relu", "batch_size": 32, "dropout": 0.5})
        Group(hidden=(8,), activation='relu', batch_size=32)
    """
    hp = Hyperparameters.of(params)
    return Group(hp.hidden, hp.activation, hp.batch_size)
