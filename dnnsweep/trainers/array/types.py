"""The tensors of trial arrays by their shapes, and the records that a compiled program takes and returns.

TensorFlow ships no type stubs, so each alias is `Any` to a type checker; it tells a reader which axes there are. Every
tensor of a trial array has the slots as its first axis, unless its name says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Scalar: TypeAlias = Any  #: ()
RowFlags: TypeAlias = Any  #: (rows,) or (slots, rows), 1 for a row that counts and 0 for one that fills up a batch
BatchRows: TypeAlias = Any  #: (steps, batch) or (slots, steps, batch), flags as above; None where all rows count
RowCounts: TypeAlias = Any  #: () or (slots,), a number of rows in double precision
Chunks: TypeAlias = Any  #: (chunks, rows, ...) that all slots share or (chunks, slots, rows, ...), in equal pieces

EpochMetrics: TypeAlias = Any  #: (epochs_per_call, slots, metrics)
EpochLayers: TypeAlias = Any  #: (epochs_per_call, slots, hidden layers, metrics)

SlotValues: TypeAlias = Any  #: (slots,), in the precision of the weights
SlotCounts: TypeAlias = Any  #: (slots,), whole numbers
SlotFlags: TypeAlias = Any  #: (slots,) or (slots, ...), booleans
SlotMetrics: TypeAlias = Any  #: (slots, metrics), in the order of `MetricLayout.names`, in double precision
SlotLayers: TypeAlias = Any  #: (slots, hidden layers, metrics), in the order of `layer_measures.names_for`, in double
SlotSums: TypeAlias = Any  #: (slots, 2), sums over rows of the loss and of the metric beside it; over all, in double
SlotCoefficients: TypeAlias = Any  #: (slots, coefficients), of one step
SlotStepCoefficients: TypeAlias = Any  #: (slots, steps, coefficients), of one epoch
SlotKeys: TypeAlias = Any  #: (slots, steps, hidden layers, 4), of one epoch
SlotScores: TypeAlias = Any  #: (slots, scores), or (slots,) of one score

SlotRows: TypeAlias = Any  #: (slots, rows), one number for each row: a target, a loss, a weight
SlotFeatures: TypeAlias = Any  #: (slots, rows, features), or (rows, features) where all slots share the rows
SlotRowUnits: TypeAlias = Any  #: (slots, rows, units), what a layer makes of each row
SlotLogits: TypeAlias = Any  #: (slots, rows, outputs), before the activation of the output

SlotUnits: TypeAlias = Any  #: (slots, units of all hidden layers)
SlotUnitRow: TypeAlias = Any  #: (slots, 1, units), one number for each unit of a layer, the same for all rows
SlotKernel: TypeAlias = Any  #: (slots, inputs, units)
SlotVectors: TypeAlias = Any  #: (slots, vectors), all biases, then all scales and all shifts of batch normalisation
SlotWeights: TypeAlias = Any  #: (slots, ...): a `SlotKernel` or `SlotVectors`
SlotMask: TypeAlias = Any  #: (slots, words), a layer's dropout mask, packed as `dropout.draw_masks` does

MovingStatistics: TypeAlias = Sequence[SlotUnits]  # moving mean and moving variance of batch normalisation


@dataclass(frozen=True, slots=True)
class NetworkWeights:
    """The weights of one network, in the order in which layers are built.

    Args:
        kernels: Kernel (inputs, units) of each layer, the output's last.
        biases: Bias (units,) of each layer, the output's last; zeros where batch normalisation shifts.
        gammas: Scale (units,) of each hidden layer's batch normalisation.
        betas: Shift (units,) of each hidden layer's batch normalisation.
        means: Moving mean (units,) of each hidden layer's batch normalisation.
        variances: Moving variance (units,) of each hidden layer's batch normalisation.
    """

    kernels: tuple[NDArray[np.floating], ...]
    biases: tuple[NDArray[np.floating], ...]
    gammas: tuple[NDArray[np.floating], ...]
    betas: tuple[NDArray[np.floating], ...]
    means: tuple[NDArray[np.floating], ...]
    variances: tuple[NDArray[np.floating], ...]


class CallInputs(NamedTuple):
    """What one call of the program takes, for each of its epochs; `at` takes off the leading axis.

    Args:
        row_orders: Order in which each slot sees the training rows (epochs_per_call, slots, rows).
        coefficients: Coefficients of the optimizers (epochs_per_call, slots, steps, coefficients).
        dropout_keys: Random keys of dropout (epochs_per_call, slots, steps, hidden layers, 4).
        dropout_thresholds: Threshold of each slot's dropout rate (slots,), from `dropout.threshold`.
        is_scaled: Whether the program multiplies a coefficient by the slot's learning rate (slots, coefficients); ()
            where no trial reduces its learning rate on a plateau.
    """

    row_orders: SlotRows
    coefficients: SlotStepCoefficients
    dropout_keys: SlotKeys
    dropout_thresholds: SlotCounts
    is_scaled: SlotFlags | tuple[()] = ()

    def at(self, epoch: Scalar) -> CallInputs:
        """Return what one epoch of the call takes, without the leading axis."""
        return self._replace(
            row_orders=self.row_orders[epoch],  # (slots, rows)
            coefficients=self.coefficients[epoch],  # (slots, steps, coefficients)
            dropout_keys=self.dropout_keys[epoch],  # (slots, steps, hidden layers, 4)
        )


class PlateauState(NamedTuple):
    """The learning rate of each slot, and how long its trial has not improved (slots,).

    Args:
        rate: Learning rate of the next epoch; without meaning in slots whose trial has another schedule.
        best: Best value so far of the metric that must improve, in double precision; NaN before there is one.
        n_waited: Epochs without improvement that count.
        n_cooling: Epochs of the cooldown that are left.
    """

    rate: SlotValues
    best: SlotValues
    n_waited: SlotCounts
    n_cooling: SlotCounts


class SlotProgress(NamedTuple):
    """How far each slot's trial has come (slots,): one call of the program hands it to the next.

    Args:
        best: Best value so far of the metric that early stopping monitors, in double precision; NaN before there is
            one.
        n_waited: Epochs since the best value.
        epoch: Epochs trained.
        best_epoch: Epoch whose weights are kept, from 1; 0 before there is one.
        is_active: Whether there is a trial in the slot.
        plateau: Learning rates that are reduced on a plateau; () where no trial asks for it.
    """

    best: SlotValues
    n_waited: SlotCounts
    epoch: SlotCounts
    best_epoch: SlotCounts
    is_active: SlotFlags
    plateau: PlateauState | tuple[()] = ()
