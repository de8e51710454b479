"""The trainer that a sweep file asks for, or that suits it best."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dnnsweep.records import Suggestion
from dnnsweep.trainers import Emit, Job, Trainer, TrainerPlan, TrainerReady
from dnnsweep.trainers.array import ArrayTrainer
from dnnsweep.trainers.choice import choose
from dnnsweep.trainers.fit import FitTrainer
from dnnsweep.trainers.inputs import TrainerInputs, load_inputs

#: Where Linux shows the GPUs of NVIDIA's driver.
_DRIVER: Final = Path("/proc/driver/nvidia/gpus")


class AutoTrainer:
    """Loads the data, chooses a trainer, and is that trainer from then on.

    Args:
        job: What to train on and how. If it has a plan, that plan is followed.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._trainer: Trainer | None = None

    def open(self) -> TrainerReady:
        """Load the data; return what they are and how trials will be trained.

        Raises:
            DataError: The data cannot be used as the sweep file asks.
            SpecError: The sweep file is wrong, names a metric that the data's task does not have, or a builder that
                cannot be used.
        """
        inputs = load_inputs(self._job)
        if inputs.sweep.network.builder is not None:
            return self._open_builder(inputs)
        plan = self._job.plan or choose(inputs.sweep, inputs.data.summary, device())
        self._trainer = _create(self._job, inputs, plan)
        return TrainerReady(inputs.data.summary, plan)

    def _open_builder(self, inputs: TrainerInputs) -> TrainerReady:
        from dnnsweep.trainers.compiled import CompiledTrainer

        plan = self._job.plan
        self._trainer = CompiledTrainer(self._job, inputs, device() if plan is None else plan.device)
        ready = self._trainer.open()
        return ready if plan is None else TrainerReady(ready.data, plan)

    def warm_up(self) -> None:
        """Load and compile what the first trial would wait for."""
        self._opened().warm_up()

    def take(self, suggestion: Suggestion) -> None:
        """Add a suggestion to those that wait to be trained."""
        self._opened().take(suggestion)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is left to train."""
        return self._trainer is None or self._trainer.is_idle

    @property
    def slot_epochs(self) -> tuple[int, int]:
        """Return epochs times slots so far, and those of them in which there was a trial."""
        return (0, 0) if self._trainer is None else self._trainer.slot_epochs

    def step(self, emit: Emit) -> None:
        """Train for a while."""
        self._opened().step(emit)

    def _opened(self) -> Trainer:
        if self._trainer is None:
            self.open()
        assert self._trainer is not None  # noqa: S101  `open` sets it
        return self._trainer


def _create(job: Job, inputs: TrainerInputs, plan: TrainerPlan) -> Trainer:
    if plan.kind == "array":
        return ArrayTrainer(job, inputs, plan)
    return FitTrainer(job, inputs)


def device() -> str:
    """Return `gpu` where TensorFlow can use one, else `cpu`; TensorFlow is loaded only where there might be one."""
    if not _DRIVER.is_dir() or not any(_DRIVER.iterdir()):
        return "cpu"
    from dnnsweep.trainers import keras_models

    return keras_models.device()
