"""Targets: what is to be predicted, and the task that follows from it."""

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

#: More distinct whole numbers than these are numbers, not classes.
MAX_CLASSES: Final = 50
#: From this share on, the largest class is worth a word.
UNBALANCED: Final = 0.8


@dataclass(frozen=True, slots=True)
class Target:
    """The target, decided.

    Args:
        name: What errors call it.
        path: YAML path of mistakes in it.
        task: From the values, or as the sweep file says.
        kind: Of the values as they were found: `boolean`, `integer`, `float` or `text`.
        found: (rows,) values as they were found.
        values: (rows,) int32 class indices, or float64 numbers.
        classes: Names of the classes, sorted by value; empty for regression.
        notes: What a person should know about the decision.
    """

    name: str
    path: str
    task: Task
    kind: str
    found: NDArray[Any]
    values: NDArray[Any]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def target_of(source: Source, task: str) -> Target:
    """Decide the task and bring the target to class indices or numbers.

    Where the file holds test rows apart, only the others decide.

    Text, booleans and at most `MAX_CLASSES` distinct whole numbers are classes, real numbers are not.

    Args:
        source: Where the target comes from.
        task: `auto`, or the task that the sweep file asks for.

    Raises:
        DataError: Values are missing, infinite or all equal, or do not fit the task.
    """
    kind, found = _found(source)
    distinct = np.unique(found[: len(found) - (source.n_own_test or 0)])
    if len(distinct) < 2:
        rule = f"{source.target} must have at least two distinct values"
        raise data_error(source.target_path, rule, f"{_label(distinct[0])} in every row", "choose another target")
    decided = _decide(kind, distinct) if task == "auto" else _checked(Task(task), kind, distinct)
    known = (source.target, source.target_path, decided, kind, found)
    if decided is Task.REGRESSION:
        return Target(*known, found.astype(np.float64), notes=_number_notes(kind, distinct))
    classes = tuple(source.labels[value] if source.labels else _label(value) for value in distinct)
    indices = _indices(found, distinct)
    return Target(*known, indices, classes, notes=_balance_notes(indices, classes))


def _balance_notes(indices: NDArray[np.int32], classes: tuple[str, ...]) -> tuple[str, ...]:
    counts = np.bincount(indices)
    largest = int(counts.argmax())
    share = counts[largest] / len(indices)
    if share < UNBALANCED:
        return ()
    what = f"{share:.1%} of the rows are {classes[largest]!r}, and so right is whoever always says so"
    return (f"{what}; val_auc, val_f1 and dataset.class_weight look at the others.",)


def _indices(found: NDArray[Any], distinct: NDArray[Any]) -> NDArray[np.int32]:
    """Return the class of each row; rows of a file's own test part may not add a class."""
    indices = pd.Index(distinct).get_indexer(pd.Index(found))
    strange = sorted({_label(value) for value in found[indices < 0]})
    if strange:
        raise data_error("dataset.source", "classes of y_test must occur in y_train", name_some(strange))
    return np.asarray(indices, dtype=np.int32)


def _found(source: Source) -> tuple[str, NDArray[Any]]:
    y, name, path = source.y, source.target, source.target_path
    n_missing = int(y.isna().sum())
    if n_missing:
        remedy = "remove these rows or fill them in (empty, NA, None and nan count as missing)"
        raise data_error(path, f"{name} must not be missing", f"{n_missing} of {len(y)} rows without it", remedy)
    if not is_number(y):
        return "text", _texts(y, name, path)
    kind = "boolean" if is_bool_dtype(y.dtype) else "float" if is_float_dtype(y.dtype) else "integer"
    whole = np.uint64 if is_unsigned_integer_dtype(y.dtype) else np.int64
    found: NDArray[Any] = y.to_numpy(dtype={"boolean": np.bool_, "float": np.float64, "integer": whole}[kind])
    n_infinite = int((np.abs(found) > LARGEST).sum()) if kind == "float" else 0
    if n_infinite:
        raise data_error(
            path, f"{name} must be finite and at most {LARGEST:.1e} in size", f"{n_infinite} infinite values"
        )
    return kind, found


def _texts(y: pd.Series, name: str, path: str) -> NDArray[Any]:
    strange = text_kind(y)
    if strange:
        raise data_error(path, f"{name} must hold numbers, text or booleans", strange, "turn it into numbers or text")
    return text_values(y)


def _decide(kind: str, distinct: NDArray[Any]) -> Task:
    if kind == "float" or (kind == "integer" and len(distinct) > MAX_CLASSES):
        return Task.REGRESSION
    return Task.BINARY if len(distinct) == 2 else Task.MULTICLASS


def _checked(task: Task, kind: str, distinct: NDArray[Any]) -> Task:
    if task is Task.REGRESSION and kind == "text":
        raise _misfit("regression needs a target of numbers", f"text ({name_some(list(distinct))})", distinct)
    if task is Task.BINARY and len(distinct) != 2:
        raise _misfit("binary needs exactly two classes", f"{len(distinct)} distinct values", distinct)
    if task is not Task.REGRESSION and kind == "float" and not (distinct == np.round(distinct)).all():
        raise _misfit("classes must be text, booleans or whole numbers", "fractions", distinct)
    return task


def _misfit(rule: str, got: str, distinct: NDArray[Any]) -> DataError:
    is_number_target = distinct.dtype.kind == "f"
    fitting = Task.REGRESSION if is_number_target else Task.BINARY if len(distinct) == 2 else Task.MULTICLASS
    return data_error("task", rule, got, f"write task: {fitting} or leave it out")


def _number_notes(kind: str, distinct: NDArray[Any]) -> tuple[str, ...]:
    if len(distinct) <= MAX_CLASSES and kind == "float" and (distinct == np.round(distinct)).all():
        return (f"Took the target's {len(distinct)} distinct numbers as numbers; task: makes them classes.",)
    if kind == "integer" and len(distinct) > MAX_CLASSES:
        return (f"Took the target's {len(distinct)} distinct whole numbers as numbers; task: makes them classes.",)
    return ()


def _label(value: Any) -> str:
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value)
