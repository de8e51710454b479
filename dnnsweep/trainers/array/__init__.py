"""The array trainer: many trials side by side in one compiled program, refilled as they end."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from dnnsweep.errors import DataError, TrainerError
from dnnsweep.records import Reason, Suggestion, TrialResult
from dnnsweep.trainers import Emit, Job, TrainerPlan, TrainerReady
from dnnsweep.trainers.attempt import Attempt, ParetoFront, one_line
from dnnsweep.trainers.groups import Group, group_for, group_of, max_own_slots
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.memory_check import require_memory
from dnnsweep.trainers.retraining import end_repeat

if TYPE_CHECKING:
    from dnnsweep.trainers.array.slots import EndedTrial, TrialArray

#: Programs that are kept compiled, and the memory of their slots; those that were idle for longest make room. Nine
#: candidates are repeated in turn, and each may need a program.
MAX_ARRAYS: Final = 10
MAX_BYTES: Final = 2_000_000_000


class ArrayTrainer:
    """Trains suggestions in trial arrays, one array for each group of suggestions that fit into one program.

    A result depends on the suggestion and the data only: not on its slot, its neighbours, nor when it started; and with
    the same number of slots it is the same bit for bit.

    Args:
        job: What to train on and how.
        inputs: Sweep file and data that the job names.
        plan: Says how many slots an array has.
    """

    def __init__(self, job: Job, inputs: TrainerInputs, plan: TrainerPlan) -> None:
        self._models = job.models
        self._inputs = inputs
        self._plan = plan
        self._n_slots = plan.slots * (inputs.sweep.dataset.folds or 1)  # each fold of a trial takes a slot
        is_final, keeps_all = inputs.sweep.pruner.kind == "none", inputs.sweep.keeps_all_models
        self._front = ParetoFront(inputs.sweep.objectives, is_final=is_final, keeps_all=keeps_all)
        self._arrays: OrderedDict[Group, TrialArray] = OrderedDict()  # the one that was used last is the last
        self._refused: list[TrialResult] = []  # suggestions that no array could be made for
        self._n_slot_epochs = self._n_busy_slot_epochs = 0

    def open(self) -> TrainerReady:
        """Return what the data are and how trials are trained."""
        return TrainerReady(self._inputs.data.summary, self._plan)

    def warm_up(self) -> None:
        """Load TensorFlow, and compile where all trials of the sweep fit into one program."""
        from dnnsweep.trainers.array.slots import TrialArray

        sweep = self._inputs.sweep
        if not Group.KNOB_NAMES & set(sweep.space):
            group = group_of(sweep.defaults.to_params())
            with suppress(Exception):  # the first trial meets it again, and ends with it
                array = TrialArray(group, self._inputs, self._n_slots)
                array.compile()
                self._arrays[group] = array

    def take(self, suggestion: Suggestion) -> None:
        """Put a suggestion into the array of its group, where it starts as soon as a slot is free."""
        group = group_for(suggestion)
        try:
            self._add_array(group)
        except DataError as error:  # of the rows of a retraining, for example
            self._refused.append(Attempt(suggestion).end(Reason.FAILED, error=one_line(error)))
            return
        self._arrays[group].enqueue(suggestion)

    def _add_array(self, group: Group) -> None:
        """Create the array of a group unless there is one.

        Raises:
            DataError: The rows of the group cannot be used.
        """
        from dnnsweep.trainers.array.slots import TrialArray

        if group not in self._arrays:
            self._make_room()
            self._arrays[group] = TrialArray(group, self._inputs, self._n_slots_of(group))

    def _n_slots_of(self, group: Group) -> int:
        """Return the slots of an array; a repeat takes one slot, and no more are filled than the plan has."""
        if not group.is_repeated:
            return self._n_slots
        rows, n_slots = self._inputs.rows_of(group), self._plan.slots
        return min(n_slots, max_own_slots(sum(rows.most), rows.data.summary.n_features)) if rows.are_own else n_slots

    def _make_room(self) -> None:
        """Forget idle arrays until another one fits."""
        for group in [group for group, array in self._arrays.items() if array.is_idle]:
            n_bytes = sum(array.n_bytes for array in self._arrays.values())
            if len(self._arrays) < MAX_ARRAYS and n_bytes < MAX_BYTES:
                return
            self._forget(group)

    def _forget(self, group: Group) -> None:
        array = self._arrays.pop(group)
        self._n_slot_epochs += array.n_slot_epochs
        self._n_busy_slot_epochs += array.n_busy_slot_epochs

    @property
    def slot_epochs(self) -> tuple[int, int]:
        """Return epochs times slots so far, and those of them in which there was a trial."""
        arrays = self._arrays.values()
        n_slots = self._n_slot_epochs + sum(array.n_slot_epochs for array in arrays)
        return n_slots, self._n_busy_slot_epochs + sum(array.n_busy_slot_epochs for array in arrays)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to train."""
        return not self._refused and all(array.is_idle for array in self._arrays.values())

    def step(self, emit: Emit) -> None:
        """Make one call of the array whose turn it is.

        Raises:
            MemoryError: No memory is left.
        """
        if self._refused:
            emit(self._refused.pop())
            return
        group = next(group for group, array in self._arrays.items() if not array.is_idle)
        self._arrays.move_to_end(group)
        array = self._arrays[group]
        try:
            ended = array.step(emit)
        except TrainerError:
            raise
        except Exception as error:  # noqa: BLE001  no memory for the program, for example
            require_memory()  # with some left, the program wanted too much
            self._forget(group)
            for attempt in array.unfinished():
                emit(attempt.end(Reason.FAILED, error=one_line(error)))
            return
        for trial in ended:
            emit(self._result(trial))

    def _result(self, trial: EndedTrial) -> TrialResult:
        attempt, limit = trial.attempt, self._inputs.sweep.training.timeout_seconds
        if trial.reason is Reason.TIMEOUT:
            return attempt.end_late(limit)
        if attempt.suggestion.is_repeat:
            return end_repeat(attempt, trial.reason, trial.best_epoch, self._models, trial.save, trial.answer)
        return self._front.end(attempt, trial.reason, trial.best_epoch, self._models, trial.save)
