"""New rows: read block by block, and brought to the columns that a network was trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.datasets.csv_files import read_csv_frame
from dnnsweep.datasets.data_errors import check_unique_names, name_some
from dnnsweep.datasets.files import array_of_rows, read_parquet_frame
from dnnsweep.datasets.frames import LARGEST, is_number, text_kind, text_values
from dnnsweep.datasets.preprocessing import Preprocessing
from dnnsweep.errors import DataError, Mistake
from dnnsweep.space import did_you_mean, yaml_text

#: Rows and values that are encoded at once.
BLOCK_ROWS: Final = 50_000
BLOCK_VALUES: Final = 20_000_000
#: Kinds of columns of objects, in pandas's words, that hold numbers or texts that may be some.
_NUMBER_KINDS: Final = ("mixed", "floating", "mixed-integer-float", "decimal")
#: What errors call the new rows.
PATH: Final = "table"


@dataclass(frozen=True, slots=True, eq=False)
class NewRows:
    """New rows in the columns of training.

    Args:
        numbers: (rows, number columns) NaN where missing.
        text: (rows, text columns) of str; None where missing.
        index: Index of the rows in the DataFrame that they came from; else their numbers, from 0.
    """

    numbers: NDArray[Any]
    text: NDArray[Any]
    index: pd.Index


def read_new_rows(rows: Any, fitted: Preprocessing) -> Iterator[NewRows]:
    """Read new rows, block by block.

    Columns are found by name and may come in any order; what is not among the columns of training is not looked at.
    Rows that were arrays in training may be an array, or a table with as many columns.

    Args:
        rows: Path of a CSV, parquet, npz or npy file; DataFrame; dictionary of columns or of one row; list of
            dictionaries; or array.
        fitted: Preprocessing of the network.

    Raises:
        DataError: The rows cannot be read, or lack a column, or a column has another type than in training.
    """
    try:
        table = _open(rows)
        n_values = max(1, len(fitted.columns))
        size = max(1, min(BLOCK_ROWS, BLOCK_VALUES // n_values))
        for start in range(0, max(1, len(table)), size):
            yield _bring_to_columns(table[start : start + size], fitted, start)
    except DataError as error:
        raise DataError([replace(mistake, path=PATH) for mistake in error.mistakes]) from error


def _open(rows: Any) -> pd.DataFrame | NDArray[Any]:
    """Return rows as a table with unique names of columns, or as an array."""
    if isinstance(rows, str | os.PathLike):
        return _read_file(str(rows))
    if isinstance(rows, Mapping):
        is_row = not any(isinstance(value, Sequence | np.ndarray | pd.Series) for value in _unquoted(rows))
        rows = pd.DataFrame([rows]) if is_row else pd.DataFrame(dict(rows))
    elif isinstance(rows, list | tuple) and rows and all(isinstance(row, Mapping) for row in rows):
        rows = pd.DataFrame(list(rows))
    if isinstance(rows, pd.DataFrame):
        names = [str(name) for name in rows.columns]
        check_unique_names(names)
        return rows.set_axis(names, axis="columns")
    array = np.asarray(rows)
    if array.ndim == 0:
        rule, remedy = "must be a table of rows", "pass a DataFrame, a dictionary, an array or a path"
        raise DataError([Mistake(PATH, rule, type(rows).__name__, remedy)])
    return array


def _unquoted(row: Mapping[Any, Any]) -> list[Any]:
    """Return the values of a mapping that are no texts, which are sequences too."""
    return [value for value in row.values() if not isinstance(value, str)]


def _read_file(name: str) -> pd.DataFrame | NDArray[Any]:
    ending = Path(name).suffix.lower()
    if ending in (".npz", ".npy"):
        return array_of_rows(name)
    return read_parquet_frame(name) if ending in (".parquet", ".pq") else read_csv_frame(name)


def _bring_to_columns(block: pd.DataFrame | NDArray[Any], fitted: Preprocessing, start: int) -> NewRows:
    if isinstance(block, pd.DataFrame):
        return _from_frame(block, fitted, start)
    index = pd.RangeIndex(start, start + len(block))
    return NewRows(_from_array(block, fitted), np.empty((len(block), 0), dtype=object), index)


def _from_array(block: NDArray[Any], fitted: Preprocessing) -> NDArray[Any]:
    """Return an array of rows as numbers (rows, columns)."""
    n_columns = len(fitted.columns)
    if fitted.row_shape is None and fitted.encoding.texts.columns:
        rule, remedy = "must be a table with names of columns", "pass a DataFrame or a dictionary"
        raise DataError([Mistake(PATH, rule, f"an array of shape {block.shape}", remedy)])
    if block.dtype.kind not in "biuf":
        raise DataError([Mistake(PATH, "must hold numbers", f"an array of {block.dtype}", "convert it")])
    flat = block.reshape(len(block), -1) if block.ndim > 1 else block.reshape(-1, 1)
    if flat.shape[1] != n_columns:
        shape = fitted.row_shape or (n_columns,)
        rule, remedy = f"each row must be an array of shape {shape}", "pass an array (rows, ...)"
        raise DataError([Mistake(PATH, rule, f"{block.shape} for all rows", remedy)])
    kept = np.array(flat, dtype=fitted.encoding.numbers.dtype)
    _check_finite([f"x{index}" for index in range(n_columns)], kept)
    return kept


def _check_finite(names: Sequence[str], numbers: NDArray[Any]) -> None:
    with np.errstate(invalid="ignore"):
        is_wrong = (np.abs(numbers) > LARGEST).any(axis=0).tolist()
    wrong = [name for name, is_too_large in zip(names, is_wrong, strict=True) if is_too_large]
    if wrong:
        rule = f"numbers must be finite and at most {LARGEST:.1e} in size"
        raise DataError([Mistake(PATH, rule, f"infinite or larger ones in {name_some(wrong)}", "correct these cells")])


def _from_frame(frame: pd.DataFrame, fitted: Preprocessing, start: int) -> NewRows:
    columns = _match_names(frame, fitted)
    numbers, texts = fitted.encoding.numbers, fitted.encoding.texts
    matrix = np.empty((len(frame), len(numbers.columns)), dtype=np.float64)
    text = np.empty((len(frame), len(texts.columns)), dtype=object)
    mistakes: list[Mistake] = []
    for index, name in enumerate(numbers.columns):
        matrix[:, index] = _read_numbers(columns[name], name, start, mistakes)
    for index, name in enumerate(texts.columns):
        text[:, index] = _read_texts(columns[name], name, texts.categories[index], mistakes)
    if mistakes:
        raise DataError(mistakes)
    _check_finite(numbers.columns, matrix)
    return NewRows(matrix.astype(numbers.dtype, copy=False), text, frame.index)


def _match_names(frame: pd.DataFrame, fitted: Preprocessing) -> dict[str, pd.Series]:
    """Return the columns of training by name; columns of arrays, which have no names of their own, by position."""
    present = list(frame.columns)
    absent = [name for name in fitted.columns if name not in set(present)]
    if not absent:
        return {name: frame[name] for name in fitted.columns}
    if fitted.row_shape is not None and len(present) == len(fitted.columns):
        return {name: frame.iloc[:, index] for index, name in enumerate(fitted.columns)}
    raise DataError([_absent(name, present) for name in absent])


def _absent(name: str, present: Sequence[str]) -> Mistake:
    remedy = did_you_mean(name, present) or f"the columns are {name_some(present)}"
    return Mistake(PATH, "must have every column of training", f"none named {yaml_text(name)}", remedy)


def _read_numbers(column: pd.Series, name: str, start: int, mistakes: list[Mistake]) -> Any:
    """Return numbers (rows,), NaN where missing; cells that are none are added to the mistakes."""
    if is_number(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    rule = f"{name} must hold numbers, as in training"
    if (kind := text_kind(column)) and kind not in _NUMBER_KINDS:
        mistakes.append(Mistake(PATH, rule, kind, "convert it"))
        return np.nan
    texts = pd.Series(text_values(column), index=column.index)
    numbers = pd.to_numeric(texts, errors="coerce")
    strays = np.flatnonzero(numbers.isna() & (texts.fillna("").str.strip() != ""))
    if len(strays):
        first = f"{yaml_text(str(texts.iloc[strays[0]]))} in row {start + strays[0] + 1}"
        got = first if len(strays) == 1 else f"{first} and {len(strays) - 1} more such cells"
        mistakes.append(Mistake(PATH, rule, got, "correct these cells, or leave them empty"))
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _read_texts(column: pd.Series, name: str, known: Sequence[str], mistakes: list[Mistake]) -> Any:
    """Return texts (rows,), None where missing."""
    codes, values = pd.factorize(column)
    texts = [_spell(value, known) for value in values]
    if is_number(column) and texts and not set(texts) & set(known):
        rule = f"{name} must hold text, as in training, such as {name_some(known[:3])}"
        mistakes.append(Mistake(PATH, rule, f"numbers such as {texts[0]}", "convert it"))
    return np.array([*texts, None], dtype=object)[codes]  # the code of a missing value is -1


def _spell(value: Any, known: Sequence[str]) -> str:
    """Return a value as the word of training that it is: pandas reads 1 as 1.0 beside gaps, and true as True."""
    text = str(value)
    spellings = [text, text.capitalize()]
    if isinstance(value, float | np.floating) and float(value).is_integer():
        spellings.append(str(int(value)))
    return next((spelling for spelling in spellings if spelling in known), text)
