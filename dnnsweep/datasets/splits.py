"""Splits: which rows are trained on, validated on and held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold, StratifiedKFold, train_test_split

from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.frames import is_number
from dnnsweep.datasets.targets import Target
from dnnsweep.spec import DatasetSpec

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Draw:
    """Which split of the development rows is drawn; the test rows are the same in all of them.

    Args:
        seed: Seed of the draw; None for the seed of the data set.
        fold: Fold that validates, from 0; None without folds.
    """

    seed: int | None = None
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of the rows of each part.

    Args:
        train: Rows to train on.
        validation: Rows to validate with.
        test: Rows that no choice depends on.
        rest: Rows that are not test rows, in the order in which other splits are drawn from them.
    """

    train: Rows
    validation: Rows
    test: Rows
    rest: Rows

    @property
    def without_test(self) -> Split:
        """Return the same split with no test rows."""
        return replace(self, test=self.test[:0])


def split(target: Target, spec: DatasetSpec, n_own_test: int | None, key: pd.Series | None = None) -> Split:
    """Split rows by the seed of the data set: draw test rows first, then validation rows from the others.

    Each class has its share in each part. The numbers of rows are `round(test * n)` and `round(validation * n)`.
    With `split.by`, scikit-learn's GroupShuffleSplit draws groups instead of rows, and the fractions are of groups.
    With `split.order`, nothing is drawn: the last rows are test rows, and those before them validation rows. Rows of
    equal time stay in one part, so the later parts may be larger than their fractions.

    With folds, the rows that are not test rows are divided into that many parts, and the first of them validates.

    Args:
        target: The value to predict for each row.
        spec: Gives the fractions, the seed and the column to split by.
        n_own_test: Number of test rows that the source provides, which come last; n counts the other rows. None
            draws test rows.
        key: Value that each row is split by, if `spec.split` asks for it.

    Raises:
        DataError: A part would be empty or lack a class; values to split by are missing or have no order.
    """
    if spec.split is None or key is None:
        return _split_at_random(target, spec, n_own_test)
    path = f"dataset.split.{spec.split.kind}"
    if n_own_test is not None:
        rule = "cannot be used where the source provides test rows"
        raise data_error(path, rule, f"{n_own_test} test rows", "remove it")
    n_missing = int(key.isna().sum())
    if n_missing:
        got = f"{n_missing} of {len(key)} rows without one"
        raise data_error(path, "must have a value in every row", got, "fill in or remove these rows")
    if spec.split.kind == "order":
        parts = _split_in_order(spec, _order_values(key, path))
        _check_parts(target, spec, parts, 1)
        return parts
    groups = pd.factorize(key)[0]
    rest, test = _hold_out_groups(spec, groups)
    parts = Split(*_draw_groups_of(spec, rest, groups, Draw()), test, rest)
    _check_parts(target, spec, parts, _needed_rows(target)[0])
    return parts


def redraw(target: Target, spec: DatasetSpec, first: Split, draw: Draw, key: pd.Series | None = None) -> Split:
    """Draw validation rows anew from those that are not test rows.

    Args:
        target: The value to predict for each row.
        spec: Gives the fractions, and the column to split by.
        first: Names the rows that are drawn from.
        draw: Says by which seed validation rows are drawn, and which fold validates.
        key: Value that each row is split by, if `spec.split` asks for it.

    Raises:
        DataError: A part would lack a class.
    """
    if key is None:
        train, validation = _draw_rows(target, spec, first.rest, len(first.validation), draw)
        drawn = Split(train, validation, first.test, first.rest)
        _check_classes(target, train)
        return drawn
    drawn = Split(*_draw_groups_of(spec, first.rest, pd.factorize(key)[0], draw), first.test, first.rest)
    _check_parts(target, spec, drawn, _needed_rows(target)[0])
    return drawn


def _split_at_random(target: Target, spec: DatasetSpec, n_own_test: int | None) -> Split:
    n_rows = len(target.values) - (n_own_test or 0)
    n_test = 0 if n_own_test is not None else round(spec.test * n_rows)
    n_validation = (n_rows - n_test) // spec.folds if spec.folds else round(spec.validation * n_rows)
    _check_validation(target, n_rows, n_validation, n_rows - n_test - n_validation)
    if n_own_test is None and spec.test > 0:
        _check_test(target, n_rows, n_test)
    rest, test = _draw_part(np.arange(n_rows), n_test, target, spec.seed)
    train, validation = _draw_rows(target, spec, rest, n_validation, Draw())
    _check_classes(target, train)
    return Split(train, validation, test if n_own_test is None else np.arange(n_rows, len(target.values)), rest)


def _draw_rows(target: Target, spec: DatasetSpec, rest: Rows, n_validation: int, draw: Draw) -> tuple[Rows, Rows]:
    """Return training and validation rows."""
    seed = spec.seed if draw.seed is None else draw.seed
    if spec.folds:
        return _draw_fold(rest, target, spec.folds, draw.fold or 0, seed)
    return _draw_part(rest, n_validation, target, seed)


def _draw_part(rows: Rows, n_drawn: int, target: Target, seed: int) -> tuple[Rows, Rows]:
    if not n_drawn:
        return rows, rows[:0]
    values = target.values[rows] if target.classes else None
    if values is not None:
        _check_stratified(target, values)
    rest, drawn = train_test_split(rows, test_size=n_drawn, random_state=seed, stratify=values)
    return rest, drawn


def split_notes(spec: DatasetSpec, rows: Split) -> tuple[str, ...]:
    """Return what a reader of the numbers of rows must know where there is more than one split."""
    n_rows, is_grouped = len(rows.train) + len(rows.validation), spec.split is not None
    notes = []
    if spec.folds:
        numbers = "The numbers of rows are those of the first fold."
        notes.append(f"Each of {n_rows} rows validates in one of {spec.folds} folds. {numbers}")
    if spec.resplit:
        numbers = "; the numbers of rows differ, and those of the sweep's own split are stated" if is_grouped else ""
        notes.append(f"Other rows validate in each trial{numbers}.")
    return tuple(notes)


def _draw_fold(rows: Rows, target: Target, n_folds: int, fold: int, seed: int) -> tuple[Rows, Rows]:
    """Return training and validation rows of a fold; each fold has its share of every class."""
    values = target.values[rows] if target.classes else None
    if values is not None:
        _check_folds(target, values, n_folds)
    kind = KFold if values is None else StratifiedKFold
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    train, validation = list(splitter.split(rows, values))[fold]
    return rows[train], rows[validation]


def _check_folds(target: Target, values: NDArray[Any], n_folds: int) -> None:
    """Check that each fold can have a row of each class."""
    counts = np.bincount(values, minlength=len(target.classes))
    small = np.flatnonzero(counts < n_folds)
    if len(small):
        got = f"{name_some([target.classes[index] for index in small])} with {', '.join(map(str, counts[small][:5]))}"
        rule = f"must leave a row of each class for each of the {n_folds} folds"
        raise data_error("dataset.folds", rule, got, "lower it, add rows, or merge small classes")


def _hold_out_groups(spec: DatasetSpec, groups: NDArray[np.intp]) -> tuple[Rows, Rows]:
    n_groups = groups.max() + 1
    n_test = max(1, round(spec.test * n_groups)) if spec.test > 0 else 0
    n_parts = (spec.folds or 2) + (1 if spec.test > 0 else 0)
    if n_groups - n_test < n_parts - (1 if spec.test > 0 else 0):
        rule = f"must have at least {n_parts} groups, one per part"
        got = f"{n_groups} in {len(groups)} rows"
        raise data_error("dataset.split.by", rule, got, "split by another column")
    rows = np.arange(len(groups))
    return _draw_groups(rows, groups, n_test, spec.seed) if n_test else (rows, rows[:0])


def _draw_groups_of(spec: DatasetSpec, rest: Rows, groups: NDArray[np.intp], draw: Draw) -> tuple[Rows, Rows]:
    """Return training and validation rows; all rows of a group are in one of the two."""
    seed = spec.seed if draw.seed is None else draw.seed
    if not spec.folds:
        return _draw_groups(rest, groups, max(1, round(spec.validation * (groups.max() + 1))), seed)
    splitter = GroupKFold(spec.folds, shuffle=True, random_state=seed)
    train, validation = list(splitter.split(rest, groups=groups[rest]))[draw.fold or 0]
    return rest[train], rest[validation]


def _draw_groups(rows: Rows, groups: NDArray[np.intp], n_drawn: int, seed: int) -> tuple[Rows, Rows]:
    splitter = GroupShuffleSplit(n_splits=1, test_size=n_drawn, random_state=seed)
    rest, drawn = next(splitter.split(rows, groups=groups[rows]))
    return rows[rest], rows[drawn]


def _check_parts(target: Target, spec: DatasetSpec, parts: Split, n_needed: int) -> None:
    """Check the parts of rows that are split by a column, whose sizes its values decide."""
    path, rule = f"dataset.split.{spec.split.kind if spec.split else ''}", _needed_rows(target)[1]
    n_rows = len(parts.rest) + len(parts.test)
    for verb, rows in (("validate", parts.validation), ("test", parts.test), ("train", parts.train)):
        if len(rows) < n_needed and (verb != "test" or spec.test > 0):
            got = f"{len(rows)} of {n_rows}"
            raise data_error(path, f"{rule} to {verb} on", got, "change the fractions or split by another column")
    _check_classes(target, parts.train)


def _order_values(key: pd.Series, path: str) -> NDArray[Any]:
    """Return the numbers or dates that rows are ordered by."""
    if is_number(key):
        return np.asarray(key.to_numpy(dtype=np.float64))
    try:
        return np.asarray(pd.to_datetime(key, format="ISO8601", utc=True).to_numpy(dtype="datetime64[ns]"))
    except (ValueError, TypeError, OverflowError) as error:
        rule, remedy = "must hold numbers or dates like 2024-01-31", "write them in this form or number the rows"
        raise data_error(path, rule, (str(error).splitlines() or [""])[0][:100], remedy) from error


def _split_in_order(spec: DatasetSpec, values: NDArray[Any]) -> Split:
    order = np.argsort(values, kind="stable")
    ordered = values[order]

    def start(share: float) -> int:
        """Return where the last rows of this share begin, including all rows of the same time."""
        at = len(ordered) - round(share * len(ordered))
        return int(np.searchsorted(ordered, ordered[at], side="left")) if at < len(ordered) else at

    test = start(spec.test) if spec.test > 0 else len(ordered)
    validation = min(start(spec.test + spec.validation), test)
    return Split(order[:validation], order[validation:test], order[test:], order[:test])


def _needed_rows(target: Target) -> tuple[int, str]:
    """Return the fewest rows that a part may have, and the rule that says so."""
    n_classes = len(target.classes)
    return max(1, n_classes), f"must leave a row{f' of each of the {n_classes} classes' if n_classes else ''}"


def _regression_advice(target: Target) -> str:
    """Return what to do about numbers that were taken for classes."""
    is_numeric = target.classes and target.kind in ("integer", "float")
    return "; if the target's numbers are amounts, write task: regression" if is_numeric else ""


def _check_validation(target: Target, n_rows: int, n_validation: int, n_train: int) -> None:
    n_needed, rule = _needed_rows(target)
    if n_validation < n_needed:
        got = f"{n_validation} of {n_rows}"
        remedy = f"raise it or add rows{_regression_advice(target)}"
        raise data_error("dataset.validation", f"{rule} to validate on", got, remedy)
    if n_train < n_needed:
        remedy = f"lower validation or test, or add rows{_regression_advice(target)}"
        raise data_error("dataset.validation", f"{rule} to train on", f"{n_train} of {n_rows}", remedy)


def _check_test(target: Target, n_rows: int, n_test: int) -> None:
    n_needed, rule = _needed_rows(target)
    if n_test < n_needed:
        remedy = f"raise it, set it to 0 or add rows{_regression_advice(target)}"
        raise data_error("dataset.test", f"{rule} to test on", f"{n_test} of {n_rows}", remedy)


def _check_stratified(target: Target, values: NDArray[Any]) -> None:
    counts = np.bincount(values, minlength=len(target.classes))
    _check_small_classes(target, np.flatnonzero(counts < 2))


def _check_classes(target: Target, train: Rows) -> None:
    if target.classes:
        counts = np.bincount(target.values[train], minlength=len(target.classes))
        _check_small_classes(target, np.flatnonzero(counts == 0))


def missing_class_notes(target: Target, rows: Split) -> tuple[str, ...]:
    """Return which classes are missing from the validation or the test rows, a sentence for each of the two parts."""
    parts = {"validation": rows.validation, "test": rows.test}
    notes = []
    for name, part in parts.items():
        missing: Rows = np.setdiff1d(np.arange(len(target.classes)), target.values[part]) if len(part) else part
        if len(missing):
            classes = name_some([target.classes[index] for index in missing])
            ending = (
                ", so val_auc has no value" if name == "validation" and len(missing) + 1 == len(target.classes) else ""
            )
            notes.append(f"No {name} row is of the class {classes}{ending}.")
    return tuple(notes)


def _check_small_classes(target: Target, small: NDArray[np.intp]) -> None:
    if len(small):
        counts = np.bincount(target.values)[small]
        got = f"{name_some([target.classes[index] for index in small])} with {', '.join(map(str, counts[:5]))}"
        remedy = f"add rows, merge or remove small classes, or lower validation and test{_regression_advice(target)}"
        raise data_error(target.path, "each class must have enough rows for every part", got, remedy)
