"""Where rows come from: data sets by name, files, a user's own function, and arrays passed in Python."""

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
from dnnsweep.datasets.bounds import INPUT_BYTES, check_shape
from dnnsweep.datasets.csv_files import CsvRequest, read_csv_frame
from dnnsweep.datasets.csv_forms import CsvForm
from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.files import array_keys, read_npz_arrays, read_parquet_frame
from dnnsweep.datasets.readings import Precedent
from dnnsweep.errors import DataError, Mistake
from dnnsweep.settings import Limits
from dnnsweep.space import did_you_mean, yaml_text
from dnnsweep.spec import HANDED_OVER, KERAS, SKLEARN, DatasetSpec

_ANEW: Final = Precedent()


@dataclass(frozen=True, slots=True)
class Source:
    """Rows as they were read.

    Args:
        x: Array (rows, columns) of numbers, or a DataFrame.
        y: Target, one value per row.
        columns: Names of the columns of `x`.
        n_own_test: Number of test rows that the source provides, which come last; None if it provides none.
        labels: Names of the classes 0, 1, ...; empty where `y` holds the names.
        target: Name of the target.
        target_path: YAML path of mistakes in the target.
        target_gaps: Cells of the target that count as missing, as they were written.
        drop_remedy: Tells a person how to leave out a column.
        notes: Sentences about what was done so far.
        is_reshaped: Whether `x` was read with more or fewer than two dimensions.
        row_shape: Shape of each row as it was read; None for rows of a table.
        is_column_target: Whether `y` was read as a column, (rows, 1).
        is_named: Whether `x` was read as a table, whose columns have names.
        is_dictionary: Whether a function returned a dictionary of arrays.
        key: Value that each row is split by; None for a random split.
        weight: Weight of each row; None where each weighs 1.
        form: How the CSV file is written; None for other sources.
        mistakes: What is wrong with columns that were left out of `x` because they cannot be read.
    """

    x: Features
    y: pd.Series
    columns: tuple[str, ...]
    n_own_test: int | None = None
    labels: tuple[str, ...] = ()
    target: str = "y"
    target_path: str = "dataset.source"
    target_gaps: tuple[str, ...] = ()
    drop_remedy: str = "remove it from x"
    notes: tuple[str, ...] = ()
    is_reshaped: bool = False
    row_shape: tuple[int, ...] | None = None
    is_column_target: bool = False
    is_named: bool = False
    is_dictionary: bool = False
    key: pd.Series | None = None
    weight: pd.Series | None = None
    form: CsvForm | None = None
    mistakes: tuple[Mistake, ...] = ()


def read(
    spec: DatasetSpec, data: tuple[Any, Any] | None, limits: Limits | None, precedent: Precedent = _ANEW
) -> Source:
    """Read all rows of a source.

    Args:
        spec: Names the source and its columns.
        data: Rows and target to use instead of the source.
        limits: What the operator allows; None for any file, and data of any size.
        precedent: How the source was read when the sweep was created.

    Raises:
        DataError: There is no such source, it is too large, or it cannot be read as rows and a target.
        SpecError: The user's own function cannot be imported.
    """
    source = _read_source(spec, data, limits, precedent)
    if limits is not None:
        check_shape(len(source.x), source.x.shape[1], limits, INPUT_BYTES)
    return source


def read_whole_table(spec: DatasetSpec) -> tuple[pd.DataFrame, CsvForm | None] | None:
    """Read a table as it is, before its target and other columns are told apart.

    Returns:
        The table, and how its CSV file is written; None for a source of arrays.

    Raises:
        DataError: The source cannot be read.
        SpecError: The user's own function cannot be imported.
    """
    kind, _, name = spec.source.partition(":")
    frame: Any = None
    form: CsvForm | None = None
    if kind == "csv":
        frame, form = read_csv_frame(name, None, _csv_request(spec, _ANEW))
    elif kind in ("parquet", "python"):
        frame = read_parquet_frame(name) if kind == "parquet" else _call_function(spec, None)
    if not isinstance(frame, pd.DataFrame):
        return None
    return frame.reset_index(drop=True).set_axis([str(column) for column in frame.columns], axis="columns"), form


def _read_source(
    spec: DatasetSpec, data: tuple[Any, Any] | None, limits: Limits | None, precedent: Precedent
) -> Source:
    kind, _, name = spec.source.partition(":")
    if data is not None:
        return _read_arrays(data)
    if spec.source == HANDED_OVER:
        rule = "arrays must be passed in Python"
        raise data_error("dataset.source", rule, yaml_text(spec.source), "call dnnsweep.run(spec, data=(x, y))")
    if kind not in _READERS:
        rule = "must name a known kind of source"
        remedy = f"write one of {', '.join(_READERS)}, then a colon and a name or path"
        raise data_error("dataset.source", rule, yaml_text(spec.source), remedy)
    return _READERS[kind](spec, name, limits, precedent)


def _read_arrays(data: Any) -> Source:
    if not isinstance(data, tuple | list) or len(data) != 2:
        rule = "data must be a pair of rows and target"
        raise data_error("dataset.source", rule, type(data).__name__, "pass data=(x, y)")
    x, y = data
    source = _make_source(x, y, "x", "y")
    _check_index(x, y)
    return source


def _check_index(x: Any, y: Any) -> None:
    """Refuse different indexes: rows are matched by position, where pandas would match them by index."""
    indexed = isinstance(x, pd.DataFrame | pd.Series) and isinstance(y, pd.DataFrame | pd.Series)
    if indexed and not x.index.equals(y.index):
        remedy = "if they are in the same order, call reset_index(drop=True) on both"
        raise data_error("dataset.source", "x and y must have the same index", "different ones", remedy)


def _read_sklearn(_: DatasetSpec, name: str, *_others: Any) -> Source:
    _check_name("sklearn", name, SKLEARN)
    # By default scikit-learn scales diabetes by all its rows, but no scaler may see test rows.
    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(sklearn.datasets, f"load_{name}")(**options)
    labels = tuple(str(label) for label in bunch.get("target_names", ()))
    columns, row_shape = tuple(map(str, bunch.feature_names)), bunch.data.shape[1:]
    return Source(bunch.data, pd.Series(bunch.target), columns, labels=labels, row_shape=row_shape)


def _read_keras(_: DatasetSpec, name: str, *_others: Any) -> Source:
    _check_name("keras", name, KERAS)
    return _source_from_arrays(keras_files.load_arrays(name))


def _check_name(kind: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        rule = f"must be one of {', '.join(f'{kind}:{choice}' for choice in names)}"
        raise data_error("dataset.source", rule, yaml_text(f"{kind}:{name}"), did_you_mean(name, names))


def _call_function(spec: DatasetSpec, limits: Limits | None) -> Any:
    """Call the user's own function; what it prints goes to stderr, because stdout holds data only."""
    function = user_functions.load(spec.source, "dataset.source", is_confined=limits is not None)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return function()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[: user_functions.MAX_REASON]
        rule = "must return rows when called"
        raise data_error("dataset.source", rule, f"{spec.source}: {reason}", "correct the function") from error


def _read_function(spec: DatasetSpec, _: str, limits: Limits | None, precedent: Precedent) -> Source:
    returned = _call_function(spec, limits)
    if isinstance(returned, pd.DataFrame):
        _check_target(spec, "of the table that the function returns")
        return _source_from_frame(spec, returned.reset_index(drop=True))
    if isinstance(returned, Mapping):
        keys = array_keys(list(map(str, returned)), is_lenient=precedent.is_plain)
        source = _source_from_arrays({key: returned[key] for key in keys})
        return replace(_note_others(source, [str(key) for key in returned if key not in keys]), is_dictionary=True)
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        rule = "must return (x, y), ((x_train, y_train), (x_test, y_test)), a dictionary of these, or a DataFrame"
        raise data_error("dataset.source", rule, f"{spec.source}: {type(returned).__name__}")
    if all(isinstance(part, tuple) and len(part) == 2 for part in returned):
        (x, y), (x_test, y_test) = returned
        return _source_from_arrays({"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test})
    return _read_arrays(returned)


def _check_target(spec: DatasetSpec, owner: str) -> None:
    if spec.target is None:
        raise data_error("dataset.target", "is missing", "", f"name the column {owner} to predict")


def _read_csv(spec: DatasetSpec, name: str, limits: Limits | None, precedent: Precedent) -> Source:
    frame, form = read_csv_frame(name, limits, _csv_request(spec, precedent))
    return replace(_source_from_frame(spec, frame), form=form)


def _csv_request(spec: DatasetSpec, precedent: Precedent) -> CsvRequest:
    if precedent.is_plain:
        return CsvRequest(form=CsvForm(), keeps_words=False)
    known = precedent.reading
    return CsvRequest(None if known is None else known.form, spec.csv, (*spec.text, *spec.dates))


def _read_parquet(spec: DatasetSpec, name: str, limits: Limits | None, _: Precedent) -> Source:
    return _source_from_frame(spec, read_parquet_frame(name, limits))


def _read_npz(_: DatasetSpec, name: str, limits: Limits | None, precedent: Precedent) -> Source:
    arrays, others = read_npz_arrays(name, limits, is_lenient=precedent.is_plain)
    return _note_others(_source_from_arrays(arrays), others)


def _note_others(source: Source, names: Sequence[str]) -> Source:
    """Say which arrays beside rows and target nothing is done with."""
    if not names:
        return source
    advice = "to split or weight rows by them, make them columns of a table"
    return replace(source, notes=(*source.notes, f"Left out the arrays {name_some(names)}; {advice}."))


def _source_from_frame(spec: DatasetSpec, frame: pd.DataFrame) -> Source:
    """Take the target and the dropped columns out of a table."""
    _check_target(spec, "of the file")
    frame = frame.set_axis([str(column) for column in frame.columns], axis="columns")
    _check_columns(spec, list(frame.columns))
    features = [column for column in frame.columns if column != spec.target and column not in spec.drop]
    if not features:
        raise data_error("dataset.drop", "must leave a column to learn from", name_some(list(spec.drop)))
    notes = (f"Left out the columns {name_some(spec.drop)}.",) if spec.drop else ()
    return Source(
        x=frame[features],
        y=frame[str(spec.target)],
        columns=tuple(features),
        target=str(spec.target),
        target_path="dataset.target",
        drop_remedy="leave it out with dataset.drop",
        notes=notes,
        is_named=True,
    )


def _check_columns(spec: DatasetSpec, columns: Sequence[str]) -> None:
    names = {"dataset.target": spec.target or ""}
    names |= {f"dataset.drop.{index}": name for index, name in enumerate(spec.drop)}
    mistakes = [
        Mistake(path, "must be a column of the table", yaml_text(name), columns_remedy(name, columns))
        for path, name in names.items()
        if name not in columns
    ]
    if mistakes:
        raise DataError(mistakes)


def columns_remedy(name: str, columns: Sequence[str]) -> str:
    """Return what to do about a name that is not one of the columns."""
    if closest := did_you_mean(name, columns):
        return closest
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        return "name the character between columns with dataset.csv.separator"
    return f"the columns are {name_some(columns)}"


def set_roles_apart(spec: DatasetSpec, source: Source) -> Source:
    """Take the columns that rows are split or weighted by out of the features.

    Raises:
        DataError: There are no such columns, or no others.
    """
    columns = {"key": spec.split and spec.split.column, "weight": spec.sample_weight}
    paths = {"key": spec.split and f"dataset.split.{spec.split.kind}", "weight": "dataset.sample_weight"}
    roles = {role: name for role, name in columns.items() if name}
    if not roles:
        return source
    for role, name in roles.items():
        path = str(paths[role])
        if not isinstance(source.x, pd.DataFrame):
            raise data_error(path, "needs a table with named columns", yaml_text(name), "use a table or remove it")
        if name not in source.columns:
            remedy = columns_remedy(name, source.columns)
            raise data_error(path, "must be a column that is neither the target nor dropped", yaml_text(name), remedy)
    features = [name for name in source.columns if name not in roles.values()]
    if not features:
        raise data_error("dataset.source", "must leave a column to learn from", name_some(list(source.columns)))
    assert isinstance(source.x, pd.DataFrame)  # noqa: S101  checked above
    role_columns: dict[str, Any] = {role: source.x[name] for role, name in roles.items()}
    note = f"Used {name_some(list(roles.values()))} to split or weight rows, not as features."
    x = source.x.drop(columns=list(dict.fromkeys(roles.values())))
    return replace(source, x=x, columns=tuple(features), notes=(*source.notes, note), **role_columns)


def _source_from_arrays(arrays: Mapping[str, Any]) -> Source:
    if "x" in arrays:
        return _make_source(arrays["x"], arrays["y"], "x", "y")
    train = _make_source(arrays["x_train"], arrays["y_train"], "x_train", "y_train")
    test = _make_source(arrays["x_test"], arrays["y_test"], "x_test", "y_test")
    return _append_test_rows(train, test)


def _make_source(x_raw: Any, y_raw: Any, x_name: str, y_name: str) -> Source:
    x, columns, notes = as_features(x_raw, x_name)
    y = as_target(y_raw, y_name)
    if len(x) != len(y):
        got = f"{len(x)} in {x_name} and {len(y)} in {y_name}"
        raise data_error("dataset.source", f"{x_name} and {y_name} must have the same number of rows", got)
    return Source(
        x,
        y,
        columns,
        target=y_name,
        notes=notes,
        is_reshaped=np.ndim(x_raw) != 2,
        row_shape=None if isinstance(x, pd.DataFrame) else np.shape(x_raw)[1:],
        is_column_target=np.ndim(y_raw) == 2,
        is_named=isinstance(x_raw, pd.DataFrame | pd.Series),
    )


def _append_test_rows(train: Source, test: Source) -> Source:
    """Put the test rows that a source provides after its other rows."""
    _check_alike("x", _describe_columns(train.x), _describe_columns(test.x))
    _check_alike("y", _describe_values(train.y), _describe_values(test.y))
    is_frame = isinstance(train.x, pd.DataFrame)
    x = pd.concat([train.x, test.x], ignore_index=True) if is_frame else np.concatenate([train.x, test.x])
    y = pd.concat([train.y, test.y], ignore_index=True)
    note = f"Used the {len(test.y)} test rows that the source provides; dataset.test is ignored."
    return replace(train, x=x, y=y, n_own_test=len(test.y), notes=(*train.notes, note))


def _check_alike(name: str, train: str, test: str) -> None:
    if train != test:
        raise data_error("dataset.source", f"{name}_test must be like {name}_train ({train})", test)


def _describe_columns(x: Features) -> str:
    return f"{x.shape[1]} columns of {'text' if isinstance(x, pd.DataFrame) else 'numbers'}"


def _describe_values(y: pd.Series) -> str:
    return {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}.get(y.dtype.kind, "text")


_READERS: Final[Mapping[str, Callable[[DatasetSpec, str, Limits | None, Precedent], Source]]] = {
    "sklearn": _read_sklearn,
    "keras": _read_keras,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "npz": _read_npz,
    "python": _read_function,
}
