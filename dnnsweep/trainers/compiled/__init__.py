"""The trainer of networks that a user's own function builds: each in the fastest way that it allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dnnsweep.datasets import Dataset
from dnnsweep.records import EpochReport, Suggestion, TrialResult
from dnnsweep.space import Hyperparameters, first_point
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers import Job, SequentialTrainer, TrainerPlan, TrainerReady, keras_models
from dnnsweep.trainers.compiled import strategy
from dnnsweep.trainers.compiled.builder import Builder, inputs_of
from dnnsweep.trainers.compiled.program_engine import EpochPrograms, ProgramEngine, ProgramKey
from dnnsweep.trainers.engine import Engine
from dnnsweep.trainers.inputs import TrainerInputs
from dnnsweep.trainers.keras_engine import HeldRows, KerasEngine
from dnnsweep.trainers.trial_loop import TrialLoop

__all__ = ["CompiledTrainer"]


class CompiledTrainer(SequentialTrainer):
    """Trains one network after the other, each as one program or by `fit`, whichever is faster for it.

    A result depends on the suggestion, the function and the data only.

    Args:
        job: What to train on and how.
        inputs: Sweep file and data of the job.
        device: `cpu` or `gpu`.

    Raises:
        SpecError: There is no such function, or its parameters do not fit the sweep file.
    """

    def __init__(self, job: Job, inputs: TrainerInputs, device: str) -> None:
        super().__init__()
        self._inputs = inputs
        self._device = device
        self._builder = Builder(inputs.sweep, inputs.data, is_confined=job.limits is not None)
        self._rows = HeldRows(inputs_of)
        self._programs = EpochPrograms(self._rows)
        self._loop = TrialLoop(inputs, job.models, self.engine_for)

    def open(self) -> TrainerReady:
        """Build the first network of the search space; return what the data are and how trials will be trained.

        Raises:
            SpecError: It cannot be built, or does not fit the data.
        """
        sweep, data = self._inputs.sweep, self._inputs.data.summary
        network = self._builder.try_out(_first_params(sweep))
        strategies = strategy.strategies_for_sweep(self._strategy_for(network, self._inputs.data), sweep)
        kind = "compiled" if strategies[0].kind in (strategy.PROGRAM, keras_models.XLA) else "fit"
        reason = f"trainer: {kind}, because network.builder builds the networks"
        reasons = (reason, *(chosen.reason for chosen in strategies))
        notes = (*data.notes, *self._builder.notes(network))
        data = replace(data, builder_call=self._builder.describe_call(network), notes=notes)
        return TrainerReady(data, TrainerPlan(kind, device=self._device, reasons=reasons))

    def warm_up(self) -> None:
        """Do nothing: building the first network has loaded TensorFlow."""

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        """Train a suggestion to its end; an error while training becomes a result with reason `failed`.

        Raises:
            Exception: Whatever `report` raises; it ends the attempt without a result.
        """
        return self._loop.train(suggestion, report)

    def engine_for(self, suggestion: Suggestion, data: Dataset) -> Engine:
        """Build the network of a suggestion and choose the engine that trains it.

        Args:
            suggestion: What is trained.
            data: Data that the network is trained on.
        """
        network, hp = (
            self._builder.build(suggestion.params, suggestion.seed, data),
            Hyperparameters.of(suggestion.params),
        )
        kind = self._strategy_for(network, data).kind
        if kind != strategy.PROGRAM:
            return KerasEngine(network, hp, data, self._rows, keras_models.weight_penalty, kind)
        by_fit = KerasEngine(network, hp, data, self._rows, keras_models.weight_penalty)
        if not strategy.is_for_program(hp) or self._programs.is_refused(key := ProgramKey.of(network, hp)):
            return by_fit
        return ProgramEngine(network, hp, data, key, self._programs, by_fit)

    def _strategy_for(self, network: Any, data: Dataset) -> strategy.Strategy:
        is_fit, x = self._inputs.sweep.trainer.kind == "fit", data.x_train[:2]
        return strategy.strategy_for(network, self._device, x, is_fit=is_fit)


def _first_params(sweep: SweepSpec) -> dict[str, Any]:
    """Return a point of the search space: what is tried first, else the first of all values."""
    enqueued = sweep.enqueue[0] if sweep.enqueue else {}
    return {**sweep.default_params, **first_point(sweep.space, sweep.default_params, enqueued)}
