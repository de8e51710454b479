"""What a trial array's program is compiled for: networks, rows, and the rules by which trials end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from dnnsweep.datasets import Dataset
from dnnsweep.records import Task
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers.array.metric_layout import MetricLayout, Monitor
from dnnsweep.trainers.groups import Group
from dnnsweep.trainers.inputs import TrainerInputs

#: Multiplications and additions of one call: fewer do not repay the host's work, more delay refills.
CALL_ARITHMETIC: Final = 5e7
MAX_EPOCHS_PER_CALL: Final = 8


@dataclass(frozen=True, slots=True)
class EarlyStoppingRule:
    """When a slot's trial ends early: `spec.EarlyStoppingSpec` for the program.

    Args:
        monitor: Metric that must improve.
        patience: Epochs without improvement before the trial ends.
        start_from_epoch: Epochs at the beginning that are not looked at.
    """

    monitor: Monitor
    patience: int
    start_from_epoch: int = 0


@dataclass(frozen=True, slots=True)
class PlateauRule:
    """When and how far a slot's learning rate is reduced: `spec.PlateauSpec` for the program.

    Args:
        monitor: Metric that must improve.
        factor: Factor that a learning rate is multiplied by.
        patience: Epochs without improvement before a reduction.
        cooldown: Epochs after a reduction that do not count.
        min_rate: Floor below which no learning rate is reduced.
    """

    monitor: Monitor
    factor: float
    patience: int
    cooldown: int
    min_rate: float


@dataclass(frozen=True, slots=True)
class ArrayConfig:
    """What a program is compiled for.

    Args:
        n_slots: K, the number of networks side by side.
        n_features: Number of inputs.
        hidden: Units of each hidden layer.
        activation: Activation of the hidden layers.
        n_outputs: Number of classes, or 1.
        batch_size: Rows of a step.
        n_rows: Number of training rows; where slots have rows of their own, the most that one may have.
        n_validation: Number of validation rows, or the most that a slot may have.
        n_epochs: Epochs of a trial.
        epochs_per_call: The most epochs that one call trains.
        layout: Metrics that an epoch measures; its task decides the output's activation and the loss.
        early_stopping: Rule of early stopping; None without it.
        plateau: Rule that reduces learning rates; None where no trial asks for it.
        is_clipped: Whether a trial may clip its gradients.
        n_scheduled_epochs: Epochs that schedules of learning rates are made for; None for those of a trial.
        has_own_rows: Whether each slot has rows of its own, because trials are trained on different splits.
        dtype: `float32`, or `float64` to compare with Keras closely.
    """

    n_slots: int
    n_features: int
    hidden: tuple[int, ...]
    activation: str
    n_outputs: int
    batch_size: int
    n_rows: int
    n_validation: int
    n_epochs: int
    epochs_per_call: int
    layout: MetricLayout
    early_stopping: EarlyStoppingRule | None = None
    plateau: PlateauRule | None = None
    is_clipped: bool = False
    n_scheduled_epochs: int | None = None
    has_own_rows: bool = False
    dtype: str = "float32"

    @property
    def task(self) -> Task:
        """Return the task of the data."""
        return self.layout.task

    @property
    def monitors(self) -> tuple[Monitor, ...]:
        """Return what the rules watch."""
        return tuple(rule.monitor for rule in (self.early_stopping, self.plateau) if rule is not None)

    def with_monitors(self, monitors: Sequence[Monitor]) -> ArrayConfig:
        """Return the configuration with other monitors, in the order of `monitors`."""
        following = iter(monitors)
        stopping, plateau = self.early_stopping, self.plateau
        return replace(
            self,
            early_stopping=None if stopping is None else replace(stopping, monitor=next(following)),
            plateau=None if plateau is None else replace(plateau, monitor=next(following)),
        )

    @property
    def n_steps(self) -> int:
        """Return the steps of an epoch, the shorter last one included."""
        return -(-self.n_rows // self.batch_size)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Return the names of the hidden layers, as `keras_models.build` gives them."""
        return tuple(f"hidden_{index}" for index in range(1, len(self.hidden) + 1))

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the units of every layer from the input on."""
        return (self.n_features, *self.hidden, self.n_outputs)


def config_of(group: Group, inputs: TrainerInputs, n_slots: int, dtype: str = "float32") -> ArrayConfig:
    """Return what the program of a group is compiled for.

    Args:
        group: What all trials of the array have in common.
        inputs: Sweep file and data.
        n_slots: Number of slots.
        dtype: Precision of all arithmetic.
    """
    sweep, rows = inputs.sweep, inputs.rows_of(group)
    data, (n_rows, n_validation) = rows.data, rows.most
    layout, n_epochs = layout_of(sweep, data), sweep.training.epochs
    return ArrayConfig(
        n_slots=n_slots,
        n_features=data.summary.n_features,
        hidden=group.hidden,
        activation=group.activation,
        n_outputs=data.n_outputs,
        batch_size=min(group.batch_size, n_rows),
        n_rows=n_rows,
        n_validation=n_validation,
        n_epochs=n_epochs if group.n_epochs is None else min(group.n_epochs, n_epochs),
        epochs_per_call=_epochs_per_call(group, data, n_slots),
        layout=layout,
        early_stopping=_early_stopping(sweep, layout) if group.n_epochs is None else None,
        plateau=_plateau(sweep, layout),
        n_scheduled_epochs=n_epochs,
        has_own_rows=rows.are_own,
        is_clipped="global_clipnorm" in sweep.space or sweep.defaults.global_clipnorm > 0,
        dtype=dtype,
    )


def layout_of(sweep: SweepSpec, data: Dataset) -> MetricLayout:
    """Return what an epoch of a sweep measures, in the units of some data."""
    return MetricLayout(
        data.summary.task,
        sweep.scores,
        has_learning_rate=sweep.plateau is not None,
        target_std=data.target_std,
        validation_variance=data.validation_variance,
    )


def monitors_of(config: ArrayConfig, sweep: SweepSpec, layout: MetricLayout) -> tuple[Monitor, ...]:
    """Return what the rules of a program watch, in the units of a layout, in the order of `ArrayConfig.monitors`."""
    rules = {"early_stopping": _early_stopping(sweep, layout), "plateau": _plateau(sweep, layout)}
    return tuple(rule.monitor for name, rule in rules.items() if rule is not None and getattr(config, name) is not None)


def _epochs_per_call(group: Group, data: Dataset, n_slots: int) -> int:
    widths = (data.summary.n_features, *group.hidden, data.n_outputs)
    per_row = sum(a * b for a, b in pairwise(widths))
    # Training goes through each row three times: forward, and backward to the weights and to the inputs.
    per_epoch = n_slots * (3 * data.summary.n_train + data.summary.n_validation) * per_row
    return max(1, min(MAX_EPOCHS_PER_CALL, round(CALL_ARITHMETIC / per_epoch)))


def _early_stopping(sweep: SweepSpec, layout: MetricLayout) -> EarlyStoppingRule | None:
    section = sweep.training.early_stopping
    if section is None:
        return None
    monitor = layout.monitor(section.monitor, section.min_delta)
    return EarlyStoppingRule(monitor, section.patience, section.start_from_epoch)


def _plateau(sweep: SweepSpec, layout: MetricLayout) -> PlateauRule | None:
    section = sweep.plateau
    if section is None:
        return None
    monitor = layout.monitor(section.monitor, section.min_delta)
    return PlateauRule(monitor, section.factor, section.patience, section.cooldown, section.min_learning_rate)
