"""Splits: which rows are trained on, validated on and held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from dnnsweep.datasets.refusals import listed, refusal
from dnnsweep.datasets.targets import Target
from dnnsweep.spec import DatasetSpec

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of rows, each in one part."""

    train: Rows
    validation: Rows
    test: Rows


def split(target: Target, spec: DatasetSpec, n_own_test: int | None) -> Split:
    """Split rows by the seed of the data set: test rows first, then validation rows out of the others.

    Classes have their share in each part. The numbers of rows are `round(test * n)` and `round(validation * n)`.

    Args:
        target: One value for each row.
        spec: Fractions and seed.
        n_own_test: How many of the last rows the file itself holds apart; then these are the test rows, and
            n counts the others. None takes `spec.test` from all rows.

    Raises:
        DataError: A part would be empty or lack a class.
    """
    n_rows = len(target.values) - (n_own_test or 0)
    n_test = 0 if n_own_test is not None else round(spec.test * n_rows)
    n_validation = round(spec.validation * n_rows)
    _check_validation(target, n_rows, n_validation, n_rows - n_test - n_validation)
    if n_own_test is None and spec.test > 0:
        _check_test(target, n_rows, n_test)
    rest, test = _part(np.arange(n_rows), n_test, target, spec.seed)
    train, validation = _part(rest, n_validation, target, spec.seed)
    _check_classes(target, train)
    own_test = np.arange(n_rows, len(target.values))
    return Split(train, validation, test if n_own_test is None else own_test)


def _part(rows: Rows, n_taken: int, target: Target, seed: int) -> tuple[Rows, Rows]:
    if not n_taken:
        return rows, rows[:0]
    values = target.values[rows] if target.classes else None
    if values is not None:
        _check_stratified(target, values)
    rest, taken = train_test_split(rows, test_size=n_taken, random_state=seed, stratify=values)
    return rest, taken


def _least(target: Target) -> tuple[int, str]:
    n_classes = len(target.classes)
    return max(1, n_classes), f"must leave a row{f' of each of {n_classes} classes' if n_classes else ''}"


def _check_validation(target: Target, n_rows: int, n_validation: int, n_train: int) -> None:
    least, rule = _least(target)
    if n_validation < least:
        got = f"{n_validation} of {n_rows}"
        raise refusal("dataset.validation", f"{rule} to validate on", got, "raise it or give more rows")
    if n_train < least:
        remedy = "lower validation or test, or give more rows"
        raise refusal("dataset.validation", f"{rule} to train on", f"{n_train} of {n_rows}", remedy)


def _check_test(target: Target, n_rows: int, n_test: int) -> None:
    least, rule = _least(target)
    if n_test < least:
        remedy = "raise it, set it to 0 or give more rows"
        raise refusal("dataset.test", f"{rule} to test on", f"{n_test} of {n_rows}", remedy)


def _check_stratified(target: Target, values: NDArray[Any]) -> None:
    counts = np.bincount(values, minlength=len(target.classes))
    _refuse_small(target, np.flatnonzero(counts < 2))


def _check_classes(target: Target, train: Rows) -> None:
    if target.classes:
        counts = np.bincount(target.values[train], minlength=len(target.classes))
        _refuse_small(target, np.flatnonzero(counts == 0))


def _refuse_small(target: Target, small: NDArray[np.intp]) -> None:
    if len(small):
        counts = np.bincount(target.values)[small]
        got = f"{listed([target.classes[index] for index in small])} with {', '.join(map(str, counts[:5]))}"
        remedy = "give more rows, join or remove small classes, or lower validation and test"
        raise refusal(target.path, "each class must have rows enough for every part", got, remedy)
