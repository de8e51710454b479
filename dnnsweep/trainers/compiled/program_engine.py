"""The engine of dense networks: each epoch is one program that XLA compiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.datasets import Dataset
from dnnsweep.space import Hyperparameters
from dnnsweep.trainers import keras_models
from dnnsweep.trainers.compiled.epoch_program import EpochProgram
from dnnsweep.trainers.engine import Engine, EngineRefusedError
from dnnsweep.trainers.keras_engine import HeldRows
from dnnsweep.trainers.structures import structure_of

#: Compiled programs that are kept, the latest ones.
MAX_PROGRAMS: Final = 16
#: What XLA raises for an operation that it does not know.
_NOT_COMPILED: Final = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)


class ProgramKey(NamedTuple):
    """What a program is compiled for. All else that differs between trials is loaded into it.

    Args:
        structure: Structure of the network, from `structures.structure_of`.
        optimizer: Name of the optimizer.
        batch_size: Rows of a step.
    """

    structure: str
    optimizer: str
    batch_size: int

    @classmethod
    def of(cls, network: Any, hp: Hyperparameters) -> Self:
        """Return the key of the program that can train a network at a point."""
        return cls(structure_of(network), hp.optimizer, hp.batch_size)


class EpochPrograms:
    """The compiled programs of a trainer.

    Args:
        rows: Holder of the data's rows.
    """

    def __init__(self, rows: HeldRows) -> None:
        self.rows = rows
        self._programs: dict[ProgramKey, EpochProgram] = {}
        self._refused: set[ProgramKey] = set()

    @property
    def keys(self) -> tuple[ProgramKey, ...]:
        """Return the keys of the programs that are kept, the latest one last."""
        return tuple(self._programs)

    def is_refused(self, key: ProgramKey) -> bool:
        """Return whether XLA could not compile the program of a key."""
        return key in self._refused

    def load(self, key: ProgramKey, network: Any, hp: Hyperparameters, data: Dataset) -> EpochProgram:
        """Return the program of a key with a network and the rows that it is trained on loaded into it."""
        if key not in self._programs:
            self._programs = dict(list(self._programs.items())[-MAX_PROGRAMS + 1 :])
            self._programs[key] = EpochProgram(network, hp, data.summary.task)
        self._programs[key].load(network, hp, self.rows.for_network(network, data))
        return self._programs[key]

    def refuse(self, key: ProgramKey) -> None:
        """Forget a program that XLA cannot compile, and remember that it cannot."""
        self._refused.add(key)
        del self._programs[key]


class ProgramEngine:
    """Trains a network by a compiled program. The program is shared with the trials before and after it.

    Args:
        network: Network with its starting weights, not compiled; it is not trained itself.
        hp: Point that the program can train, by `strategy.is_for_program`.
        data: Data that the network is trained on.
        key: Key of the program, from `ProgramKey.of`.
        programs: The compiled programs of the trainer.
        substitute: Engine that trains the network if XLA cannot compile the program.
    """

    def __init__(  # noqa: PLR0913, PLR0917  what is trained, what it is trained on, and by what
        self,
        network: Any,
        hp: Hyperparameters,
        data: Dataset,
        key: ProgramKey,
        programs: EpochPrograms,
        substitute: Engine,
    ) -> None:
        self.network = network
        self.is_compiled = True
        self._hp = hp
        self._data = data
        self._key = key
        self._programs = programs
        self._substitute = substitute

    @cached_property
    def _program(self) -> EpochProgram:
        return self._programs.load(self._key, self.network, self._hp, self._data)

    def fit(
        self, orders: Iterator[NDArray[np.int32]], n_epochs: int, after_epoch: Callable[[Mapping[str, float]], bool]
    ) -> None:
        """Train and validate, epoch by epoch.

        Raises:
            EngineRefusedError: XLA cannot compile the program.
        """
        program = self._program
        for epoch in range(n_epochs):
            try:
                measured = program.epoch(next(orders))
            except _NOT_COMPILED as error:
                if epoch:
                    raise
                self._programs.refuse(self._key)
                raise EngineRefusedError(self._substitute) from error
            if after_epoch(measured):
                return

    def penalty(self) -> float:
        """Return what the regularizers add to the loss."""
        return self._program.penalty()

    def predict(self) -> NDArray[Any]:
        """Return the predictions (rows, outputs) for the validation rows."""
        x_validation = self._programs.rows.for_network(self.network, self._data).validation[0]
        return keras_models.predictions_of(self._program.network, x_validation, self._data.summary.n_validation)

    def weights(self) -> list[NDArray[Any]]:
        """Return a copy of all weights."""
        return list(self._program.network.get_weights())

    @property
    def trained(self) -> Any:
        """Return the program's copy of the network."""
        return self._program.network

    def training_rows(self, index: NDArray[np.int32]) -> tuple[Any, ...]:
        """Return some training rows: features, targets, and any weights."""
        rows = self._programs.rows.for_network(self.network, self._data)
        return keras_models.take(rows.training, index)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the epochs to come."""
        self._program.set_rate(rate)
