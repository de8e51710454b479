"""Targets: the values to predict, and the task that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_float_dtype, is_unsigned_integer_dtype

from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.frames import LARGEST, is_number, text_kind, text_values
from dnnsweep.datasets.sources import Source
from dnnsweep.errors import DataError
from dnnsweep.records import Task

#: A target with more distinct integers than this is numeric.
MAX_CLASSES: Final = 50
#: Share of the largest class from which the imbalance is noted.
UNBALANCED: Final = 0.8
_ZERO_OR_ONE: Final = "Took the target's 0.0 and 1.0 for classes; if they are amounts, write task: regression."


@dataclass(frozen=True, slots=True)
class Target:
    """The target, with the task decided.

    Args:
        name: Name of the target in errors.
        path: YAML path of mistakes in the target.
        task: Task that the values or the sweep file ask for.
        kind: Kind of the raw values: `boolean`, `integer`, `float` or `text`.
        raw: (rows,) values as they were read.
        values: (rows,) int32 class indices, or float64 numbers.
        classes: Names of the classes, sorted by value; empty for regression.
        notes: Sentences about the target that a person should read.
        has_names: Whether the classes are names that the source has for its numbers.
    """

    name: str
    path: str
    task: Task
    kind: str
    raw: NDArray[Any]
    values: NDArray[Any]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    has_names: bool = False

    @property
    def label_kind(self) -> str:
        """Return the kind of the labels."""
        return "text" if self.has_names else self.kind


def make_target(source: Source, task: str, *, is_plain: bool = False) -> Target:
    """Decide the task and turn the target into class indices or numbers.

    Text, booleans, up to `MAX_CLASSES` distinct integers, and 0.0 and 1.0 alone are classes; other numbers are a
    regression. Test rows that the source provides have no say in this.

    Args:
        source: Holds the target.
        task: `auto`, or the task that the sweep file asks for.
        is_plain: Whether 0.0 and 1.0 are a regression, as in sweeps of earlier versions.

    Raises:
        DataError: Values are missing, infinite or all equal, or do not fit the task.
    """
    kind, raw = _read_values(source)
    distinct = np.unique(raw[: len(raw) - (source.n_own_test or 0)])
    if len(distinct) < 2:
        rule = f"{source.target} must have at least two distinct values"
        raise data_error(source.target_path, rule, f"{_label(distinct[0])} in every row", "choose another target")
    is_zero_or_one = kind == "float" and not is_plain and np.array_equal(distinct, (0.0, 1.0))
    decided = (
        Task.BINARY
        if task == "auto" and is_zero_or_one
        else _decide(kind, distinct)
        if task == "auto"
        else _check_task(Task(task), kind, distinct)
    )
    description = (source.target, source.target_path, decided, kind, raw)
    if decided is Task.REGRESSION:
        return Target(*description, raw.astype(np.float64), notes=_number_notes(kind, distinct))
    classes = tuple(source.labels[value] if source.labels else _label(value) for value in distinct)
    indices = _class_indices(raw, distinct)
    notes = (*([_ZERO_OR_ONE] if task == "auto" and is_zero_or_one else []), *_balance_notes(indices, classes))
    return Target(*description, indices, classes, notes=notes, has_names=bool(source.labels))


def _balance_notes(indices: NDArray[np.int32], classes: tuple[str, ...]) -> tuple[str, ...]:
    counts = np.bincount(indices)
    largest = int(counts.argmax())
    share = counts[largest] / len(indices)
    if share < UNBALANCED:
        return ()
    imbalance = f"Imbalanced: always predicting {classes[largest]!r} is {share:.1%} accurate, so accuracy says little"
    return (f"{imbalance}; val_auc, val_f1 and class_weight: balanced allow for it.",)


def _class_indices(raw: NDArray[Any], distinct: NDArray[Any]) -> NDArray[np.int32]:
    """Return the class of each row; test rows that the source provides may not add a class."""
    indices = pd.Index(distinct).get_indexer(pd.Index(raw))
    unknown = sorted({_label(value) for value in raw[indices < 0]})
    if unknown:
        raise data_error("dataset.source", "every class of y_test must occur in y_train", name_some(unknown))
    return np.asarray(indices, dtype=np.int32)


def _read_values(source: Source) -> tuple[str, NDArray[Any]]:
    """Return the kind of the target's values, and the values."""
    y, name, path = source.y, source.target, source.target_path
    n_missing = int(y.isna().sum())
    if n_missing:
        met = f" ({name_some(source.target_gaps)})" if any(gap.strip() for gap in source.target_gaps) else ""
        remedy = "remove these rows or fill them in; dataset.missing lists the words that count as missing"
        raise data_error(path, f"{name} must not be missing", f"{n_missing} of {len(y)} rows without it{met}", remedy)
    if not is_number(y):
        return "text", _read_texts(y, name, path)
    kind = "boolean" if is_bool_dtype(y.dtype) else "float" if is_float_dtype(y.dtype) else "integer"
    whole = np.uint64 if is_unsigned_integer_dtype(y.dtype) else np.int64
    values: NDArray[Any] = y.to_numpy(dtype={"boolean": np.bool_, "float": np.float64, "integer": whole}[kind])
    n_infinite = int((np.abs(values) > LARGEST).sum()) if kind == "float" else 0
    if n_infinite:
        rule = f"{name} must be finite and at most {LARGEST:.1e} in size"
        raise data_error(path, rule, f"{n_infinite} infinite or larger values")
    return kind, values


def _read_texts(y: pd.Series, name: str, path: str) -> NDArray[Any]:
    kind = text_kind(y)
    if kind:
        raise data_error(path, f"{name} must hold numbers, text or booleans", kind, "convert it to numbers or text")
    return text_values(y)


def _decide(kind: str, distinct: NDArray[Any]) -> Task:
    if kind == "float" or (kind == "integer" and len(distinct) > MAX_CLASSES):
        return Task.REGRESSION
    return Task.BINARY if len(distinct) == 2 else Task.MULTICLASS


def _check_task(task: Task, kind: str, distinct: NDArray[Any]) -> Task:
    if task is Task.REGRESSION and kind == "text":
        raise _task_error("regression needs a numeric target", f"text ({name_some(list(distinct))})", distinct)
    if task is Task.BINARY and len(distinct) != 2:
        raise _task_error("binary needs exactly two classes", f"{len(distinct)} distinct values", distinct)
    if task is not Task.REGRESSION and kind == "float" and not (distinct == np.round(distinct)).all():
        raise _task_error("classes must be text, booleans or whole numbers", "fractions", distinct)
    return task


def _task_error(rule: str, got: str, distinct: NDArray[Any]) -> DataError:
    is_number_target = distinct.dtype.kind == "f"
    fitting = Task.REGRESSION if is_number_target else Task.BINARY if len(distinct) == 2 else Task.MULTICLASS
    return data_error("task", rule, got, f"write task: {fitting} or leave it out")


def _number_notes(kind: str, distinct: NDArray[Any]) -> tuple[str, ...]:
    """Point out a numeric target that looks like classes."""
    is_whole = kind == "float" and len(distinct) <= MAX_CLASSES and (distinct == np.round(distinct)).all()
    is_long = kind == "integer" and len(distinct) > MAX_CLASSES
    if not (is_whole or is_long):
        return ()
    task = Task.BINARY if len(distinct) == 2 else Task.MULTICLASS
    return (
        f"Treated the target's {len(distinct)} distinct values as numbers; if they are classes, write task: {task}.",
    )


def _label(value: Any) -> str:
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value)
