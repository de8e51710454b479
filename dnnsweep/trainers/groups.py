"""Groups: trials that fit into one compiled program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from dnnsweep.records import Suggestion
from dnnsweep.space import Hyperparameters

#: Memory for the rows of an array whose trials are trained on different splits, and which each slot holds for itself.
OWN_ROWS_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Group:
    """What all trials of one array have in common, because its program is compiled for it.

    All other hyperparameters may differ from slot to slot.

    Args:
        hidden: Units of each hidden layer.
        activation: Activation of the hidden layers.
        batch_size: Rows of a step.
        is_in_blocks: Whether these are repeats in blocks, which have rows of their own.
        n_epochs: Epochs of retrainings on all development rows; None if they are none.
    """

    KNOB_NAMES: ClassVar[frozenset[str]] = frozenset({"hidden", "activation", "batch_size"})

    hidden: tuple[int, ...]
    activation: str
    batch_size: int
    is_in_blocks: bool = False
    n_epochs: int | None = None

    @property
    def is_repeated(self) -> bool:
        """Return whether these are no trials, but repeats of configurations."""
        return self.is_in_blocks or self.n_epochs is not None


def group_for(suggestion: Suggestion) -> Group:
    """Return the group that a suggestion belongs to.

    Repeats are no neighbours of trials: their rows are others, and retrainings are as long as the suggestion says.
    """
    retraining, is_in_blocks = suggestion.retraining, suggestion.block is not None
    n_epochs = None if retraining is None else retraining.n_epochs
    return replace(group_of(suggestion.params), is_in_blocks=is_in_blocks and n_epochs is None, n_epochs=n_epochs)


def max_own_slots(n_rows: int, n_features: int) -> int:
    """Return the most slots that may each hold rows of their own.

    Args:
        n_rows: The most training and validation rows of a slot.
        n_features: Number of inputs.
    """
    return max(1, OWN_ROWS_BYTES // (4 * n_rows * n_features))


def group_of(params: Mapping[str, Any]) -> Group:
    """Return the group that the trials of a point belong to.

    Example:
        >>> group_of({"hidden": [8], "activation": "relu", "batch_size": 32, "dropout": 0.5})
        Group(hidden=(8,), activation='relu', batch_size=32, is_in_blocks=False, n_epochs=None)
    """
    hp = Hyperparameters.of(params)
    return Group(hp.hidden, hp.activation, hp.batch_size)
