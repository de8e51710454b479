"""Files of rows: csv, parquet and npz, read as they are."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from dnnsweep.datasets.data_errors import check_unique_names, data_error, name_some
from dnnsweep.errors import DataError
from dnnsweep.space import yaml_text

PLAIN_KEYS: Final = ("x", "y")
SPLIT_KEYS: Final = ("x_train", "y_train", "x_test", "y_test")
#: Read numbers to the last bit, so that equal files give equal rows; pandas 3.1 and later do so by default.
_EXACT: Final[Mapping[str, Any]] = (
    {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
)
#: What the readers of text, npz and compressed files raise if a file is not what its name says.
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


def _existing_file(name: str) -> Path:
    try:
        path = Path(name).expanduser()
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError) as error:
        raise _unreadable("a file that can be read", name, error, "check the path") from error
    if not is_file:
        got = f"the folder {yaml_text(name)}" if is_folder else yaml_text(name)
        remedy = "check the path; relative paths start in the folder where dnnsweep was started"
        raise data_error("dataset.source", "must be a file that exists", got, remedy)
    return path


def _unreadable(kind: str, name: str, error: Exception, remedy: str) -> DataError:
    reason, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return data_error("dataset.source", f"must be {kind}", f"{yaml_text(name)}: {reason}", remedy)


def read_csv_frame(name: str) -> pd.DataFrame:
    """Read a CSV file with a header line.

    Raises:
        DataError: The file cannot be read, repeats a column name, or holds no rows.
    """
    path = _existing_file(name)
    try:
        # The header is read by itself: where a row is longer, pandas would take its first value for an index.
        header = pd.read_csv(path, header=None, nrows=2, dtype=str, keep_default_na=False).iloc[0].tolist()
        frame = pd.read_csv(path, low_memory=False, **_EXACT)
    except UnicodeDecodeError as error:
        raise _unreadable("a CSV file in UTF-8", name, error, "save it as UTF-8") from error
    except _UNREADABLE as error:
        remedy = "separate the columns with commas" if _has_other_separators(path) else "check the file"
        raise _unreadable("a CSV file with a line of column names", name, error, remedy) from error
    check_unique_names(header)
    if not len(frame):
        raise data_error("dataset.source", "must hold rows", "column names only")
    return frame


def _has_other_separators(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as lines:
        header = lines.readline(10_000)
    return "," not in header and any(mark in header for mark in ";\t|")


def read_parquet_frame(name: str) -> pd.DataFrame:
    """Read a parquet file without its index.

    Raises:
        DataError: The file cannot be read, repeats a column name, or holds no rows.
    """
    path = _existing_file(name)
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except (*_UNREADABLE, NotImplementedError) as error:
        raise _unreadable("a parquet file", name, error, "check the file") from error
    check_unique_names([str(column) for column in frame.columns])
    if not len(frame):
        raise data_error("dataset.source", "must hold rows", "column names only")
    return frame.reset_index(drop=True)


def read_npz_arrays(name: str) -> Mapping[str, Any]:
    """Read `x` and `y` of an npz file, or `x_train`, `y_train`, `x_test` and `y_test`.

    Raises:
        DataError: The file cannot be read or lacks these arrays.
    """
    path = _existing_file(name)
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {key: archive[key] for key in array_keys(archive.files)}
    except _UNREADABLE as error:
        remedy = "write it with numpy.savez, without arrays of Python objects"
        raise _unreadable("an npz file of plain arrays", name, error, remedy) from error
    raise data_error(
        "dataset.source", "must be an npz file", f"{yaml_text(name)}, a single array", "write it with numpy.savez"
    )


def array_keys(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the arrays to read: with test rows of their own if there are any, else without.

    Raises:
        DataError: Neither set of arrays is complete.
    """
    for keys in (SPLIT_KEYS, PLAIN_KEYS):
        if set(keys) <= set(names):
            return keys
    rule = "must hold the arrays x and y, or x_train, y_train, x_test and y_test"
    raise data_error("dataset.source", rule, name_some(sorted(names)) or "none", "rename the arrays")
