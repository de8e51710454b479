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

from dnnsweep.datasets.cells import MissingWords
from dnnsweep.datasets.csv_files import CsvRequest, read_csv_blocks
from dnnsweep.datasets.csv_forms import CsvForm
from dnnsweep.datasets.data_errors import check_unique_names, name_some
from dnnsweep.datasets.files import array_of_rows, read_parquet_frame
from dnnsweep.datasets.frames import LARGEST, Table, is_number, text_values
from dnnsweep.datasets.preprocessing import Preprocessing
from dnnsweep.datasets.readings import Reading, read_frame
from dnnsweep.datasets.table_reading import read_rows
from dnnsweep.errors import DataError, Mistake
from dnnsweep.records.column_reading import ColumnReading
from dnnsweep.space import did_you_mean, yaml_text

#: Rows and values that are encoded at once.
BLOCK_ROWS: Final = 50_000
BLOCK_VALUES: Final = 20_000_000
#: Ends of the names of files that hold arrays, and of parquet files; all others are CSV files.
_ARRAY_FILES: Final = (".npz", ".npy")
_PARQUET_FILES: Final = (".parquet", ".pq")
#: Truth values as text.
_TRUTH: Final = ("True", "False")
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
    size = max(1, min(BLOCK_ROWS, BLOCK_VALUES // max(1, len(fitted.columns))))
    start = 0
    try:
        for block in _blocks(rows, fitted, size):
            yield _bring_to_columns(block, fitted, start)
            start += len(block)
    except DataError as error:
        raise DataError([replace(mistake, path=PATH) for mistake in error.mistakes]) from error


def _blocks(rows: Any, fitted: Preprocessing, size: int) -> Iterator[pd.DataFrame | NDArray[Any]]:
    """Yield tables with unique names of columns, or arrays; at least one."""
    if isinstance(rows, str | os.PathLike) and Path(rows).suffix.lower() not in (*_ARRAY_FILES, *_PARQUET_FILES):
        yield from read_csv_blocks(str(rows), _csv_request(fitted), fitted.columns, size)
        return
    table = _open(rows)
    for start in range(0, max(1, len(table)), size):
        yield table[start : start + size]


def _csv_request(fitted: Preprocessing) -> CsvRequest:
    reading = fitted.reading
    if fitted.row_shape is None and not reading.columns:  # the model of a sweep that stored no reading
        return CsvRequest(CsvForm(), keeps_words=False)
    return CsvRequest(reading.form, texts=[how.name for how in reading.columns if how.kind != "number"])


def _open(rows: Any) -> pd.DataFrame | NDArray[Any]:
    """Return rows as a table with unique names of columns, or as an array."""
    if isinstance(rows, str | os.PathLike):
        is_parquet = Path(rows).suffix.lower() in _PARQUET_FILES
        return read_parquet_frame(str(rows)) if is_parquet else array_of_rows(str(rows))
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


def _bring_to_columns(block: pd.DataFrame | NDArray[Any], fitted: Preprocessing, start: int) -> NewRows:
    if isinstance(block, pd.DataFrame):
        return _from_frame(block, fitted)
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


def _from_frame(frame: pd.DataFrame, fitted: Preprocessing) -> NewRows:
    numbers, texts = fitted.encoding.numbers, fitted.encoding.texts
    columns = _match_names(frame, fitted)
    known = dict(zip(texts.columns, texts.categories, strict=True))
    columns |= {name: _respelled(columns[name], known[name]) for name in texts.columns}
    table = _read_columns(pd.DataFrame(columns, copy=False), fitted)
    _check_finite(numbers.columns, table.numbers)
    return NewRows(table.numbers.astype(numbers.dtype, copy=False), table.text, frame.index)


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


def _read_columns(frame: pd.DataFrame, fitted: Preprocessing) -> Table:
    """Return columns as they were read in training; every one that holds something else is a mistake."""
    reading = fitted.reading if fitted.reading.columns else _plain_reading(fitted)
    mistakes = [mistake for how in reading.columns for mistake in _check_words(frame[how.name], how, fitted)]
    try:
        table = read_rows(frame, reading)
    except DataError:
        mistakes = [*_wrong_columns(frame, reading), *mistakes]
    if mistakes:
        raise DataError(mistakes)
    return table if fitted.reading.columns else replace(table, text=_unread_texts(frame, fitted.encoding.texts.columns))


def _unread_texts(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[Any]:
    """Return texts (rows, columns) with the blanks around them."""
    text = np.empty((len(frame), len(names)), dtype=object)
    for index, name in enumerate(names):
        text[:, index] = text_values(frame[name])
    return text


def _wrong_columns(frame: pd.DataFrame, reading: Reading) -> Iterator[Mistake]:
    for how in reading.columns:
        try:
            read_frame(frame[[how.name]], replace(reading, columns=(how,)))
        except DataError as error:
            yield from error.mistakes


def _plain_reading(fitted: Preprocessing) -> Reading:
    """Return the reading of columns that were arrays, or were taken as pandas reads them."""
    numbers = [ColumnReading(name, "number") for name in fitted.encoding.numbers.columns]
    texts = [ColumnReading(name, "text") for name in fitted.encoding.texts.columns]
    return Reading((*numbers, *texts), missing=MissingWords((), MissingWords().numbers))


def _check_words(column: pd.Series, how: ColumnReading, fitted: Preprocessing) -> list[Mistake]:
    """Return a mistake about numbers where there was text, unless training had them as words."""
    if how.kind != "text" or how.other or not is_number(column):
        return []
    texts = fitted.encoding.texts
    known = texts.categories[texts.columns.index(how.name)]
    distinct = [_spell(value, known) for value in pd.unique(column.dropna())]
    if not distinct or set(distinct) & set(known):
        return []
    rule = f"column '{how.name}' must hold text, such as {name_some(known[:3])}"
    return [Mistake(PATH, rule, f"numbers such as {distinct[0]}", "convert it")]


def _respelled(column: pd.Series, known: Sequence[str]) -> pd.Series:
    """Return a column of text with truth values spelled as in training: pandas reads true as True beside gaps."""
    if column.dtype == bool or not (set(_TRUTH) & set(known)):
        return column
    codes, values = pd.factorize(column)
    spelled = np.array([*(_spell(value, known) for value in values), None], dtype=object)
    return pd.Series(spelled[codes], index=column.index, dtype=object)  # the code of a missing value is -1


def _spell(value: Any, known: Sequence[str]) -> str:
    """Return a value as the word of training that it is."""
    text = str(value)
    spellings = [text, text.strip(), text.strip().capitalize()]
    if isinstance(value, float | np.floating) and float(value).is_integer():
        spellings.append(str(int(value)))
    return next((spelling for spelling in spellings if spelling in known), text)
