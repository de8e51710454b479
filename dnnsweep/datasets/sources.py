"""Where rows come from: scikit-learn, csv and npz files, and arrays handed over in Python."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import sklearn.datasets

from dnnsweep.datasets.arrays import Features, as_features, as_target
from dnnsweep.datasets.refusals import check_names, listed, refusal
from dnnsweep.errors import DataError, Mistake
from dnnsweep.space import show, suggest
from dnnsweep.spec import HANDED_OVER, SKLEARN, DatasetSpec

PLAIN_KEYS: Final = ("x", "y")
SPLIT_KEYS: Final = ("x_train", "y_train", "x_test", "y_test")
#: Numbers are read to the last bit, so that equal files give equal rows; pandas does so by itself since 3.1.
_EXACT: Final[Mapping[str, Any]] = (
    {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
)
#: What readers of text, of npz and of compressed files raise for a file that is not what its name says.
_UNREADABLE: Final = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    MemoryError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


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


def read(spec: DatasetSpec, data: tuple[Any, Any] | None) -> Source:
    """Read all rows of a source; `data`, where given, stands in for any source.

    Raises:
        DataError: There is no such source, or it cannot be read as rows and a target.
    """
    kind, _, name = spec.source.partition(":")
    if data is not None:
        return _read_arrays(data)
    if spec.source == HANDED_OVER:
        rule = "arrays are handed over in Python"
        raise refusal("dataset.source", rule, show(spec.source), "call dnnsweep.run(spec, data=(x, y))")
    if kind == "sklearn":
        return _read_sklearn(name)
    if kind == "csv":
        return _read_csv(spec, name)
    if kind == "npz":
        return _read_npz(name)
    rule = "must name a known kind of source"
    raise refusal("dataset.source", rule, show(spec.source), "write sklearn:NAME, csv:PATH or npz:PATH")


def _read_arrays(data: Any) -> Source:
    if not isinstance(data, tuple | list) or len(data) != 2:
        rule = "data must be a pair of rows and target"
        raise refusal("dataset.source", rule, type(data).__name__, "hand over data=(x, y)")
    x, y = data
    source = _paired(x, y, "x", "y")
    _check_index(x, y)
    return source


def _check_index(x: Any, y: Any) -> None:
    """Rows are paired by position, which would be wrong where pandas would pair them by index."""
    indexed = isinstance(x, pd.DataFrame | pd.Series) and isinstance(y, pd.DataFrame | pd.Series)
    if indexed and not x.index.equals(y.index):
        remedy = "if they are in the same order, call reset_index(drop=True) on both"
        raise refusal("dataset.source", "x and y must have the same index", "different ones", remedy)


def _read_sklearn(name: str) -> Source:
    if name not in SKLEARN:
        rule = f"must be one of {', '.join(f'sklearn:{known}' for known in SKLEARN)}"
        raise refusal("dataset.source", rule, show(f"sklearn:{name}"), suggest(name, SKLEARN))
    # scikit-learn scales diabetes by all its rows unless told not to; test rows must not reach a scaler.
    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(sklearn.datasets, f"load_{name}")(**options)
    labels = tuple(str(label) for label in bunch.get("target_names", ()))
    return Source(bunch.data, pd.Series(bunch.target), tuple(map(str, bunch.feature_names)), labels=labels)


def _file(name: str) -> Path:
    try:
        path = Path(name).expanduser()
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError) as error:
        raise _unreadable("a file that can be read", name, error, "check the path") from error
    if not is_file:
        got = f"the folder {show(name)}" if is_folder else show(name)
        remedy = "check the path; relative paths start where dnnsweep was started"
        raise refusal("dataset.source", "must be a file that exists", got, remedy)
    return path


def _unreadable(kind: str, name: str, error: Exception, remedy: str) -> DataError:
    reason = str(error).strip().splitlines()
    return refusal("dataset.source", f"must be {kind}", f"{show(name)}: {reason[0] if reason else 'nothing'}", remedy)


def _read_csv(spec: DatasetSpec, name: str) -> Source:
    if spec.target is None:
        raise refusal("dataset.target", "is missing", "", "name the column of the csv file to predict")
    frame = _csv_frame(name)
    _check_csv_columns(spec, [str(column) for column in frame.columns])
    kept = [column for column in frame.columns if column != spec.target and column not in spec.drop]
    if not kept:
        raise refusal("dataset.drop", "must leave a column to learn from", listed(list(spec.drop)))
    notes = (f"Left out the columns {listed(spec.drop)}.",) if spec.drop else ()
    return Source(
        x=frame[kept],
        y=frame[spec.target],
        columns=tuple(kept),
        target=spec.target,
        target_path="dataset.target",
        drop_remedy="leave it out with dataset.drop",
        notes=notes,
    )


def _csv_frame(name: str) -> pd.DataFrame:
    path = _file(name)
    try:
        # Two lines without a header: where the second is longer, pandas would take its first value for an index.
        header = pd.read_csv(path, header=None, nrows=2, dtype=str, keep_default_na=False).iloc[0].tolist()
        frame = pd.read_csv(path, low_memory=False, **_EXACT)
    except UnicodeDecodeError as error:
        raise _unreadable("a csv file in UTF-8", name, error, "save it as UTF-8") from error
    except _UNREADABLE as error:
        remedy = "separate the columns by commas" if _is_separated_otherwise(path) else "check the file"
        raise _unreadable("a csv file with a line of column names", name, error, remedy) from error
    check_names(header)
    if not len(frame):
        raise refusal("dataset.source", "must hold rows", "column names only")
    return frame


def _is_separated_otherwise(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as lines:
        header = lines.readline(10_000)
    return "," not in header and any(mark in header for mark in ";\t|")


def _check_csv_columns(spec: DatasetSpec, columns: Sequence[str]) -> None:
    wanted = {"dataset.target": spec.target or ""}
    wanted |= {f"dataset.drop.{index}": name for index, name in enumerate(spec.drop)}
    mistakes = [
        Mistake(path, "must be a column of the csv file", show(name), suggest(name, columns) or _known(columns))
        for path, name in wanted.items()
        if name not in columns
    ]
    if mistakes:
        raise DataError(mistakes)


def _known(columns: Sequence[str]) -> str:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        return "separate the columns by commas"
    return f"columns are {listed(columns)}"


def _read_npz(name: str) -> Source:
    arrays = _npz_arrays(name)
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
        raise refusal("dataset.source", f"{x_name} and {y_name} must have equally many rows", got)
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
        raise refusal("dataset.source", f"{name}_test must be like {name}_train, {train}", test)


def _form(x: Features) -> str:
    return f"{x.shape[1]} columns of {'text' if isinstance(x, pd.DataFrame) else 'numbers'}"


def _type(y: pd.Series) -> str:
    return {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "f": "numbers"}.get(y.dtype.kind, "text")


def _npz_arrays(name: str) -> Mapping[str, Any]:
    path = _file(name)
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {key: archive[key] for key in _npz_keys(archive.files)}
    except _UNREADABLE as error:
        remedy = "write it again with numpy.savez, without arrays of Python objects"
        raise _unreadable("an npz file of plain arrays", name, error, remedy) from error
    raise refusal("dataset.source", "must be an npz file", f"{show(name)}, a single array", "use numpy.savez")


def _npz_keys(found: Sequence[str]) -> tuple[str, ...]:
    for keys in (SPLIT_KEYS, PLAIN_KEYS):
        if set(keys) <= set(found):
            return keys
    rule = f"must hold the arrays {', '.join(PLAIN_KEYS)} or {', '.join(SPLIT_KEYS)}"
    raise refusal("dataset.source", rule, listed(sorted(found)) or "none", "rename the keys in numpy.savez")
