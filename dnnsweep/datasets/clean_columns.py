"""Columns of a table that no sweep file describes yet: their cells as they would be read, and what is in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype

from dnnsweep.datasets.cells import MissingWords, number_of
from dnnsweep.datasets.column_kinds import KindFinder, UnusableColumnError
from dnnsweep.datasets.dates import COMPACT, PLAUSIBLE_YEARS, find_format, moments_of
from dnnsweep.datasets.readings import RawColumn, read_column
from dnnsweep.errors import DataError
from dnnsweep.spec import DatasetSpec

_WORDS: Final = MissingWords()
#: Fewest different numbers from which it is no coincidence that all of them are dates.
MIN_DATES: Final = 10


class ColumnKind(StrEnum):
    """What the cells of a column are."""

    NUMBER = "number"
    #: Numbers without fractions.
    WHOLE = "whole"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date"
    #: Something that no network takes: lists, complex numbers, ...
    OTHER = "other"


@dataclass(frozen=True, slots=True, eq=False)
class CleanColumn:
    """A column as it would be read.

    Args:
        kind: What its cells are.
        values: Numbers, truth values, texts without blanks around them, or moments (rows,); gaps where missing.
        strays: Different cells that are neither numbers, in a column of numbers, nor dates, in one of dates.
        formats: Formats that all dates fit; several where the order of day and month is not clear.
        gaps: Words for missing values that it holds, without blank cells.
    """

    kind: ColumnKind
    values: pd.Series
    strays: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()


def clean_column(name: str, column: pd.Series, decimal: str = ".", *, is_target: bool = False) -> CleanColumn:
    """Read a column.

    Args:
        name: Name of the column.
        column: Its cells as pandas reads them, with an index from 0.
        decimal: Decimal mark of the file.
        is_target: Whether it is to be predicted: classes such as 1, 2, 3+ are no numbers then.
    """
    raw = RawColumn.of(column)
    clean = _read(name, raw, decimal, is_target=is_target)
    words = _WORDS.texts if clean.kind is ColumnKind.TEXT else _WORDS.numbers
    gaps = () if raw.cells is None else (text for text in raw.cells.texts if text and text in words)
    return replace(clean, gaps=tuple(dict.fromkeys(gaps)))


def _read(name: str, raw: RawColumn, decimal: str, *, is_target: bool) -> CleanColumn:
    finder = KindFinder(DatasetSpec(), decimal, _WORDS, (), "")
    try:
        how = finder.target(name, raw) if is_target else finder.feature(name, raw)
    except UnusableColumnError as error:
        return _dates(raw) if error.kind == "date" else CleanColumn(ColumnKind.OTHER, raw.column)
    except DataError:
        return _numbers_with_strays(raw) or _texts(raw)
    if how is None:
        return _dates(raw) if raw.has_dates else CleanColumn(ColumnKind.OTHER, raw.column)
    values = read_column(raw, how, _WORDS)[0][name]
    return _numbers(values) if how.kind == "number" else _texts(raw)


def _numbers(values: pd.Series) -> CleanColumn:
    if is_bool_dtype(values.dtype):
        return CleanColumn(ColumnKind.BOOLEAN, values)
    present = values.dropna().to_numpy(dtype=np.float64)
    if not len(present) or not np.isfinite(present).all() or (present != np.round(present)).any():
        return CleanColumn(ColumnKind.NUMBER, values)
    if not _are_compact_dates(np.unique(present)):
        return CleanColumn(ColumnKind.WHOLE, values)
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    texts = np.array(["" if np.isnan(number) else f"{number:.0f}" for number in numbers], dtype=object)
    return CleanColumn(ColumnKind.DATE, pd.Series(moments_of(texts, COMPACT)), formats=(COMPACT,))


def _are_compact_dates(numbers: NDArray[np.float64]) -> bool:
    """Return whether distinct whole numbers are all dates such as 20240131."""
    low, high = (year * 10_000 for year in (PLAUSIBLE_YEARS[0], PLAUSIBLE_YEARS[-1]))
    if len(numbers) < MIN_DATES or numbers[0] < low or numbers[-1] > high:
        return False
    return not np.isnat(moments_of(np.array([f"{number:.0f}" for number in numbers], dtype=object), COMPACT)).any()


def _texts(raw: RawColumn) -> CleanColumn:
    assert raw.cells is not None  # noqa: S101  every column of text has cells
    return CleanColumn(ColumnKind.TEXT, pd.Series(raw.cells.as_texts(_WORDS.texts), dtype=object))


def _numbers_with_strays(raw: RawColumn) -> CleanColumn | None:
    """Read a column that is one of numbers but for some cells; None if it is none."""
    assert raw.cells is not None  # noqa: S101  every column of text has cells
    texts = raw.cells.present(_WORDS.numbers)
    numbers, decimal = max(
        ((raw.cells.as_numbers(_WORDS.numbers, decimal), decimal) for decimal in (".", ",")),
        key=lambda pair: int((~np.isnan(pair[0])).sum()),
    )
    if (~np.isnan(numbers)).sum() * 2 <= texts.total():
        return None
    strays = [text for text in texts if number_of(text, decimal) is None]
    return CleanColumn(_numbers(pd.Series(numbers)).kind, pd.Series(numbers), tuple(strays))


def _dates(raw: RawColumn) -> CleanColumn:
    if raw.has_dates:
        moments = pd.to_datetime(raw.column, utc=True, errors="coerce").dt.tz_localize(None)
        return CleanColumn(ColumnKind.DATE, moments)
    assert raw.cells is not None  # noqa: S101  dates without a type are texts
    found = find_format(list(raw.cells.present(_WORDS.numbers)))
    moments = pd.Series(raw.cells.as_moments(_WORDS.numbers, found.formats[0]))
    return CleanColumn(ColumnKind.DATE, moments, tuple(found.strays), tuple(found.formats))
