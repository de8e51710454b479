"""Where rows come from: data sets by name, files, a user's own function, and arrays handed over in Python."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import sklearn.datasets

from dnnsweep import user_functions
from dnnsweep.datasets import keras_files
from dnnsweep.datasets.arrays import Features, as_features, as_target
from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.files import csv_frame, keys_of, npz_arrays, parquet_frame
from dnnsweep.errors import DataError, Mistake
from dnnsweep.space import did_you_mean, yaml_text
from dnnsweep.spec import HANDED_OVER, KERAS, SKLEARN, DatasetSpec


@dataclass(frozen=True, slots=True)
class Source:
    """Rows as they were found.

    Args:
        x: Array (rows, columns) of numbers, or a DataFrame.
        y: The target, one value for each row.
        columns: Names of the columns of `x`.
        n_own_test: How many of the last rows the file itself holds apart as test rows; None if it does not.
        labels: Names of the classes 0, 1, ...; empty where `y` says them itself.
        target: The target's name.
        target_path: YAML path for mistakes in the target.
        drop_remedy: How a person leaves out a column.
        notes: What was done so far.
        is_reshaped: Whether rows of `x` were found with another number of dimensions than one.
        is_column_target: Whether `y` was found as a column, (rows, 1).
        is_dictionary: Whether a function returned a dictionary of arrays.
        key: What `dataset.split` splits by, one value for each row; None if it does not.
        weight: Of each row; None for equal ones.
    """

    x: Features
    y: pd.Series
    columns: tuple[str, ...]
    n_own_test: int | None = None
    labels: tuple[str, ...] = ()
    target: str = "y"
    target_path: str = "dataset.source"
    drop_remedy: str = "remove it from x"
    notes: tuple[str, ...] = ()
    is_reshaped: bool = False
    is_column_target: bool = False
    is_dictionary: bool = False
    key: pd.Series | None = None
    weight: pd.Series | None = None


def read(spec: DatasetSpec, data: tuple[Any, Any] | None) -> Source:
    """Read all rows of a source; `data`, where given, stands in for any source.

    Raises:
        DataError: There is no such source, or it cannot be read as rows and a target.
        SpecError: A function of the user's own cannot be imported.
    """
    return _without_roles(spec, _read(spec, data))


def _read(spec: DatasetSpec, data: tuple[Any, Any] | None) -> Source:
    kind, _, name = spec.source.partition(":")
    if data is not None:
        return _read_arrays(data)
    if spec.source == HANDED_OVER:
        rule = "arrays are handed over in Python"
        raise data_error("dataset.source", rule, yaml_text(spec.source), "call dnnsweep.run(spec, data=(x, y))")
    if kind not in _READERS:
        rule = "must name a known kind of source"
        raise data_error("dataset.source", rule, yaml_text(spec.source), "write sklearn:NAME, csv:PATH or npz:PATH")
    return _READERS[kind](spec, name)


def _read_arrays(data: Any) -> Source:
    if not isinstance(data, tuple | list) or len(data) != 2:
        rule = "data must be a pair of rows and target"
        raise data_error("dataset.source", rule, type(data).__name__, "hand over data=(x, y)")
    x, y = data
    source = _paired(x, y, "x", "y")
    _check_index(x, y)
    return source


def _check_index(x: Any, y: Any) -> None:
    """Rows are paired by position, which would be wrong where pandas would pair them by index."""
    indexed = isinstance(x, pd.DataFrame | pd.Series) and isinstance(y, pd.DataFrame | pd.Series)
    if indexed and not x.index.equals(y.index):
        remedy = "if they are in the same order, call reset_index(drop=True) on both"
        raise data_error("dataset.source", "x and y must have the same index", "different ones", remedy)


def _read_sklearn(_: DatasetSpec, name: str) -> Source:
    _check_name("sklearn", name, SKLEARN)
    # scikit-learn scales diabetes by all its rows unless told not to; test rows must not reach a scaler.
    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(sklearn.datasets, f"load_{name}")(**options)
    labels = tuple(str(label) for label in bunch.get("target_names", ()))
    return Source(bunch.data, pd.Series(bunch.target), tuple(map(str, bunch.feature_names)), labels=labels)


def _read_keras(_: DatasetSpec, name: str) -> Source:
    _check_name("keras", name, KERAS)
    return _of_arrays(keras_files.arrays(name))


def _check_name(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        rule = f"must be one of {', '.join(f'{kind}:{one}' for one in known)}"
        raise data_error("dataset.source", rule, yaml_text(f"{kind}:{name}"), did_you_mean(name, known))


def _read_function(spec: DatasetSpec, _: str) -> Source:
    """Call a function of the user's own; what it prints goes to stderr, for stdout holds data only."""
    function = user_functions.load(spec.source, "dataset.source")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = function()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[: user_functions.MAX_REASON]
        raise data_error(
            "dataset.source", "must return rows when it is called", f"{spec.source}: {reason}", "correct the function"
        ) from error
    if isinstance(found, pd.DataFrame):
        _check_target(spec, "where the function returns a table")
        return _of_frame(spec, found.reset_index(drop=True))
    if isinstance(found, Mapping):
        return replace(_of_arrays({key: found[key] for key in keys_of(list(map(str, found)))}), is_dictionary=True)
    if not isinstance(found, tuple | list) or len(found) != 2:
        rule = "must return (x, y), ((x_train, y_train), (x_test, y_test)), a dictionary of these, or a DataFrame"
        raise data_error("dataset.source", rule, f"{spec.source}: {type(found).__name__}")
    if all(isinstance(part, tuple) and len(part) == 2 for part in found):
        (x, y), (x_test, y_test) = found
        return _of_arrays({"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test})
    return _read_arrays(found)


def _check_target(spec: DatasetSpec, where: str) -> None:
    if spec.target is None:
        raise data_error("dataset.target", "is missing", "", f"name the column to predict {where}")


def _of_frame(spec: DatasetSpec, frame: pd.DataFrame) -> Source:
    """Take the target out of a table, and the columns that are not learned from."""
    _check_target(spec, "in the file")
    frame = frame.set_axis([str(column) for column in frame.columns], axis="columns")
    _check_columns(spec, list(frame.columns))
    kept = [column for column in frame.columns if column != spec.target and column not in spec.drop]
    if not kept:
        raise data_error("dataset.drop", "must leave a column to learn from", name_some(list(spec.drop)))
    notes = (f"Left out the columns {name_some(spec.drop)}.",) if spec.drop else ()
    return Source(
        x=frame[kept],
        y=frame[str(spec.target)],
        columns=tuple(kept),
        target=str(spec.target),
        target_path="dataset.target",
        drop_remedy="leave it out with dataset.drop",
        notes=notes,
    )


def _check_columns(spec: DatasetSpec, columns: Sequence[str]) -> None:
    wanted = {"dataset.target": spec.target or ""}
    wanted |= {f"dataset.drop.{index}": name for index, name in enumerate(spec.drop)}
    mistakes = [
        Mistake(path, "must be a column of the table", yaml_text(name), did_you_mean(name, columns) or _known(columns))
        for path, name in wanted.items()
        if name not in columns
    ]
    if mistakes:
        raise DataError(mistakes)


def _known(columns: Sequence[str]) -> str:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        return "separate the columns by commas"
    return f"columns are {name_some(columns)}"


def _without_roles(spec: DatasetSpec, source: Source) -> Source:
    """Take out the columns that rows are split or weighted by: they are not learned from."""
    wanted = {"key": spec.split and spec.split.column, "weight": spec.sample_weight}
    paths = {"key": spec.split and f"dataset.split.{spec.split.kind}", "weight": "dataset.sample_weight"}
    roles = {role: name for role, name in wanted.items() if name}
    if not roles:
        return source
    for role, name in roles.items():
        path = str(paths[role])
        if not isinstance(source.x, pd.DataFrame):
            raise data_error(path, "needs rows with named columns", yaml_text(name), "hand over a table, or remove it")
        if name not in source.columns:
            remedy = did_you_mean(name, source.columns) or _known(source.columns)
            raise data_error(path, "must be a column beside the target and those left out", yaml_text(name), remedy)
    left = [name for name in source.columns if name not in roles.values()]
    if not left:
        raise data_error("dataset.source", "must leave a column to learn from", name_some(list(source.columns)))
    assert isinstance(source.x, pd.DataFrame)  # noqa: S101  checked above
    taken: dict[str, Any] = {role: source.x[name] for role, name in roles.items()}
    note = f"Left out {name_some(list(roles.values()))}, by which rows are split or weighted."
    return replace(source, x=source.x[left], columns=tuple(left), notes=(*source.notes, note), **taken)


def _of_arrays(arrays: Mapping[str, Any]) -> Source:
    if "x" in arrays:
        return _paired(arrays["x"], arrays["y"], "x", "y")
    train = _paired(arrays["x_train"], arrays["y_train"], "x_train", "y_train")
    test = _paired(arrays["x_test"], arrays["y_test"], "x_test", "y_test")
    return _joined(train, test)


def _paired(x_raw: Any, y_raw: Any, x_name: str, y_name: str) -> Source:
    x, columns, notes = as_features(x_raw, x_name)
    y = as_target(y_raw, y_name)
    if len(x) != len(y):
        got = f"{len(x)} rows in {x_name} and {len(y)} in {y_name}"
        raise data_error("dataset.source", f"{x_name} and {y_name} must have equally many rows", got)
    is_reshaped, is_column = np.ndim(x_raw) != 2, np.ndim(y_raw) == 2
    return Source(x, y, columns, target=y_name, notes=notes, is_reshaped=is_reshaped, is_column_target=is_column)


def _joined(train: Source, test: Source) -> Source:
    """Put a file's own test rows after its training rows."""
    _check_alike("x", _form(train.x), _form(test.x))
    _check_alike("y", _type(train.y), _type(test.y))
    is_frame = isinstance(train.x, pd.DataFrame)
    x = pd.concat([train.x, test.x], ignore_index=True) if is_frame else np.concatenate([train.x, test.x])
    y = pd.concat([train.y, test.y], ignore_index=True)
    note = f"Used the {len(test.y)} test rows that the file itself holds apart; dataset.test is ignored."
    return replace(train, x=x, y=y, n_own_test=len(test.y), notes=(*train.notes, note))


def _check_alike(name: str, train: str, test: str) -> None:
    if train != test:
        raise data_error("dataset.source", f"{name}_test must be like {name}_train, {train}", test)


def _form(x: Features) -> str:
    return f"{x.shape[1]} columns of {'text' if isinstance(x, pd.DataFrame) else 'numbers'}"


def _type(y: pd.Series) -> str:
    return {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}.get(y.dtype.kind, "text")


_READERS: Final[Mapping[str, Callable[[DatasetSpec, str], Source]]] = {
    "sklearn": _read_sklearn,
    "keras": _read_keras,
    "csv": lambda spec, name: _of_frame(spec, csv_frame(name)),
    "parquet": lambda spec, name: _of_frame(spec, parquet_frame(name)),
    "npz": lambda _, name: _of_arrays(npz_arrays(name)),
    "python": _read_function,
}
