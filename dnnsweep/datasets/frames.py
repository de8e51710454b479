"""Tables: columns of numbers and columns of text, checked, before anything is fitted to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype, is_complex_dtype, is_numeric_dtype

from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.sources import Source
from dnnsweep.errors import DataError, Mistake

#: The most distinct texts of a column; each becomes an input of the network.
MAX_CATEGORIES: Final = 50
#: The largest number that 32 bits hold.
LARGEST: Final = float(np.finfo(np.float32).max)
#: What pandas finds in columns that count as text.
_TEXTS: Final = ("string", "boolean", "integer", "mixed-integer", "empty")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of features, numbers apart from text.

    Args:
        numbers: (rows, n_numbers) float32 or float64; NaN where missing.
        text: (rows, n_texts) of str; None where missing.
        number_columns: Names of the columns of `numbers`.
        text_columns: Names of the columns of `text`.
    """

    numbers: NDArray[np.floating[Any]]
    text: NDArray[np.object_]
    number_columns: tuple[str, ...]
    text_columns: tuple[str, ...] = ()


def table_of(source: Source) -> Table:
    """Bring the features of a source to a table.

    Raises:
        DataError: A column cannot be used; carries every such column.
    """
    if isinstance(source.x, pd.DataFrame):
        table = _table_of_frame(source.x, source.drop_remedy)
    else:
        table = _table_of_array(source.x, source.columns)
    mistakes = [check for rule in (_empty, _infinite, _too_many_texts) for check in rule(table, source.drop_remedy)]
    if mistakes:
        raise DataError(mistakes)
    return table


def text_values(column: pd.Series) -> NDArray[np.object_]:
    """Return a column as text (rows,), None where missing; equal texts are one object."""
    codes, values = pd.factorize(column)
    texts: NDArray[np.object_] = np.array([*map(str, values), None], dtype=object)
    return np.asarray(texts[codes])  # the code of a missing value is -1


def text_kind(column: pd.Series) -> str | None:
    """Return what pandas finds in a column that is neither numbers nor text; None for text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return None
    found = str(infer_dtype(column, skipna=True))
    return None if found in _TEXTS else found


def is_number(column: pd.Series) -> bool:
    """Return whether a column holds booleans, whole or real numbers by its type."""
    return bool(is_numeric_dtype(column.dtype) and not is_complex_dtype(column.dtype))


def _table_of_array(x: NDArray[Any], columns: tuple[str, ...]) -> Table:
    # Types that fit into 32 bits exactly stay there: images take half the memory.
    kind = np.float32 if np.can_cast(x.dtype, np.float32) else np.float64
    return Table(x.astype(kind, copy=False), np.empty((len(x), 0), dtype=object), columns)


def _table_of_frame(frame: pd.DataFrame, remedy: str) -> Table:
    named = {str(name): column for name, column in frame.items()}
    numbers = tuple(name for name, column in named.items() if is_number(column))
    texts = tuple(name for name in named if name not in set(numbers))
    wrong = {name: kind for name in texts if (kind := text_kind(named[name]))}
    if wrong:
        got = f"{', '.join(sorted(set(wrong.values())))} in {name_some(list(wrong))}"
        advice = f"turn it into one of them or {remedy}"
        raise data_error("dataset.source", "columns must hold numbers or text", got, advice)
    matrix = np.empty((len(frame), len(numbers)), dtype=np.float64)
    for index, name in enumerate(numbers):
        matrix[:, index] = named[name].to_numpy(dtype=np.float64, na_value=np.nan)
    text = np.empty((len(frame), len(texts)), dtype=object)
    for index, name in enumerate(texts):
        text[:, index] = text_values(named[name])
    return Table(matrix, text, numbers, texts)


def _empty(table: Table, remedy: str) -> list[Mistake]:
    # A first row that is there settles most columns without looking at the others.
    suspects = np.flatnonzero(np.isnan(table.numbers[0]))
    empty = [table.number_columns[index] for index in suspects if np.isnan(table.numbers[:, index]).all()]
    empty += [name for name, texts in zip(table.text_columns, table.text.T, strict=True) if pd.isna(texts).all()]
    rule = "columns must not be empty"
    return [Mistake("dataset.source", rule, name_some(empty), remedy)] if empty else []


def _infinite(table: Table, remedy: str) -> list[Mistake]:
    # Minimum and maximum by `fmin` and `fmax` ignore what is missing and make no copy of the table.
    largest = np.maximum(-np.fmin.reduce(table.numbers, axis=0), np.fmax.reduce(table.numbers, axis=0))
    names = [table.number_columns[index] for index in np.flatnonzero(largest > LARGEST)]
    rule = f"numbers must be finite and at most {LARGEST:.1e} in size"
    return [Mistake("dataset.source", rule, f"infinite ones in {name_some(names)}", remedy)] if names else []


def _too_many_texts(table: Table, remedy: str) -> list[Mistake]:
    counts = {name: pd.Series(texts).nunique() for name, texts in zip(table.text_columns, table.text.T, strict=True)}
    rule = f"text columns must have at most {MAX_CATEGORIES} distinct values"
    return [
        Mistake(
            "dataset.source",
            rule,
            f"{count} in '{name}', {_such_as(texts)}",
            f"if these are numbers, {_WRITE}; else {remedy}",
        )
        for (name, count), texts in zip(counts.items(), table.text.T, strict=True)
        if count > MAX_CATEGORIES
    ]


_WRITE: Final = "write them with a decimal point and leave missing ones empty"


def _such_as(texts: np.ndarray) -> str:
    return f"such as {str(next(text for text in texts if isinstance(text, str)))[:20]!r}"
