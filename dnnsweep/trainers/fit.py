"""The reference trainer: plain Keras, one model and one `model.fit` for each suggestion."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from dnnsweep.records import EpochReport, Suggestion, TrialResult
from dnnsweep.trainers import Job, SequentialTrainer, TrainerPlan, TrainerReady
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs

if TYPE_CHECKING:
    from dnnsweep.trainers.trial_loop import TrialLoop


class FitTrainer(SequentialTrainer):
    """Trains with plain Keras. Every faster trainer is held to its results.

    A result depends on the suggestion and the data only, not on what was trained before, nor on global seeds.
    TensorFlow is loaded by `warm_up` or the first `train`, so that mistakes in the data show without waiting for it.

    Args:
        job: What to train on and how.
        inputs: Sweep file and data of the job if they are loaded already; None loads them.
    """

    def __init__(self, job: Job, inputs: TrainerInputs | None = None) -> None:
        super().__init__()
        self._job = job
        self._given = inputs

    def open(self) -> TrainerReady:
        """Load the data; return what they are.

        Raises:
            DataError: The data cannot be used as the sweep file asks.
            SpecError: The sweep file is wrong, or names a metric that the data's task does not have.
        """
        return TrainerReady(self._inputs.data.summary, TrainerPlan("fit"))

    def warm_up(self) -> None:
        """Load TensorFlow."""
        _ = self._loop

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        """Train a suggestion to its end; an error while training becomes a result with reason `failed`.

        Raises:
            TrainerError: Keras does not run on TensorFlow.
            Exception: Whatever `report` raises; it ends the attempt without a result.
        """
        return self._loop.train(suggestion, report)

    @cached_property
    def _inputs(self) -> TrainerInputs:
        return load_inputs(self._job) if self._given is None else self._given

    @cached_property
    def _loop(self) -> TrialLoop:
        from dnnsweep.trainers.keras_engine import KerasEngines
        from dnnsweep.trainers.trial_loop import TrialLoop

        return TrialLoop(self._inputs, self._job.models, KerasEngines().engine_for)
