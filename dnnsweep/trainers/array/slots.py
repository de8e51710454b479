"""One trial array: which trial is in which slot, and what comes out of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnsweep.records import AttemptStarted, LayerMetrics, Reason, Suggestion, TestAnswers
from dnnsweep.trainers import Emit, TrialDroppedError, keras_models, layer_measures
from dnnsweep.trainers.array import optimizers, weights
from dnnsweep.trainers.array.arithmetic import SlotKnobs
from dnnsweep.trainers.array.buffers import InputBuffers
from dnnsweep.trainers.array.config import config_of, layout_of, monitors_of
from dnnsweep.trainers.array.program import ArrayProgram, CallResult
from dnnsweep.trainers.array.rows import OwnRows, SharedRows
from dnnsweep.trainers.array.slot_trial import SlotTrial
from dnnsweep.trainers.array.stopping import END_CODES
from dnnsweep.trainers.array.types import NetworkWeights
from dnnsweep.trainers.attempt import Attempt, one_line
from dnnsweep.trainers.groups import Group
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.memory_check import require_memory
from dnnsweep.trainers.retraining import answer_test

#: Running trials are reported at most so often, unless they may be pruned; how they end is reported at once.
REPORT_SECONDS: Final = 1.0
_REASONS: Final = {code: reason for reason, code in END_CODES.items()}


class EndedTrial(NamedTuple):
    """A trial that has ended.

    Args:
        attempt: The attempt at it.
        reason: Why it ended.
        best_epoch: Epoch whose weights are kept; None if there is none.
        save: Function that writes the model to a path; works until the slot is filled again, for a first fold always.
        answer: Function that returns what the model answers for the test rows; works as long.
    """

    attempt: Attempt
    reason: Reason
    best_epoch: int | None
    save: Callable[[Path], None]
    answer: Callable[[], TestAnswers | None]


class TrialArray:
    """K slots of one compiled program.

    Args:
        group: What all its trials have in common.
        inputs: Sweep file and data.
        n_slots: K, the number of slots.
        dtype: Precision of all arithmetic.
    """

    def __init__(self, group: Group, inputs: TrainerInputs, n_slots: int, dtype: str = "float32") -> None:
        self._inputs = inputs
        self.config = config_of(group, inputs, n_slots, dtype)
        self._rows = (OwnRows if self.config.has_own_rows else SharedRows)(self.config, inputs.rows_of(group).data)
        self.program = ArrayProgram(self.config, self._rows)
        self._timeout_seconds = inputs.sweep.training.timeout_seconds
        # A pruner needs each epoch at once; repeats are not pruned.
        is_pruned = inputs.sweep.pruner.kind != "none" and not group.is_repeated
        self._report_seconds = 0.0 if is_pruned else REPORT_SECONDS
        self._waiting: deque[Attempt] = deque()
        self._slots: list[SlotTrial | None] = [None] * n_slots
        self._buffers = InputBuffers(self.config)
        self.n_slot_epochs = self.n_busy_slot_epochs = 0

    def enqueue(self, suggestion: Suggestion) -> None:
        """Take a suggestion in; it starts as soon as a slot is free."""
        self._waiting.append(Attempt(suggestion))

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to train."""
        return not self._waiting and not any(self._slots)

    @property
    def n_bytes(self) -> int:
        """Return the memory of the slots' state."""
        return self.program.n_bytes

    def unfinished(self) -> list[Attempt]:
        """Return the attempts that have not ended."""
        return [*(trial.attempt for trial in self._slots if trial is not None), *self._waiting]

    def compile(self) -> None:
        """Compile the program, with nothing in its slots."""
        self.program.run(self._buffers.inputs(), 0, self._buffers.progress)

    def step(self, emit: Emit) -> list[EndedTrial]:
        """Fill free slots, train for a call, and return the trials that ended in it.

        Raises:
            MemoryError: No memory is left, so that nothing of the call can be believed.
        """
        for slot, trial in enumerate(self._slots):
            if trial is None and self._waiting:
                self._start_trial(slot, self._waiting.popleft(), emit)
        if not any(self._slots):
            return []
        n_epochs = self._buffers.prepare(self._slots)
        result = self.program.run(self._buffers.inputs(), n_epochs, self._buffers.progress)
        require_memory()
        moment = round(time.time() * 1000)
        self._buffers.progress = result.progress
        self._record_epochs(result, moment)
        self._report(emit, moment / 1000)
        return self._end_trials(result)

    def _start_trial(self, slot: int, attempt: Attempt, emit: Emit) -> None:
        attempt.began = time.perf_counter()
        widths = self.config.widths
        try:
            data = self._inputs.data_for(attempt.suggestion)
            trial = SlotTrial(attempt, data, layout_of(self._inputs.sweep, data))
            hp = trial.hp
            start = weights.initial(hp, widths, trial.seed)
        except Exception as error:  # noqa: BLE001  a result, as for any error while training
            require_memory()
            emit(attempt.end(Reason.FAILED, error=one_line(error)))
            return
        attempt.n_parameters = keras_models.n_parameters(hp, widths)
        self._slots[slot] = trial  # before what may fail: it is among the unfinished then
        l2 = float(np.float32(hp.l2))  # as Keras rounds it
        monitors = monitors_of(self.config, self._inputs.sweep, trial.layout) if self.config.has_own_rows else ()
        knobs = SlotKnobs(float(hp.batch_norm), hp.dropout, l2, hp.global_clipnorm)
        self._rows.start_trial(slot, data)
        self.program.start_trial(slot, start, knobs, optimizers.UPDATE_RULES[hp.optimizer].first_v, monitors)
        self._buffers.start_trial(slot, trial)
        emit(AttemptStarted(attempt.suggestion.number, attempt.suggestion.attempt))

    def _record_epochs(self, result: CallResult, moment: int) -> None:
        """Add the epochs of a call to the attempts.

        Args:
            result: What the program returned.
            moment: Time at which the epochs ended, in milliseconds since 1970.
        """
        self.n_slot_epochs += result.n_epochs * self.config.n_slots
        for slot, trial in enumerate(self._slots):
            if trial is None:
                continue
            self.n_busy_slot_epochs += result.n_epochs
            for ahead, vector in enumerate(result.metrics[: result.n_epochs, slot]):  # (metrics,)
                rate = self._buffers.changing_rate(ahead, slot, trial, vector)
                metrics = trial.layout.in_own_units(vector) | rate
                trial.attempt.add(metrics, moment, self._layers(result.layers[ahead, slot], trial))

    def _layers(self, table: NDArray[np.floating], trial: SlotTrial) -> LayerMetrics:
        """Return what an epoch measured of a trial's hidden layers."""
        config = self.config
        n_steps = keras_models.n_steps(trial.n_rows, config.batch_size)
        names = layer_measures.names_for(config.activation)
        return layer_measures.by_layer(zip(names, repeat(config.layer_names), table.T.tolist()), n_steps)

    def _report(self, emit: Emit, moment: float) -> None:
        """Report the epochs of trials that last, in batches: those that end soon come with their result."""
        for slot, trial in enumerate(self._slots):
            if trial is None:
                continue
            try:
                for report in trial.take_unsent(moment, self._report_seconds):
                    emit(report)
            except TrialDroppedError:
                self._free(slot)

    def _end_trials(self, result: CallResult) -> list[EndedTrial]:
        """Return the trials that ended in a call, and those that have taken too long."""
        codes = {slot: int(code) for slot, code in enumerate(result.end_codes) if code}
        ended = [
            self._end_trial(slot, trial, _REASONS[codes[slot]])
            for slot, trial in enumerate(self._slots)
            if trial is not None and slot in codes
        ]
        late = [
            self._end_trial(slot, trial, Reason.TIMEOUT)
            for slot, trial in enumerate(self._slots)
            if trial is not None and trial.attempt.is_late(self._timeout_seconds)
        ]
        return [*ended, *late]

    def _end_trial(self, slot: int, trial: SlotTrial, reason: Reason) -> EndedTrial:
        self._free(slot)
        best_epoch = int(self._buffers.progress.best_epoch[slot]) or None

        # The model of a fold may be wanted when the slot is filled again, that of a trial is saved before.
        best = self.program.best_weights(slot) if trial.attempt.suggestion.fold == 0 else None

        def save(path: Path) -> None:
            network = self._model(trial, self.program.best_weights(slot) if best is None else best)
            keras_models.save(network, trial.hp, trial.data.preprocessing, path)

        def answer() -> TestAnswers | None:
            return answer_test(self._inputs, trial.data, self._model(trial, self.program.best_weights(slot)))

        is_lost = reason in (Reason.DIVERGED, Reason.TIMEOUT)
        return EndedTrial(trial.attempt, reason, None if is_lost else best_epoch, save, answer)

    def _free(self, slot: int) -> None:
        self._slots[slot] = None
        self._buffers.end_trial(slot)

    def _model(self, trial: SlotTrial, best: NetworkWeights) -> Any:
        """Return the best weights of a trial as an ordinary Keras model, not compiled."""
        config = self.config
        network = keras_models.build(trial.hp, config.n_features, config.task, config.n_outputs, trial.seed)
        network.set_weights(weights.keras_order(best, batch_norm=trial.hp.batch_norm))
        return network
