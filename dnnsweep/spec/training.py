"""The section `training` of a sweep file: how long a trial trains, and at which learning rates."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from dnnsweep.records import CLASS_SCORES, Task, metrics_for, scores_for
from dnnsweep.spec.base import Section, Whole, is_unused

METRICS: Final = tuple(dict.fromkeys(metric for task in Task for metric in (*metrics_for(task), *scores_for(task))))
Metric = Annotated[str, Field(json_schema_extra={"enum": list(METRICS)})]  # which of them, the task decides


class EarlyStoppingSpec(Section):
    """When a trial's own curve counts as flat, as in Keras's EarlyStopping with restored best weights."""

    monitor: Metric = "val_loss"
    patience: Whole = Field(default=5, ge=0, description="epochs without improvement before stopping")
    min_delta: float = Field(default=0.0, ge=0, description="smallest change that counts as an improvement")
    start_from_epoch: Whole = Field(
        default=0, exclude_if=is_unused, ge=0, description="epochs at the beginning that are ignored"
    )


class PlateauSpec(Section):
    """When and how far a learning rate is reduced, as in Keras's ReduceLROnPlateau and with its defaults."""

    monitor: Metric = "val_loss"
    factor: float = Field(default=0.1, gt=0, lt=1, description="factor that the learning rate is multiplied by")
    patience: Whole = Field(default=10, ge=0, description="epochs without improvement before a reduction")
    min_delta: float = Field(default=1e-4, ge=0, description="smallest change that counts as an improvement")
    cooldown: Whole = Field(default=0, ge=0, description="epochs after a reduction that do not count towards patience")
    min_learning_rate: float = Field(default=0.0, ge=0, description="lower bound of the learning rate")


class TrainingSpec(Section):
    """How long a trial trains."""

    epochs: Whole = Field(default=50, ge=1, le=1_000_000)
    metrics: Annotated[tuple[Metric, ...], Field(strict=False)] = Field(
        default=(),
        exclude_if=is_unused,
        description=f"scores to measure beside objective and monitor: {', '.join(CLASS_SCORES)}",
    )
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="a trial that trains longer ends as `timeout` after its epoch; null: no limit"
    )
    early_stopping: EarlyStoppingSpec | None = Field(
        default=EarlyStoppingSpec(), description="null trains all epochs and keeps the last one's weights"
    )
    reduce_on_plateau: PlateauSpec | None = Field(
        default=None,
        exclude_if=is_unused,
        description="settings of the schedule of this name, which becomes the default if they are given",
    )
