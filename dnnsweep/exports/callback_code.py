"""The part of a listing that creates Keras's callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dnnsweep.exports.formatting import call
from dnnsweep.spec import PlateauSpec


def early_stopping(rule: Mapping[str, Any], monitor: Sequence[str], min_delta: str) -> list[str]:
    """Return the lines that create the callback for early stopping.

    Args:
        rule: Section of the sweep file.
        monitor: Arguments that name the monitored metric.
        min_delta: Code of the smallest improvement, in the metric's units.
    """
    patience = rule["patience"]
    epochs = "the first epoch" if patience <= 1 else f"{patience} epochs in a row"
    arguments = [
        *monitor,
        f"patience={patience}",
        f"min_delta={min_delta}",
        "restore_best_weights=True",
        *([f"start_from_epoch={rule['start_from_epoch']}"] if rule.get("start_from_epoch") else []),
    ]
    why = f"# Stop after {epochs} without improvement and restore the best weights."
    return [why, call("early_stopping = keras.callbacks.EarlyStopping", *arguments)]


def reduce_on_plateau(rule: PlateauSpec, monitor: Sequence[str], min_delta: str) -> list[str]:
    """Return the lines that create the callback for a learning rate reduced on plateaus.

    Args:
        rule: Section of the sweep file.
        monitor: Arguments that name the monitored metric.
        min_delta: Code of the smallest improvement, in the metric's units.
    """
    epochs = "each epoch" if rule.patience <= 1 else f"{rule.patience} epochs in a row"
    arguments = [
        *monitor,
        f"factor={rule.factor}",
        f"patience={rule.patience}",
        f"min_delta={min_delta}",
        *([f"cooldown={rule.cooldown}"] if rule.cooldown else []),
        *([f"min_lr={rule.min_learning_rate}"] if rule.min_learning_rate else []),
    ]
    why = f"# Lower the learning rate after {epochs} without improvement."
    return [why, call("reduce_on_plateau = keras.callbacks.ReduceLROnPlateau", *arguments)]
