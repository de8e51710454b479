"""The trainer of networks that a user's own function builds: each in the fastest way that it allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import tensorflow as tf

from dnnsweep.datasets import Dataset
from dnnsweep.records import Suggestion
from dnnsweep.space import Hyperparameters, first_point
from dnnsweep.spec import SweepSpec
from dnnsweep.trainers import Job, TrainerPlan, TrainerReady, keras_models
from dnnsweep.trainers.compiled import strategy
from dnnsweep.trainers.compiled.builder import Builder, inputs_of
from dnnsweep.trainers.compiled.epoch_program import Program
from dnnsweep.trainers.compiled.structures import structure_of
from dnnsweep.trainers.fit import FitTrainer, Laps
from dnnsweep.trainers.inputs import TrainerInputs

__all__ = ["CompiledTrainer"]

#: Compiled programs that are kept, the latest ones.
MAX_PROGRAMS: Final = 16
#: What XLA raises for an operation that it does not know; nothing was trained then.
_NOT_COMPILED: Final = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)


class CompiledTrainer(FitTrainer):
    """Trains one network after the other, each as one program or by `fit`, whichever is faster for it.

    A result depends on the suggestion, the function and the data only.

    Args:
        job: What to train on and how.
        material: What `job` names, loaded.
        device: `cpu` or `gpu`.

    Raises:
        SpecError: There is no such function, or its parameters do not fit the sweep file.
    """

    def __init__(self, job: Job, material: TrainerInputs, device: str) -> None:
        super().__init__(job, material)
        self._builder = Builder(material.sweep, material.data)
        self._device = device
        self._shapes: Any = None
        self._programs: dict[tuple[str, str, int], Program] = {}
        self._program: Program | None = None
        self._refused: set[tuple[str, str, int]] = set()

    def open(self) -> TrainerReady:
        """Build the first network that the search space holds, and say how it will be trained.

        Raises:
            SpecError: It cannot be built, or does not fit the data.
        """
        material = self._loaded()
        network = self._builder.try_out(_first_params(material.sweep))
        found = strategy.planned(self._way(network, material.data), material.sweep)
        kind = "compiled" if found[0].kind in (strategy.PROGRAM, keras_models.XLA) else "fit"
        reasons = (f"trainer: {kind}, because network.builder builds the networks", *(one.reason for one in found))
        data = replace(material.data.summary, builder_call=self._builder.describe_call(network))
        return TrainerReady(data, TrainerPlan(kind, device=self._device, reasons=reasons))

    def _way(self, network: Any, data: Dataset) -> strategy.Way:
        is_fit = self._loaded().sweep.trainer.kind == "fit"
        return strategy.way_of(network, self._device, data.x_train[:2], is_fit=is_fit)

    def _build(self, suggestion: Suggestion, data: Dataset) -> Any:  # noqa: ARG002  the builder knows the data
        return self._builder.build(suggestion.params, suggestion.seed)

    def _penalty(self, network: Any, hp: Hyperparameters) -> float:  # noqa: ARG002  the network knows its penalties
        return keras_models.weight_penalty(network) if self._program is None else self._program.penalty()

    def _scores(self, network: Any, data: Dataset) -> dict[str, float]:
        return super()._scores(network if self._program is None else self._program.network, data)

    def _weights(self, network: Any) -> list[Any]:
        return super()._weights(network if self._program is None else self._program.network)

    def _set_rate(self, network: Any, rate: float) -> None:
        if self._program is None:
            super()._set_rate(network, rate)
        else:
            self._program.set_rate(rate)

    def _fit(self, network: Any, hp: Hyperparameters, data: Dataset, laps: Laps) -> None:
        self._program, way = None, self._way(network, data)
        if way.kind == strategy.PROGRAM and strategy.is_for_program(hp) and self._fit_program(network, hp, data, laps):
            return
        self._fit_steps(network, hp, data, laps, keras_models.GRAPH if way.kind == strategy.PROGRAM else way.kind)

    def _fit_program(self, network: Any, hp: Hyperparameters, data: Dataset, laps: Laps) -> bool:
        """Train by a program; return False, with nothing trained, where XLA cannot compile it."""
        key = (structure_of(network), hp.optimizer, hp.batch_size)
        if key in self._refused:
            return False
        if key not in self._programs:
            self._programs = dict(list(self._programs.items())[-MAX_PROGRAMS + 1 :])
            self._programs[key] = Program(network, hp, data.summary.task, self._hold(network, data))
        self._program = program = self._programs[key]
        program.load(network, hp)
        orders = laps.orders()
        for number in range(laps.n_epochs):
            try:
                measured = program.epoch(next(orders))
            except _NOT_COMPILED:
                if number:
                    raise
                self._refused.add(key)
                del self._programs[key]
                self._program = None
                return False
            if laps.after_epoch(measured):
                break
        return True

    def _hold(self, network: Any, data: Dataset) -> tuple[Any, ...]:
        x_train = inputs_of(network, data.x_train)
        x_validation = inputs_of(network, data.x_validation)
        shapes = tf.nest.map_structure(lambda part: part.shape, x_train)
        if shapes != self._shapes:  # as good as always the same for all networks
            self._shapes = shapes
            self._held = (
                keras_models.hold(x_train, data.y_train, data.w_train),
                keras_models.hold(x_validation, data.y_validation),
            )
        return self._held


def _first_params(sweep: SweepSpec) -> dict[str, Any]:
    """Return a point of the search space: what is tried first, else the first of all values."""
    enqueued = sweep.enqueue[0] if sweep.enqueue else {}
    return {**sweep.default_params, **first_point(sweep.space, sweep.default_params, enqueued)}
