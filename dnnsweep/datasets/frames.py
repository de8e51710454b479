"""Tables: number columns and text columns, checked before anything is fitted to them."""

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
from dnnsweep.spec.dataset import MAX_CATEGORIES

#: The category that missing texts get, unless it is a word.
MISSING: Final = "missing"
#: The largest number that 32 bits hold.
LARGEST: Final = float(np.finfo(np.float32).max)
#: Kinds of columns, in pandas's words, that count as text.
_TEXT_KINDS: Final = ("string", "boolean", "integer", "mixed-integer", "empty")


@dataclass(frozen=True, slots=True)
class Table:
    """Features of rows, as one matrix of numbers and one of text.

    Args:
        numbers: (rows, n_numbers) float32 or float64; NaN where missing.
        text: (rows, n_texts) of str; None where missing.
        number_columns: Names of the columns of `numbers`.
        text_columns: Names of the columns of `text`.
        gap: Category that missing texts get.
    """

    numbers: NDArray[np.floating[Any]]
    text: NDArray[np.object_]
    number_columns: tuple[str, ...]
    text_columns: tuple[str, ...] = ()
    gap: str = MISSING


def make_table(source: Source, *, is_plain: bool = False) -> Table:
    """Turn the features of a source into a table.

    Args:
        source: Holds the features.
        is_plain: Whether columns were taken as pandas reads them; then columns of many texts are refused.

    Raises:
        DataError: Columns cannot be used; it carries a mistake for each.
    """
    if isinstance(source.x, pd.DataFrame):
        table = table_from_frame(source.x, source.drop_remedy)
    else:
        table = _table_from_array(source.x, source.columns)
    checks = (_empty_columns, _infinite_columns, *([_high_cardinality_columns] if is_plain else []))
    mistakes = [*source.mistakes, *(mistake for check in checks for mistake in check(table, source.drop_remedy))]
    if mistakes:
        raise DataError(mistakes)
    return table


def text_values(column: pd.Series) -> NDArray[np.object_]:
    """Return a column as text (rows,), None where missing; equal texts share one object."""
    codes, values = pd.factorize(column)
    texts: NDArray[np.object_] = np.array([*map(str, values), None], dtype=object)
    return np.asarray(texts[codes])  # the code of a missing value is -1


def text_kind(column: pd.Series) -> str | None:
    """Return the kind of a column that holds neither numbers nor text, in pandas's words; None for text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return None
    kind = str(infer_dtype(column, skipna=True))
    return None if kind in _TEXT_KINDS else kind


def is_number(column: pd.Series) -> bool:
    """Return whether a column holds booleans, integers or real numbers, by its type."""
    return bool(is_numeric_dtype(column.dtype) and not is_complex_dtype(column.dtype))


def _table_from_array(x: NDArray[Any], columns: tuple[str, ...]) -> Table:
    # Types that 32 bits hold exactly stay in 32 bits: images take half the memory.
    kind = np.float32 if np.can_cast(x.dtype, np.float32) else np.float64
    return Table(x.astype(kind, copy=False), np.empty((len(x), 0), dtype=object), columns)


def table_from_frame(frame: pd.DataFrame, remedy: str) -> Table:
    """Return a frame as a matrix of numbers and one of text.

    Args:
        frame: Columns of numbers and text.
        remedy: Tells a person what to do about a column of another kind.

    Raises:
        DataError: A column holds neither numbers nor text.
    """
    columns = {str(name): column for name, column in frame.items()}
    numbers = tuple(name for name, column in columns.items() if is_number(column))
    texts = tuple(name for name in columns if name not in set(numbers))
    wrong = {name: kind for name in texts if (kind := text_kind(columns[name]))}
    if wrong:
        got = f"{', '.join(sorted(set(wrong.values())))} in {name_some(list(wrong))}"
        advice = f"convert it (a date to a number of days, for example) or {remedy}"
        raise data_error("dataset.source", "columns must hold numbers or text", got, advice)
    matrix = np.empty((len(frame), len(numbers)), dtype=np.float64)
    for index, name in enumerate(numbers):
        matrix[:, index] = columns[name].to_numpy(dtype=np.float64, na_value=np.nan)
    text = np.empty((len(frame), len(texts)), dtype=object)
    for index, name in enumerate(texts):
        text[:, index] = text_values(columns[name])
    return Table(matrix, text, numbers, texts)


def _empty_columns(table: Table, remedy: str) -> list[Mistake]:
    # Most columns have a value in the first row, so the others need not be looked at.
    suspects = np.flatnonzero(np.isnan(table.numbers[0]))
    empty = [table.number_columns[index] for index in suspects if np.isnan(table.numbers[:, index]).all()]
    empty += [name for name, texts in zip(table.text_columns, table.text.T, strict=True) if pd.isna(texts).all()]
    rule = "columns must not be empty"
    return [Mistake("dataset.source", rule, name_some(empty), remedy)] if empty else []


def _infinite_columns(table: Table, remedy: str) -> list[Mistake]:
    # `fmin` and `fmax` ignore missing values and make no copy of the table.
    largest = np.maximum(-np.fmin.reduce(table.numbers, axis=0), np.fmax.reduce(table.numbers, axis=0))
    names = [table.number_columns[index] for index in np.flatnonzero(largest > LARGEST)]
    rule = f"numbers must be finite and at most {LARGEST:.1e} in size"
    return [Mistake("dataset.source", rule, f"infinite or larger ones in {name_some(names)}", remedy)] if names else []


def _high_cardinality_columns(table: Table, remedy: str) -> list[Mistake]:
    """Return a mistake for each text column with too many distinct values."""
    counts = {name: pd.Series(texts).nunique() for name, texts in zip(table.text_columns, table.text.T, strict=True)}
    rule = f"text columns must have at most {MAX_CATEGORIES} distinct values"
    return [
        Mistake("dataset.source", rule, f"{count} in '{name}'", remedy)
        for name, count in counts.items()
        if count > MAX_CATEGORIES
    ]
