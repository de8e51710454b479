"""The rows of a trial array: one split that all slots share, or a split of its own in each slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dnnsweep.datasets import Dataset
from dnnsweep.records import Task
from dnnsweep.trainers import keras_models, layer_measures
from dnnsweep.trainers.array.arithmetic import Batch
from dnnsweep.trainers.array.config import ArrayConfig
from dnnsweep.trainers.array.types import BatchRows, Chunks, RowCounts, RowFlags, Scalar, SlotRows

#: Rows of a validation step.
EVALUATION_ROWS: Final = 2048


class Targets(NamedTuple):
    """Targets of the validation rows, for scores.

    Args:
        y: Class indices (1, rows) where all slots share them, otherwise (slots, rows).
        is_row: Which rows count (slots, rows); None where all do.
    """

    y: SlotRows
    is_row: RowFlags | None


class ArrayRows(Protocol):
    """What the program of an array asks of its rows."""

    @property
    def validation(self) -> tuple[Chunks, Chunks, Chunks]:
        """Return features (chunks, rows, features), targets, and which rows count, (chunks, rows) each.

        Where each slot has its own, the slots are the second axis.
        """

    @property
    def counts(self) -> tuple[RowCounts, RowCounts]:
        """Return the numbers of training and of validation rows, each () or (slots,), in double precision."""

    @property
    def n_bytes(self) -> int:
        """Return the memory that an array takes for rows of its own."""

    def start_trial(self, slot: int, data: Dataset) -> None:
        """Write the rows of a trial into a slot."""

    def batches(self, order: SlotRows) -> tuple[SlotRows, BatchRows]:
        """Cut an epoch's order into steps (slots, steps, batch); what is missing is filled up with rows not to count.

        Returns:
            The order, and which rows count (steps, batch) or (slots, steps, batch); None where all do.
        """

    def batch(self, index: SlotRows, is_row: BatchRows, step: Scalar) -> Batch:
        """Return the rows of a step by their numbers (slots, batch)."""

    def to_measure(self) -> Batch:
        """Return the training rows that layers are measured on."""

    def targets(self) -> Targets:
        """Return the targets of all validation rows."""


class SharedRows:
    """Rows that all slots share.

    Args:
        config: What the program is compiled for.
        data: The rows.
    """

    def __init__(self, config: ArrayConfig, data: Dataset) -> None:
        self._config = config
        dtype = config.dtype
        self._x, self._y = (keras_models.to_device(part) for part in _parts(data.x_train, data.y_train, dtype))
        self._weights = None if data.w_train is None else keras_models.to_device(data.w_train.astype(dtype))
        self._to_measure = _batch_of(config, data, layer_measures.rows_to_measure(len(data.x_train), config.n_rows))
        self._n_validation = len(data.x_validation)
        x, y = (tf.constant(part) for part in _parts(data.x_validation, data.y_validation, dtype))
        n_chunks, size = _chunks(self._n_validation)
        n_filled = n_chunks * size - self._n_validation
        self._validation = (
            tf.reshape(tf.pad(x, [[0, n_filled], [0, 0]]), (n_chunks, size, x.shape[1])),
            tf.reshape(tf.pad(y, [[0, n_filled]]), (n_chunks, size)),
            tf.reshape(tf.cast(tf.range(n_chunks * size) < self._n_validation, dtype), (n_chunks, size)),
        )
        # Not constants, by whose reciprocals XLA would multiply: then 743 of 1,000 rows are not 0.743.
        self._counts = tf.Variable([len(data.x_train), self._n_validation], trainable=False, dtype=tf.float64)

    @property
    def n_bytes(self) -> int:
        """Return nothing: the rows are the sweep's."""
        return 0

    @property
    def validation(self) -> tuple[Chunks, Chunks, Chunks]:
        """Return features, targets, and which rows count, each (chunks, rows, ...)."""
        return self._validation

    @property
    def counts(self) -> tuple[RowCounts, RowCounts]:
        """Return the numbers of training and of validation rows, each ()."""
        return self._counts[0], self._counts[1]

    def start_trial(self, slot: int, data: Dataset) -> None:
        """Do nothing: the rows are there."""

    def batches(self, order: SlotRows) -> tuple[SlotRows, BatchRows]:
        """Cut an epoch's order into steps, which are the same in all slots."""
        config = self._config
        n_places = config.n_steps * config.batch_size
        if n_places == config.n_rows:
            return _in_steps(config, order), None
        is_row = (np.arange(n_places) < config.n_rows).reshape(config.n_steps, config.batch_size)
        return _in_steps(config, order), tf.constant(is_row, config.dtype)

    def batch(self, index: SlotRows, is_row: BatchRows, step: Scalar) -> Batch:
        """Return the rows of a step by their numbers (slots, batch)."""
        return Batch(
            tf.gather(self._x, index),  # (slots, batch, features)
            tf.gather(self._y, index),  # (slots, batch)
            None if is_row is None else is_row[step],  # (batch,)
            None if self._weights is None else tf.gather(self._weights, index),  # (slots, batch)
        )

    def to_measure(self) -> Batch:
        """Return the training rows that layers are measured on, without the axis of the slots."""
        return self._to_measure

    def targets(self) -> Targets:
        """Return the targets of all validation rows (1, rows)."""
        return Targets(tf.reshape(self._validation[1], (1, -1))[:, : self._n_validation], None)


class OwnRows:
    """A place for the rows of a trial in each slot.

    Splits need not be of one size. Where a trial has fewer rows than there is room for, its last steps have rows that
    do not count, or none at all.

    Args:
        config: What the program is compiled for.
        data: Rows of any trial, which say what there is of each.
    """

    def __init__(self, config: ArrayConfig, data: Dataset) -> None:
        self._config = config
        n_slots, n_features, n_rows = config.n_slots, config.n_features, config.n_rows
        n_chunks, size = _chunks(config.n_validation)
        # Class indices are held as numbers: not every device has variables of whole numbers.
        self._x = self._variable(n_slots * n_rows, n_features)
        self._y = self._variable(n_slots * n_rows)
        self._weights = None if data.w_train is None else self._variable(n_slots * n_rows)
        self._x_validation = self._variable(n_chunks, n_slots, size, n_features)
        self._y_validation = self._variable(n_chunks, n_slots, size)
        self._counts = tf.Variable(tf.ones((n_slots, 2), tf.float64), trainable=False)

    def _variable(self, *shape: int) -> tf.Variable:
        return tf.Variable(tf.zeros(shape, self._config.dtype), trainable=False)

    @property
    def n_bytes(self) -> int:
        """Return the memory of the rows."""
        parts = (self._x, self._y, self._weights, self._x_validation, self._y_validation)
        return sum(int(np.prod(part.shape)) * part.dtype.size for part in parts if part is not None)

    @property
    def counts(self) -> tuple[RowCounts, RowCounts]:
        """Return the numbers of training and of validation rows, each (slots,)."""
        return self._counts[:, 0], self._counts[:, 1]

    @property
    def validation(self) -> tuple[Chunks, Chunks, Chunks]:
        """Return features, targets, and which rows count, each (chunks, slots, rows, ...)."""
        return self._x_validation.value(), self._classes(self._y_validation.value()), self._is_validation_row()

    def start_trial(self, slot: int, data: Dataset) -> None:
        """Write the rows of a trial into a slot."""
        config = self._config
        first = slot * config.n_rows
        x, y = _parts(data.x_train, data.y_train, config.dtype)
        self._x[first : first + len(x)].assign(x)
        self._y[first : first + len(y)].assign(y.astype(config.dtype))
        if self._weights is not None and data.w_train is not None:
            self._weights[first : first + len(y)].assign(data.w_train.astype(config.dtype))
        x, y = _parts(data.x_validation, data.y_validation, config.dtype)
        self._x_validation[:, slot].assign(_filled(x, self._x_validation.shape))
        self._y_validation[:, slot].assign(_filled(y.astype(config.dtype), self._y_validation.shape))
        self._counts[slot].assign(np.array([len(data.x_train), len(x)], np.float64))

    def batches(self, order: SlotRows) -> tuple[SlotRows, BatchRows]:
        """Cut an epoch's order into steps, of which those count that the trial of a slot has rows for."""
        config = self._config
        is_row = tf.range(config.n_steps * config.batch_size) < tf.cast(self.counts[0], tf.int32)[:, None]
        shape = (config.n_slots, config.n_steps, config.batch_size)
        return _in_steps(config, order), tf.cast(tf.reshape(is_row, shape), config.dtype)

    def batch(self, index: SlotRows, is_row: BatchRows, step: Scalar) -> Batch:
        """Return the rows of a step by their numbers (slots, batch)."""
        return Batch(
            tf.gather(self._x, index),  # (slots, batch, features)
            self._classes(tf.gather(self._y, index)),  # (slots, batch)
            is_row[:, step],  # (slots, batch)
            None if self._weights is None else tf.gather(self._weights, index),  # (slots, batch)
        )

    def to_measure(self) -> Batch:
        """Return the training rows of each slot that layers are measured on."""
        config, n_measured = self._config, layer_measures.n_measured_rows(self._config.n_rows)
        place = tf.range(n_measured) * tf.cast(self.counts[0], tf.int32)[:, None] // n_measured  # (slots, rows)
        index = place + config.n_rows * tf.range(config.n_slots)[:, None]
        return Batch(
            tf.gather(self._x, index),  # (slots, rows, features)
            self._classes(tf.gather(self._y, index)),  # (slots, rows)
            None,
            None if self._weights is None else tf.gather(self._weights, index),  # (slots, rows)
        )

    def targets(self) -> Targets:
        """Return the targets of all validation rows (slots, rows)."""
        parts = (self._classes(self._y_validation.value()), self._is_validation_row())  # (chunks, slots, size) each
        n_slots = self._config.n_slots
        y, is_row = (tf.reshape(tf.transpose(part, (1, 0, 2)), (n_slots, -1)) for part in parts)
        return Targets(y, is_row)

    def _is_validation_row(self) -> Chunks:
        n_chunks, _, size = self._y_validation.shape
        place = tf.reshape(tf.range(n_chunks * size), (n_chunks, 1, size))
        return tf.cast(place < tf.cast(self.counts[1], tf.int32)[:, None], self._config.dtype)

    def _classes(self, y: SlotRows) -> SlotRows:
        return y if self._config.task is Task.REGRESSION else tf.cast(y, tf.int32)


def _batch_of(config: ArrayConfig, data: Dataset, rows: NDArray[np.int32]) -> Batch:
    """Return some training rows, with their features (rows, features) shared by all slots."""
    x, y = _parts(data.x_train[rows], data.y_train[rows], config.dtype)
    shape = (config.n_slots, len(rows))
    weights = None if data.w_train is None else np.broadcast_to(data.w_train[rows].astype(config.dtype), shape)
    return Batch(keras_models.to_device(x), keras_models.to_device(np.broadcast_to(y, shape)), None, weights)


def _parts(x: NDArray[Any], y: NDArray[Any], dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    return x.astype(dtype), y.astype(dtype) if y.dtype.kind == "f" else y


def _chunks(n_rows: int) -> tuple[int, int]:
    """Return into how many chunks rows are cut, and the rows of each."""
    n_chunks = -(-n_rows // EVALUATION_ROWS)
    return n_chunks, -(-n_rows // n_chunks)


def _filled(rows: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Return the rows of a slot, cut into the chunks (chunks, slots, size, ...) and filled up with zeros."""
    n_chunks, _, size, *rest = shape
    filled = np.zeros((n_chunks * size, *rest), rows.dtype)
    filled[: len(rows)] = rows
    return filled.reshape(n_chunks, size, *rest)


def _in_steps(config: ArrayConfig, order: SlotRows) -> SlotRows:
    """Cut an epoch's order into steps (slots, steps, batch), filled up at the end."""
    filled = tf.pad(order, [[0, 0], [0, config.n_steps * config.batch_size - config.n_rows]])  # (slots, steps * batch)
    return tf.reshape(filled, (config.n_slots, config.n_steps, config.batch_size))
