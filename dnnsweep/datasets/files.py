"""Files of rows: opened once, and read from what was opened."""

from __future__ import annotations

import csv
import lzma
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.confined_files import open_below
from dnnsweep.datasets.bounds import INPUT_BYTES, check_bound, check_shape
from dnnsweep.datasets.data_errors import check_unique_names, data_error, name_some
from dnnsweep.errors import DataError
from dnnsweep.settings import Limits
from dnnsweep.space import yaml_text

PLAIN_KEYS: Final = ("x", "y")
SPLIT_KEYS: Final = ("x_train", "y_train", "x_test", "y_test")
#: Names of arrays that hold rows or targets.
_ROWS: Final = re.compile(r"[xXyY](_.*|[0-9]*)")
#: What the readers of text, npz and compressed files raise if a file is not what its name says.
UNREADABLE: Final = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    csv.Error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


def open_file(name: str, limits: Limits | None) -> BinaryIO:
    """Open a file of rows; all that is checked and read afterwards is what was opened here.

    Args:
        name: Path of the file.
        limits: What the operator allows: the file must be below the data folder. None allows any file.

    Raises:
        DataError: There is no such file, or it is too large.
        OSError: It cannot be opened.
    """
    return _existing_file(name).open("rb") if limits is None else _open_below(name, limits)


def _existing_file(name: str) -> Path:
    try:
        path = Path(name).expanduser()
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError) as error:
        raise unreadable("a file that can be read", name, error, "check the path") from error
    if not is_file:
        got = f"the folder {yaml_text(name)}" if is_folder else yaml_text(name)
        remedy = "check the path; relative paths start in the folder where dnnsweep was started"
        raise data_error("dataset.source", "must be a file that exists", got, remedy)
    return path


def _open_below(name: str, limits: Limits) -> BinaryIO:
    try:
        if limits.data_root is None:
            raise FileNotFoundError
        file = open_below(limits.data_root, name)
    except OSError as error:  # its message is not shown: it might tell of files elsewhere
        rule, remedy = "must be a file below the service's data folder that can be read", "check the path"
        raise data_error("dataset.source", rule, yaml_text(name), remedy) from error
    try:
        check_bound(os.fstat(file.fileno()).st_size, limits.max_bytes, "bytes")
    except DataError:
        file.close()
        raise
    return file


def unreadable(kind: str, name: str, error: Exception, remedy: str) -> DataError:
    """Return the error about a file that is not what it must be; `Mistake` describes what it says."""
    reason, *_ = str(error).strip().splitlines() or [type(error).__name__]
    return data_error("dataset.source", f"must be {kind}", f"{yaml_text(name)}: {reason}", remedy)


def read_parquet_frame(name: str, limits: Limits | None = None) -> pd.DataFrame:
    """Read a parquet file without its index.

    Args:
        name: Path of the file.
        limits: What the operator allows a sweep that came over the network; None for any file of any size.

    Raises:
        DataError: The file cannot be read, is too large, repeats a column name, or holds no rows.
    """
    try:
        with open_file(name, limits) as file:
            if limits is not None:
                _check_parquet(file, limits)
            frame = pd.read_parquet(file, engine="pyarrow")
    except (*UNREADABLE, NotImplementedError) as error:
        raise unreadable("a parquet file", name, error, "check the file") from error
    check_unique_names([str(column) for column in frame.columns])
    if not len(frame):
        raise data_error("dataset.source", "must hold rows", "column names only")
    return frame.reset_index(drop=True)


def _check_parquet(file: BinaryIO, limits: Limits) -> None:
    """Check the size that a parquet file tells, and that of its texts, which it may hold once for many rows.

    Raises:
        DataError: It is too large, or has columns of lists or structures, whose size it does not tell.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    told = parquet.metadata
    check_shape(told.num_rows, told.num_columns, limits)
    n_bytes = sum(told.row_group(index).total_byte_size for index in range(told.num_row_groups))
    check_bound(n_bytes, limits.max_bytes, "bytes once it is decompressed")
    nested = [field.name for field in parquet.schema_arrow if pa.types.is_nested(field.type)]
    if nested:
        got, remedy = f"lists or structures in {name_some(nested)}", "remove it from the file"
        raise data_error("dataset.source", "columns must hold numbers or text", got, remedy)
    n_bytes = 0
    for part in _value_bytes(file, parquet):
        n_bytes += part
        check_bound(n_bytes, limits.max_bytes, "bytes once each row has its own text")
    file.seek(0)


def _value_bytes(file: BinaryIO, parquet: Any) -> Iterator[int]:
    """Yield the bytes that the values of a parquet file take in memory, part by part."""
    import pyarrow.parquet as pq

    told = parquet.metadata
    widths = {field.name: _width(field.type) for field in parquet.schema_arrow}
    yield sum(width * told.num_rows for width in widths.values() if width is not None)
    texts = [name for name, width in widths.items() if width is None]
    file.seek(0)
    parts = pq.ParquetFile(file, read_dictionary=texts)
    for index in range(told.num_row_groups):
        for name in texts:
            columns = parts.read_row_group(index, [name]).columns
            yield from (_text_bytes(chunk) for column in columns for chunk in column.chunks)


def _width(kind: Any) -> int | None:
    """Return the bytes of each value of a type of pyarrow; None if they differ."""
    try:
        return int(kind.bit_width) // 8
    except ValueError:
        return None


def _text_bytes(chunk: Any) -> int:
    """Return the bytes that an array of texts takes once each row has its own."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(chunk.type):
        return int(chunk.nbytes)
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(chunk.indices)).as_py() or 0)


def read_npz_arrays(
    name: str, limits: Limits | None = None, *, is_lenient: bool = False
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Read `x` and `y` of an npz file, or `x_train`, `y_train`, `x_test` and `y_test`.

    Args:
        name: Path of the file.
        limits: What the operator allows a sweep that came over the network; None for any file of any size.
        is_lenient: Whether other arrays of rows are ignored.

    Returns:
        These arrays by name, and the names of all others.

    Raises:
        DataError: The file cannot be read, is too large, lacks these arrays, or holds other rows.
    """
    try:
        with open_file(name, limits) as file:
            if limits is not None:
                _check_npz(file, limits)
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                keys = array_keys(archive.files, is_lenient=is_lenient)
                others = tuple(key for key in archive.files if key not in keys)
                return {key: archive[key] for key in keys}, others
    except UNREADABLE as error:
        remedy = "write it with numpy.savez, without arrays of Python objects"
        raise unreadable("an npz file of plain arrays", name, error, remedy) from error
    raise data_error(
        "dataset.source", "must be an npz file", f"{yaml_text(name)}, a single array", "write it with numpy.savez"
    )


def _check_npz(file: BinaryIO, limits: Limits) -> None:
    """Check the sizes that the headers of an npz file's arrays tell; only so much is read of each array.

    Raises:
        DataError: There are too many rows, columns or bytes.
        ValueError: An array has no header.
    """
    n_bytes = 0
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        for key in array_keys([name.removesuffix(".npy") for name in names], is_lenient=True):
            with archive.open(key if key in names else f"{key}.npy") as member:
                (n_rows, *others), kind = _array_header(member)
            n_values = n_rows * math.prod(others)
            check_shape(n_rows, math.prod(others), limits, INPUT_BYTES)
            n_bytes += n_values * max(kind.itemsize, INPUT_BYTES)
            check_bound(n_bytes, limits.max_bytes, "bytes as arrays")
    file.seek(0)


def _array_header(member: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the type that the header of an array tells; at least one dimension."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(member)
    if version not in readers:
        raise ValueError(f"version {version} of the format is not known")
    shape, _, kind = readers[version](member)
    return shape or (1,), kind


def array_keys(names: Sequence[str], *, is_lenient: bool = False) -> tuple[str, ...]:
    """Return the names of the arrays to read: with test rows of their own if there are any, else without.

    Args:
        names: Names of all arrays.
        is_lenient: Whether other arrays of rows are ignored.

    Raises:
        DataError: Neither set of arrays is complete, or there are rows that nothing would be done with.
    """
    for keys in (SPLIT_KEYS, PLAIN_KEYS):
        if set(keys) <= set(names):
            unused = [name for name in names if name not in keys and _ROWS.fullmatch(name)]
            if unused and not is_lenient:
                rule = f"rows must be in {', '.join(keys)}"
                raise data_error("dataset.source", rule, f"{name_some(unused)} beside them", _unused_remedy(unused))
            return keys
    rule = "must hold the arrays x and y, or x_train, y_train, x_test and y_test"
    raise data_error("dataset.source", rule, name_some(sorted(names)) or "none", "rename the arrays")


def _unused_remedy(names: Sequence[str]) -> str:
    if any("_v" in name or "_dev" in name for name in names):
        return (
            "dnnsweep draws validation rows from the training rows: append these to x_train and y_train, "
            "or call them x_test and y_test; or leave them out"
        )
    return "rename or remove them"


def array_of_rows(name: str) -> NDArray[Any]:
    """Return the rows in an npy file, or in an npz file as `x`, `x_test` or its only array.

    Raises:
        DataError: The file cannot be read, or has no such array.
    """
    try:
        with open_file(name, None) as file:
            read = np.load(file, allow_pickle=False)
            if not isinstance(read, np.lib.npyio.NpzFile):
                return np.asarray(read)
            keys = read.files if len(read.files) == 1 else [key for key in ("x", "x_test") if key in read.files]
            if keys:
                return np.asarray(read[keys[0]])
            got = name_some(sorted(read.files)) or "none"
    except UNREADABLE as error:
        raise unreadable("an npz or npy file of plain arrays", name, error, "write it with numpy.savez") from error
    raise data_error("dataset.source", "must hold the array x", got, "rename the arrays")
