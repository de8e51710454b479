"""Keras's callbacks as a listing makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dnnsweep.exports.formatting import call
from dnnsweep.spec import PlateauSpec


def early_stopping(rule: Mapping[str, Any], watched: Sequence[str], min_delta: str) -> list[str]:
    """Return the lines that make the callback.

    Args:
        rule: Of the sweep file.
        watched: The arguments that say what it watches.
        min_delta: In units of that.
    """
    patience = rule["patience"]
    epochs = "the first epoch" if patience <= 1 else f"{patience} epochs in a row"
    arguments = [
        *watched,
        f"patience={patience}",
        f"min_delta={min_delta}",
        "restore_best_weights=True",
        *([f"start_from_epoch={rule['start_from_epoch']}"] if rule.get("start_from_epoch") else []),
    ]
    why = f"# Stop after {epochs} without improvement and go back to the best weights."
    return [why, call("early_stopping = keras.callbacks.EarlyStopping", *arguments)]


def reduce_on_plateau(rule: PlateauSpec, watched: Sequence[str], min_delta: str) -> list[str]:
    """Return the lines that make the callback.

    Args:
        rule: Of the sweep file.
        watched: The arguments that say what it watches.
        min_delta: In units of that.
    """
    epochs = "each epoch" if rule.patience <= 1 else f"{rule.patience} epochs in a row"
    arguments = [
        *watched,
        f"factor={rule.factor}",
        f"patience={rule.patience}",
        f"min_delta={min_delta}",
        *([f"cooldown={rule.cooldown}"] if rule.cooldown else []),
        *([f"min_lr={rule.min_learning_rate}"] if rule.min_learning_rate else []),
    ]
    why = f"# Lower the learning rate after {epochs} without improvement."
    return [why, call("reduce_on_plateau = keras.callbacks.ReduceLROnPlateau", *arguments)]
