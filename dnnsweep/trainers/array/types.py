"""What a trial array's program is compiled for, what it is fed with, and what it keeps of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from dnnsweep.records import Task


@dataclass(frozen=True, slots=True)
class PlateauRule:
    """When and how far the learning rates of slots are reduced: `spec.PlateauSpec` for the program.

    Args:
        monitor: Index in `Shape.measured` of what must improve.
        scale: What turns it into its own units,
        offset: and is added to it then.
        is_maximized: Whether more of it is better.
        min_delta: What an improvement must exceed.
        factor: What a learning rate is multiplied by.
        patience: Epochs without improvement before that.
        cooldown: Epochs after that which do not count.
        min_rate: Learning rates are not reduced below this.
    """

    monitor: int
    scale: float
    offset: float
    is_maximized: bool
    min_delta: float
    factor: float
    patience: int
    cooldown: int
    min_rate: float


@dataclass(frozen=True, slots=True)
class Shape:
    """What a program is compiled for.

    Args:
        slots: K, networks side by side.
        n_features: Inputs.
        hidden: Units of each hidden layer.
        activation: Of the hidden layers.
        task: Decides head, loss and metric.
        n_outputs: Classes, or 1.
        batch_size: Rows of a step.
        n_rows: Training rows.
        epochs_per_call: The most epochs of a call.
        monitor: Index in `measured` of what early stopping looks at; None for no early stopping.
        scale: What turns it into its own units,
        offset: and is added to it then.
        is_maximized: Whether more of it is better.
        min_delta: What an improvement must exceed.
        patience: Epochs without improvement before stopping.
        start_from_epoch: Epochs that early stopping does not look at, in the beginning.
        plateau: How learning rates are reduced; None where no trial asks for it.
        n_epochs: Epochs of a trial.
        scores: Metrics of `records.scores_of` that are measured beside.
        is_clipped: Whether gradients may be clipped.
        dtype: `float32`, or `float64` to compare with Keras closely.
    """

    slots: int
    n_features: int
    hidden: tuple[int, ...]
    activation: str
    task: Task
    n_outputs: int
    batch_size: int
    n_rows: int
    epochs_per_call: int
    monitor: int | None
    scale: float
    offset: float
    is_maximized: bool
    min_delta: float
    patience: int
    n_epochs: int
    scores: tuple[str, ...] = ()
    is_clipped: bool = False
    start_from_epoch: int = 0
    plateau: PlateauRule | None = None
    dtype: str = "float32"

    @property
    def n_steps(self) -> int:
        """Return the steps of an epoch, the shorter last one included."""
        return -(-self.n_rows // self.batch_size)

    @property
    def measured(self) -> tuple[str, ...]:
        """Return what an epoch measures, in its order."""
        return (*METRICS, *self.scores, *([] if self.plateau is None else ["learning_rate"]))

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the units of every layer from the input on."""
        return (self.n_features, *self.hidden, self.n_outputs)


#: What is measured in each epoch, in this order; the loss and the task's metric, then both on the validation rows.
METRICS: Final = ("loss", "metric", "val_loss", "val_metric", "l2_penalty")


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of one network, in the order in which layers are built.

    Args:
        kernels: (inputs, units) of each layer, the output's last.
        biases: (units,) likewise; zeros where batch normalisation shifts.
        gammas: (units,) of each hidden layer.
        betas: Likewise.
        means: Likewise.
        variances: Likewise.
    """

    kernels: tuple[NDArray[Any], ...]
    biases: tuple[NDArray[Any], ...]
    gammas: tuple[NDArray[Any], ...]
    betas: tuple[NDArray[Any], ...]
    means: tuple[NDArray[Any], ...]
    variances: tuple[NDArray[Any], ...]


class Feed(NamedTuple):
    """What a call is fed with, for each of its epochs.

    Args:
        orders: Order of the rows (epochs_per_call, slots, rows).
        coefficients: Of the update rule (epochs_per_call, slots, steps, 10).
        keys: Of dropout (epochs_per_call, slots, steps, hidden layers, 4).
        limits: Of dropout (slots,), from `dropout.threshold`.
        is_scaled: Which coefficients the program multiplies by the slot's learning rate (slots, 10); () where there
            is no plateau.
    """

    orders: Any
    coefficients: Any
    keys: Any
    limits: Any
    is_scaled: Any = ()

    def at(self, epoch: Any) -> Feed:
        """Return what one epoch of the call is fed with, without the leading axis."""
        return Feed(self.orders[epoch], self.coefficients[epoch], self.keys[epoch], self.limits, self.is_scaled)


class Rates(NamedTuple):
    """The learning rate of each slot, and where it stands between reductions (slots,).

    Args:
        rate: Of the next epoch; without meaning in slots whose trial has another schedule.
        best: The best value so far of what must improve; NaN before there is one.
        n_waited: Epochs without improvement that count.
        n_cooling: Epochs of the cooldown that are left.
    """

    rate: Any
    best: Any
    n_waited: Any
    n_cooling: Any


class Standing(NamedTuple):
    """Where each slot's trial stands (slots,): what one call hands on to the next.

    Args:
        best: The best value of what early stopping looks at; NaN before there is one.
        n_waited: Epochs since then.
        epoch: Epochs trained.
        best_epoch: The epoch whose weights are kept, from 1; 0 before there is one.
        is_active: Whether there is a trial in the slot.
        rates: Learning rates that are reduced on a plateau; () where there are none.
    """

    best: Any
    n_waited: Any
    epoch: Any
    best_epoch: Any
    is_active: Any
    rates: Rates | tuple[()] = ()
