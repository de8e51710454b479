"""What the host prepares for the coming epochs of all slots: row orders, coefficients and keys, in arrays that stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dnnsweep.space import PLATEAU, Hyperparameters
from dnnsweep.trainers import dropout, keras_models
from dnnsweep.trainers.array import optimizers
from dnnsweep.trainers.array.config import ArrayConfig
from dnnsweep.trainers.array.slot_trial import SlotTrial
from dnnsweep.trainers.array.types import CallInputs, PlateauState, SlotProgress
from dnnsweep.trainers.shuffling import row_order

Slots = Sequence[SlotTrial | None]


class InputBuffers:
    """The inputs of the next call, filled in slot by slot, and the progress that the last call returned.

    Args:
        config: What the program is compiled for.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self._config = config
        n_ahead, n_slots, n_layers = config.epochs_per_call, config.n_slots, len(config.hidden)
        n_coefficients = len(optimizers.COEFFICIENTS)
        self._row_orders = np.zeros((n_ahead, n_slots, config.n_rows), np.int32)
        self._coefficients = np.zeros((n_ahead, n_slots, config.n_steps, n_coefficients), config.dtype)
        self._coefficients[:] = optimizers.no_step(config.dtype)  # nothing to divide by zero in idle slots
        self._dropout_keys = np.zeros((n_ahead, n_slots, config.n_steps, n_layers, 4), np.uint32)
        self._dropout_rates = np.zeros(n_slots, np.float32)
        self._dropout_seeds = np.zeros((n_slots, n_layers), np.int64)
        self._learning_rates = np.zeros((n_ahead, n_slots))  # of each epoch's last step
        self._is_scaled: NDArray[np.bool_] | tuple[()] = ()
        if config.plateau is not None:
            self._is_scaled = np.zeros((n_slots, n_coefficients), bool)
        self.progress = _idle(config)

    def start_trial(self, slot: int, trial: SlotTrial) -> None:
        """Prepare a slot for a new trial."""
        hp = trial.hp
        self._dropout_rates[slot] = hp.dropout
        self._dropout_seeds[slot] = keras_models.layer_seeds(hp, trial.seed)[1]
        *counters, plateau = self.progress
        for counter, value in zip(counters, (np.nan, 0, 0, 0, True), strict=True):
            counter[slot] = value
        for counter, value in zip(plateau, (hp.learning_rate, np.nan, 0, 0), strict=bool(plateau)):
            counter[slot] = value
        if isinstance(self._is_scaled, np.ndarray):
            self._is_scaled[slot] = optimizers.is_scaled(hp.optimizer) & (hp.schedule == PLATEAU)

    def end_trial(self, slot: int) -> None:
        """Mark a slot as idle."""
        self.progress.is_active[slot] = False

    def prepare(self, slots: Slots) -> int:
        """Fill in the next call's inputs; return how many epochs they are for."""
        config = self._config
        n_done = np.array([0 if trial is None else trial.n_epochs for trial in slots])  # (slots,)
        n_steps = np.array([0 if trial is None else self._n_steps(trial) for trial in slots])  # (slots,)
        n_left = (config.n_epochs - trial.n_epochs for trial in slots if trial is not None)
        n_epochs = min(config.epochs_per_call, *n_left)
        for ahead in range(n_epochs):
            for slot, trial in _trials(slots):
                self._prepare_epoch(ahead, slot, trial)
            if self._dropout_rates.any():
                first_steps = (n_done + ahead) * n_steps  # (slots,)
                self._dropout_keys[ahead] = dropout.layer_keys(self._dropout_seeds, first_steps, config.n_steps)
        return n_epochs

    def _prepare_epoch(self, ahead: int, slot: int, trial: SlotTrial) -> None:
        config, n_done, n_steps = self._config, trial.n_epochs + ahead, self._n_steps(trial)
        first_step = n_done * n_steps
        self._row_orders[ahead, slot, : trial.n_rows] = row_order(trial.seed, n_done + 1, trial.n_rows)
        if config.has_own_rows:
            self._row_orders[ahead, slot, : trial.n_rows] += slot * config.n_rows
        rates = self._scheduled(
            trial.hp, range(first_step, first_step + n_steps), n_steps * (config.n_scheduled_epochs or config.n_epochs)
        )
        self._learning_rates[ahead, slot] = rates if isinstance(rates, float) else rates[-1]
        self._coefficients[ahead, slot, :n_steps] = optimizers.coefficients(
            trial.hp.optimizer, rates, first_step, n_steps, config.dtype
        )
        self._coefficients[ahead, slot, n_steps:] = optimizers.no_step(config.dtype)

    def _n_steps(self, trial: SlotTrial) -> int:
        """Return the steps of an epoch of a trial, which may have fewer rows than there is room for."""
        return keras_models.n_steps(trial.n_rows, self._config.batch_size)

    @staticmethod
    def _scheduled(hp: Hyperparameters, steps: range, n_steps: int) -> float | NDArray[np.floating]:
        """Return the learning rate of steps (steps,), 1 where the program multiplies by the one that it knows."""
        return 1.0 if hp.schedule == PLATEAU else keras_models.learning_rates(hp, steps, n_steps)

    def changing_rate(self, ahead: int, slot: int, trial: SlotTrial, vector: NDArray[np.floating]) -> dict[str, float]:
        """Return the learning rate of an epoch's last step as a metric; nothing where it is the same in all epochs.

        Args:
            ahead: Epoch of the last call, from 0.
            slot: Slot of the trial.
            trial: The trial.
            vector: Metrics of that epoch (metrics,).
        """
        if trial.hp.schedule == "constant":
            return {}
        if trial.hp.schedule == PLATEAU:
            return {"learning_rate": self._config.layout.value(vector, "learning_rate")}
        return {"learning_rate": float(self._learning_rates[ahead, slot])}

    def inputs(self) -> CallInputs:
        """Return the inputs of the next call."""
        thresholds = dropout.threshold(self._dropout_rates)
        return CallInputs(self._row_orders, self._coefficients, self._dropout_keys, thresholds, self._is_scaled)


def _trials(slots: Slots) -> Iterator[tuple[int, SlotTrial]]:
    return ((slot, trial) for slot, trial in enumerate(slots) if trial is not None)


def _idle(config: ArrayConfig) -> SlotProgress:
    """Return the progress of slots in which there is no trial yet."""
    n_waited, epoch, best_epoch = (np.zeros(config.n_slots, np.int32) for _ in range(3))
    best, is_active = np.full(config.n_slots, np.nan), np.zeros(config.n_slots, bool)
    plateau: PlateauState | tuple[()] = ()
    if config.plateau is not None:
        rate = np.ones(config.n_slots, config.dtype)
        plateau = PlateauState(rate, best.copy(), n_waited.copy(), n_waited.copy())
    return SlotProgress(best, n_waited, epoch, best_epoch, is_active, plateau)
