"""Splits: which rows are trained on, validated on and held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.frames import is_number
from dnnsweep.datasets.targets import Target
from dnnsweep.spec import DatasetSpec

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of rows, each in one part."""

    train: Rows
    validation: Rows
    test: Rows


def split(target: Target, spec: DatasetSpec, n_own_test: int | None, key: pd.Series | None = None) -> Split:
    """Split rows by the seed of the data set: test rows first, then validation rows out of the others.

    Classes have their share in each part. The numbers of rows are `round(test * n)` and `round(validation * n)`.
    With `split.by` groups are drawn instead of rows, by scikit-learn's GroupShuffleSplit: the fractions are of groups.
    With `split.order` nothing is drawn: the last rows are test rows, those before them validation rows; rows of equal
    time are in one part, so that the later parts may be larger than their fractions.

    Args:
        target: One value for each row.
        spec: Fractions, seed and column.
        n_own_test: How many of the last rows the file itself holds apart; then these are the test rows, and
            n counts the others. None takes `spec.test` from all rows.
        key: What `spec.split` splits by, one value for each row.

    Raises:
        DataError: A part would be empty or lack a class; values to split by are missing or have no order.
    """
    if spec.split is not None and key is not None:
        if n_own_test is not None:
            path, rule = f"dataset.split.{spec.split.kind}", "belongs to rows that hold no test rows of their own"
            raise data_error(path, rule, f"{n_own_test} test rows", "remove it")
        return _split_by(target, spec, key)
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


def _split_by(target: Target, spec: DatasetSpec, key: pd.Series) -> Split:
    path = f"dataset.split.{spec.split.kind if spec.split else ''}"
    n_missing = int(key.isna().sum())
    if n_missing:
        raise data_error(path, "must not be missing in any row", f"{n_missing} of {len(key)} rows", "fill them in")
    is_ordered = spec.split is not None and spec.split.kind == "order"
    parts = _in_order(spec, _moments(key, path)) if is_ordered else _in_groups(spec, key, path)
    least, rule = _least(target)
    for name, rows in (("validation", parts.validation), ("test", parts.test), ("train", parts.train)):
        if len(rows) < (1 if is_ordered else least) and (name != "test" or spec.test > 0):
            got = f"{len(rows)} of {len(key)}"
            raise data_error(path, f"{rule} to {name} on", got, "change the fractions or split by another column")
    _check_classes(target, parts.train)
    return parts


def _in_groups(spec: DatasetSpec, key: pd.Series, path: str) -> Split:
    groups, distinct = pd.factorize(key)
    n_parts = 3 if spec.test > 0 else 2
    if len(distinct) < n_parts:
        rule = f"must have at least {n_parts} groups, one for each part"
        raise data_error(path, rule, f"{len(distinct)} in {len(key)} rows", "split by another column")

    def drawn(rows: Rows, n_groups: int) -> tuple[Rows, Rows]:
        splitter = GroupShuffleSplit(n_splits=1, test_size=max(1, n_groups), random_state=spec.seed)
        rest, taken = next(splitter.split(rows, groups=groups[rows]))
        return rows[rest], rows[taken]

    rest = np.arange(len(key))
    test = rest[:0]
    if spec.test > 0:
        rest, test = drawn(rest, round(spec.test * len(distinct)))
    train, validation = drawn(rest, round(spec.validation * len(distinct)))
    return Split(train, validation, test)


def _moments(key: pd.Series, path: str) -> NDArray[Any]:
    """Return what rows are ordered by: numbers, or dates as numbers."""
    if is_number(key):
        return np.asarray(key.to_numpy(dtype=np.float64))
    try:
        return np.asarray(pd.to_datetime(key, format="ISO8601", utc=True).to_numpy(dtype="datetime64[ns]"))
    except (ValueError, TypeError, OverflowError) as error:
        rule, remedy = "must hold numbers or dates like 2024-01-31", "write them so, or number the rows"
        raise data_error(path, rule, (str(error).splitlines() or [""])[0][:100], remedy) from error


def _in_order(spec: DatasetSpec, moments: NDArray[Any]) -> Split:
    order = np.argsort(moments, kind="stable")
    ordered = moments[order]

    def start(share: float) -> int:
        """Return where the last rows begin that have this share, with all rows of the same time."""
        at = len(ordered) - round(share * len(ordered))
        return int(np.searchsorted(ordered, ordered[at], side="left")) if at < len(ordered) else at

    test = start(spec.test) if spec.test > 0 else len(ordered)
    validation = min(start(spec.test + spec.validation), test)
    return Split(order[:validation], order[validation:test], order[test:])


def _least(target: Target) -> tuple[int, str]:
    n_classes = len(target.classes)
    return max(1, n_classes), f"must leave a row{f' of each of {n_classes} classes' if n_classes else ''}"


def _check_validation(target: Target, n_rows: int, n_validation: int, n_train: int) -> None:
    least, rule = _least(target)
    if n_validation < least:
        got = f"{n_validation} of {n_rows}"
        raise data_error("dataset.validation", f"{rule} to validate on", got, "raise it or give more rows")
    if n_train < least:
        remedy = "lower validation or test, or give more rows"
        raise data_error("dataset.validation", f"{rule} to train on", f"{n_train} of {n_rows}", remedy)


def _check_test(target: Target, n_rows: int, n_test: int) -> None:
    least, rule = _least(target)
    if n_test < least:
        remedy = "raise it, set it to 0 or give more rows"
        raise data_error("dataset.test", f"{rule} to test on", f"{n_test} of {n_rows}", remedy)


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
        got = f"{name_some([target.classes[index] for index in small])} with {', '.join(map(str, counts[:5]))}"
        remedy = "give more rows, join or remove small classes, or lower validation and test"
        raise data_error(target.path, "each class must have rows enough for every part", got, remedy)
