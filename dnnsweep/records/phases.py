"""What a run of a sweep is doing."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """What a run is doing, in the order in which it does it."""

    STARTING = "starting trainers"
    LOADING = "loading data"
    COMPILING = "compiling"
    TRAINING = "training"
    MEASURING = "measuring noise"
    CONFIRMING = "confirming the best"
    COMPARING = "measuring effects"
    CURING = "trying cures"
    RETRAINING = "retraining the winner"
    DELIVERING = "delivering to MLflow"
