"""Data sets: read, split and scaled, with test rows that no choice depends on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnnsweep.datasets import sources
from dnnsweep.datasets.bounds import INPUT_BYTES, bounded_memory, check_shape
from dnnsweep.datasets.categories import category_notes, fit_categories, join_rare
from dnnsweep.datasets.data_errors import data_error
from dnnsweep.datasets.encoding import count_inputs, encode, encoding_notes, fit_encoding
from dnnsweep.datasets.fingerprints import fingerprint
from dnnsweep.datasets.frames import Table, make_table
from dnnsweep.datasets.preprocessing import Preprocessing, TargetEncoding
from dnnsweep.datasets.readings import Precedent, Reading
from dnnsweep.datasets.row_weights import training_weights
from dnnsweep.datasets.sources import Source
from dnnsweep.datasets.splits import Draw, Rows, Split, missing_class_notes, redraw, split, split_notes
from dnnsweep.datasets.table_reading import read_table
from dnnsweep.datasets.targets import Target, make_target
from dnnsweep.datasets.traits import data_traits
from dnnsweep.records import DataSummary, DataTrait, Task
from dnnsweep.settings import Limits
from dnnsweep.spec import BUILT_IN, FILES, DatasetSpec

__all__ = ["Dataset", "Draw", "Splits", "TestRows", "load", "load_splits"]

#: Memory for the encoded rows of recent blocks, each of which many candidates are trained on.
BLOCKS_BYTES: Final = 200_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Rows ready to train on.

    Args:
        x_train: (n_train, n_features) float32.
        y_train: (n_train,) int32 class indices; for regression float32, standardised by the training rows.
        x_validation: (n_validation, n_features) float32.
        y_validation: (n_validation,), in the units of `y_train`.
        x_test: (n_test, n_features) float32; n_test may be 0.
        y_test: (n_test,), in the units of `y_train`.
        w_train: (n_train,) float32, weight of each training row in the loss; None where all weigh the same.
        target_mean: Mean of the training rows' target before it was standardised; 0 for classes.
        target_std: Standard deviation of the training rows' target, > 0; 1 for classes.
        summary: Describes the data and what was done to them.
        preprocessing: What was fitted to the training rows, to encode new rows in the same way.
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[Any]
    x_validation: NDArray[np.float32]
    y_validation: NDArray[Any]
    x_test: NDArray[np.float32]
    y_test: NDArray[Any]
    w_train: NDArray[np.float32] | None
    target_mean: float
    target_std: float
    summary: DataSummary
    preprocessing: Preprocessing

    @property
    def n_bytes(self) -> int:
        """Return the memory of the features."""
        return self.x_train.nbytes + self.x_validation.nbytes + self.x_test.nbytes

    @property
    def validation_variance(self) -> float:
        """Return the variance of the validation rows' standardised target; 1 for classes."""
        return float(self.y_validation.var()) if self.summary.task is Task.REGRESSION else 1.0

    @property
    def undefined(self) -> dict[str, str]:
        """Return the metrics that have no value on the validation rows, each with what all of these rows hold."""
        n_rows, values = self.summary.n_validation, self.y_validation
        if (values != values[0]).any():
            return {}
        if self.summary.task is Task.REGRESSION:
            return {"val_r2": f"the same target in all {n_rows} validation rows"}
        return {"val_auc": f"the class {self.summary.classes[values[0]]!r} in all {n_rows} validation rows"}

    @property
    def n_outputs(self) -> int:
        """Return the units of the last layer: one per class where there are more than two, otherwise one."""
        return len(self.summary.classes) if self.summary.task is Task.MULTICLASS else 1


class TestRows(NamedTuple):
    """The test rows of a sweep, which nothing asks for before the winner is known.

    Args:
        x: Features (rows, n_features) in the encoding of a data set.
        targets: Class indices (rows,), or numbers in the target's own units.
    """

    x: NDArray[np.float32]
    targets: NDArray[Any]


class Splits:
    """The data of a sweep, and every split of its development rows that a trial or a repeat may ask for.

    Args:
        read: Reads and checks all rows. They are read again if somebody asks for another split and they were not kept.
        spec: Says how rows are split, scaled and weighted.
        is_repeated: Whether the sweep may repeat configurations, so that all rows are kept for their splits. They are
            kept as well where trials have different splits.
    """

    def __init__(self, read: Callable[[], _CheckedRows], spec: DatasetSpec, *, is_repeated: bool = False) -> None:
        self._spec = spec
        self._read = read
        self._of_folds: dict[Draw, Dataset] = {}
        self._of_blocks: dict[Draw, Dataset] = {}
        rows = read()
        self._kept = rows if spec.is_redrawn or is_repeated else None
        self.first = rows.dataset(spec, rows.first, has_all_texts=spec.is_redrawn)

    @property
    def _rows(self) -> _CheckedRows:
        """Return all rows.

        Raises:
            DataError: They were not kept, and are no longer those that were read first.
        """
        if self._kept is None:
            rows = self._read()
            if rows.fingerprint != self.first.summary.fingerprint:
                rule, remedy = "must give the same rows as when the sweep began", "restore its data"
                raise data_error("dataset.source", rule, "other rows", remedy)
            self._kept = rows
        return self._kept

    @property
    def most_rows(self) -> tuple[int, int]:
        """Return the most training rows and the most validation rows of a trial's split."""
        return self._most_rows(is_redrawn=self._spec.is_redrawn)

    @property
    def most_rows_of_blocks(self) -> tuple[int, int]:
        """Return the most training rows and the most validation rows of a block's split."""
        return self._most_rows(is_redrawn=not self._is_ordered)

    def _most_rows(self, *, is_redrawn: bool) -> tuple[int, int]:
        n_train, n_validation = self.first.summary.n_train, self.first.summary.n_validation
        n_rows, n_folds = n_train + n_validation, self._spec.folds
        if self._spec.split is not None and is_redrawn:
            return n_rows - 1, n_rows - 1  # groups may be of any size
        return (n_rows - n_rows // n_folds, -(-n_rows // n_folds)) if n_folds else (n_train, n_validation)

    @property
    def _is_ordered(self) -> bool:
        return self._spec.split is not None and self._spec.split.kind == "order"

    def of(self, draw: Draw) -> Dataset:
        """Return the training and validation rows of a split, encoded with what its training rows hold.

        Test rows are left out: they are the same in all splits, and no trial asks for them.

        Raises:
            DataError: The training rows of this split cannot be used; some groups hold all rows of a class, for
                example.
        """
        if not self._spec.is_redrawn:
            return self.first
        if draw in self._of_folds:
            return self._of_folds[draw]
        data = self._drawn(draw)
        if not self._spec.resplit:  # where each trial has another split, none is asked for again
            self._of_folds[draw] = data
        return data

    def _drawn(self, draw: Draw) -> Dataset:
        rows = self._rows
        split_rows = redraw(rows.target, self._spec, rows.first, draw, rows.source.key)
        return rows.dataset(self._spec, split_rows.without_test, has_all_texts=True)

    def of_block(self, draw: Draw) -> Dataset:
        """Return the training and validation rows of a block of repeats, encoded with what its training rows hold.

        All blocks have the same inputs: each text of the development rows has one. Where later rows must not help to
        predict earlier ones, all blocks have the split of the sweep. Test rows are left out.

        Raises:
            DataError: The training rows of this split cannot be used, as in `of`.
        """
        if self._is_ordered:
            return self.first_of_blocks
        if draw not in self._of_blocks:
            self._of_blocks[draw] = self._drawn(draw)
            self._forget_blocks()
        return self._of_blocks[draw]

    def _forget_blocks(self) -> None:
        """Forget the rows of earlier blocks until the others fit."""
        while len(self._of_blocks) > 1 and sum(data.n_bytes for data in self._of_blocks.values()) > BLOCKS_BYTES:
            del self._of_blocks[next(iter(self._of_blocks))]

    @cached_property
    def first_of_blocks(self) -> Dataset:
        """Return the split of the sweep with the inputs that all blocks have."""
        if self._spec.is_redrawn or not self._rows.table.text_columns:
            return self.first
        return self._rows.dataset(self._spec, self._rows.first.without_test, has_all_texts=True)

    @cached_property
    def whole(self) -> Dataset:
        """Return all development rows to train on, encoded with what they hold.

        The validation rows are those of the sweep, which are among the training rows here. Test rows are left out.
        """
        first = self._rows.first
        return self._rows.dataset(self._spec, replace(first.without_test, train=first.rest), has_all_texts=True)

    def open_test(self, data: Dataset) -> TestRows | None:
        """Return the test rows in the encoding of some data; None where there are none."""
        rows, test = self._rows, self._rows.first.test
        if not len(test):
            return None
        none = test[:0]
        x_test = encode(rows.table, Split(none, none, test, none), data.preprocessing.encoding)[2]
        return TestRows(x_test, rows.target.values[test])


def load(
    spec: DatasetSpec,
    task: str = "auto",
    data: tuple[Any, Any] | None = None,
    limits: Limits | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Dataset:
    """Read the rows that a sweep file names, split them, and encode them with what the training rows hold.

    The inputs are the number columns in their order, followed by the one-hot columns of each text column.

    Args:
        spec: Names the source, and how it is split, scaled and weighted.
        task: `binary`, `multiclass` or `regression`; `auto` reads it from the target.
        data: Rows (n, ...) and target (n,) to use instead of the source.
        limits: What the operator allows a sweep that came over the network: its files are opened below the data folder,
            and their size is limited. None allows any file of any size.
        reading: How the sweep's data were read before, as its summary has it; empty for a sweep of a version that
            stored none. None finds out how to read them.

    Raises:
        DataError: The data cannot be read or used as the sweep file asks, or are larger than the operator allows; it
            carries the mistakes with their paths.

    Example:
        >>> iris = load(DatasetSpec(source="sklearn:iris"))
        >>> iris.x_train.shape, iris.summary.task.value, iris.summary.classes
        ((90, 4), 'multiclass', ('setosa', 'versicolor', 'virginica'))
    """
    return load_splits(spec, task, data, limits, reading).first


def load_splits(  # noqa: PLR0913  what `load` takes, and whether rows are kept
    spec: DatasetSpec,
    task: str = "auto",
    data: tuple[Any, Any] | None = None,
    limits: Limits | None = None,
    reading: Mapping[str, Any] | None = None,
    *,
    is_repeated: bool = False,
) -> Splits:
    """Read the rows that a sweep file names, as `load` does; return every split of them that anything may ask for.

    Args:
        spec: Names the source, and how it is split, scaled and weighted.
        task: `binary`, `multiclass` or `regression`; `auto` reads it from the target.
        data: Rows (n, ...) and target (n,) to use instead of the source.
        limits: What the operator allows a sweep that came over the network; None for any file of any size.
        reading: How the columns are read, as `load` takes it.
        is_repeated: Whether the sweep may repeat configurations, so that all rows are kept for their splits.

    Raises:
        DataError: The data cannot be read or used as the sweep file asks, or are larger than the operator allows.
    """
    kind = spec.source.partition(":")[0]
    precedent = Precedent.of(reading)

    def read() -> _CheckedRows:
        with bounded_memory(limits if kind in FILES else None):  # a user's own function takes what it takes
            return _read(spec, task, data, None if kind in BUILT_IN else limits, precedent)

    return Splits(read, spec, is_repeated=is_repeated)


@dataclass(frozen=True, slots=True, eq=False)
class _CheckedRows:
    """All rows of a source before they are split.

    Args:
        source: What was read beside features and target.
        table: Features.
        target: Target.
        traits: Traits of rows and target before they were encoded.
        fingerprint: SHA-256 over all rows.
        notes: What was done to the rows before they were split, one sentence each.
        first: The split by the seed of the data set.
        reading: How the columns were read.
        stored_reading: The same as plain JSON; empty where columns are read as older versions did.
    """

    source: sources.Source
    table: Table
    target: Target
    traits: tuple[DataTrait, ...]
    fingerprint: str
    notes: tuple[str, ...]
    first: Split
    reading: Reading
    stored_reading: Mapping[str, Any]

    def dataset(self, spec: DatasetSpec, rows: Split, *, has_all_texts: bool) -> Dataset:
        """Return the rows of a split, encoded with what its training rows hold.

        Args:
            spec: Says how rows are scaled and weighted.
            rows: Positions of the rows of each part.
            has_all_texts: Whether each text of the development rows has an input, and not only those of the training
                rows, so that all splits have the same inputs.
        """
        source, table, target = self.source, self.table, self.target
        mean, std = _mean_and_std(target, rows.train)
        w_train = training_weights(target, spec, source.weight, rows.train)
        encoding = fit_encoding(table, rows.train, spec.scale, rows.rest if has_all_texts else None)
        x_train, x_validation, x_test = encode(table, rows, encoding)
        y_train, y_validation, y_test = (
            _encode_target(target, part, mean, std) for part in (rows.train, rows.validation, rows.test)
        )
        summary = DataSummary(
            fingerprint=self.fingerprint,
            task=target.task,
            n_features=x_train.shape[1],
            columns=source.columns,
            classes=target.classes,
            n_train=len(y_train),
            n_validation=len(y_validation),
            n_test=len(y_test),
            notes=(*self.notes, *missing_class_notes(target, rows), *split_notes(spec, rows)),
            traits=self.traits,
            reading=self.stored_reading,
            constant_loss=_constant_loss(target, rows.train),
        )
        preprocessing = Preprocessing(
            columns=source.columns,
            row_shape=source.row_shape,
            reading=self.reading,
            encoding=encoding,
            target=TargetEncoding(target.name, target.task, target.label_kind, target.classes, mean, std),
        )
        inputs_and_targets = (x_train, y_train, x_validation, y_validation, x_test, y_test)
        return Dataset(*inputs_and_targets, w_train, mean, std, summary, preprocessing)


def _read(
    spec: DatasetSpec, task: str, data: tuple[Any, Any] | None, limits: Limits | None, precedent: Precedent
) -> _CheckedRows:
    source, reading = sources.read(spec, data, limits, precedent), Reading()
    is_read = source.is_named and not precedent.is_plain
    if is_read:
        source, reading = read_table(source, spec, precedent.reading)
    source = sources.set_roles_apart(spec, source)
    target = make_target(source, task, is_plain=precedent.is_plain)
    table = make_table(source, is_plain=not is_read)
    if limits is not None:
        check_shape(len(source.y), count_inputs(table, spec.max_categories), limits, INPUT_BYTES)
    traits = data_traits(source, table, target)
    source = replace(source, x=table.numbers, y=source.y[:0])  # hold a large file in one form only
    hashed = fingerprint(table, target, source.n_own_test, (source.key, source.weight))
    first = split(target, spec, source.n_own_test, source.key)
    fitted = first.rest if spec.is_redrawn else first.train  # all trials have the same categories
    if is_read and precedent.reading is None:
        reading = fit_categories(reading, table, fitted, spec.max_categories)
    notes = (*source.notes, *_precedent_notes(source, precedent), *category_notes(reading, table, fitted))
    table = join_rare(table, reading)
    notes = (*notes, *encoding_notes(table), *target.notes)
    stored = {} if precedent.is_plain else reading.to_json()
    return _CheckedRows(source, table, target, traits, hashed, notes, first, reading, stored)


def _precedent_notes(source: Source, precedent: Precedent) -> tuple[str, ...]:
    if not (source.is_named and precedent.is_plain):
        return ()
    return ("Read columns as the version did that created the sweep; under a new name they are read anew.",)


def _mean_and_std(target: Target, train: Rows) -> tuple[float, float]:
    """Return mean and standard deviation of the training rows' target; 0 and 1 for classes."""
    if target.classes:
        return 0.0, 1.0
    values = target.values[train]
    std = float(values.std())
    if values.min() == values.max() or std == 0:
        rule, got = f"{target.name} must vary among the training rows", f"{values[0]:g} in all {len(values)}"
        raise data_error(target.path, rule, got, "add rows with other values")
    return float(values.mean()), std


def _constant_loss(target: Target, train: Rows) -> float:
    """Return the loss of the best constant answer to the training rows: their entropy, or 1 after scaling."""
    if not target.classes:
        return 1.0
    shares = np.bincount(target.values[train]) / len(train)
    return float(-sum(share * math.log(share) for share in shares if share > 0))


def _encode_target(target: Target, rows: Rows, mean: float, std: float) -> NDArray[Any]:
    values = target.values[rows]
    if target.classes:
        return values
    with np.errstate(over="ignore"):
        scaled = ((values - mean) / std).astype(np.float32)
    if not np.isfinite(scaled).all():
        rule, remedy = f"{target.name} must fit in 32 bits after scaling", "remove rows with extreme values"
        raise data_error(target.path, rule, f"{values[np.argmax(np.abs(values))]:g}", remedy)
    return scaled
