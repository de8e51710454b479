"""Readings: how the columns of a table are read, as a value that is fitted once and then applied to any rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype, is_bool_dtype, is_complex_dtype, is_datetime64_any_dtype, is_numeric_dtype

from dnnsweep.datasets.cells import Cells, MissingWords, is_spelled_plainly
from dnnsweep.datasets.csv_forms import CsvForm
from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.dates import date_numbers, moments_of
from dnnsweep.records.column_reading import ColumnReading

#: Version of the JSON; sweeps of earlier versions of dnnsweep have none.
VERSION: Final = 1
#: Kinds of columns of objects, in pandas's words, whose cells are read as texts.
_TEXT_KINDS: Final = (
    *("string", "boolean", "integer", "mixed-integer", "empty"),
    *("floating", "mixed-integer-float", "decimal", "mixed"),
)
_DATE_KINDS: Final = ("datetime64", "datetime", "date")


@dataclass(frozen=True, slots=True)
class Reading:
    """How the columns of a table are read.

    Args:
        columns: Columns to learn from, in their order; none where rows are arrays.
        others: The target, and the columns that rows are split or weighted by.
        left_out: Columns that only number the rows, or are empty and without a name.
        missing: Words for missing values.
        form: How the CSV file is written; None for other sources.
        keeps_gaps: Whether words that pandas takes for gaps were kept as words.
        gap: Category of missing texts, which is no word of any column.
    """

    columns: tuple[ColumnReading, ...] = ()
    others: tuple[ColumnReading, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: MissingWords = field(default_factory=MissingWords)
    form: CsvForm | None = None
    keeps_gaps: bool = False
    gap: str = "missing"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, from which `from_json` makes an equal value."""
        return {
            "version": VERSION,
            "columns": [how.to_json() for how in self.columns],
            "others": [how.to_json() for how in self.others],
            "left_out": list(self.left_out),
            "missing": _plain(asdict(self.missing)),
            "form": None if self.form is None else self.form.to_json(),
            "keeps_gaps": self.keeps_gaps,
            "gap": self.gap,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Reading:
        """Return the value of what `to_json` returned.

        Raises:
            DataError: A newer version has written it.
        """
        if plain["version"] != VERSION:
            rule, got = f"must have been read by version {VERSION} of the reading of tables", str(plain["version"])
            raise data_error("dataset.source", rule, got, "upgrade dnnsweep")
        return cls(
            columns=tuple(map(ColumnReading.from_json, plain["columns"])),
            others=tuple(map(ColumnReading.from_json, plain["others"])),
            left_out=tuple(plain["left_out"]),
            missing=MissingWords(**{name: tuple(words) for name, words in plain["missing"].items()}),
            form=None if plain["form"] is None else CsvForm.from_json(plain["form"]),
            keeps_gaps=plain["keeps_gaps"],
            gap=plain["gap"],
        )


@dataclass(frozen=True, slots=True)
class Precedent:
    """How the data of a sweep were read when it was created.

    Args:
        reading: How its columns were read; None for a new sweep.
        is_plain: Whether a version created it that took columns as pandas reads them, and stored no reading.
    """

    reading: Reading | None = None
    is_plain: bool = False

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Precedent:
        """Return what a sweep has stored of its reading: plain JSON, nothing in it, or None for a new sweep."""
        return cls() if stored is None else cls(Reading.from_json(stored)) if stored else cls(is_plain=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True, eq=False)
class RawColumn:
    """A column before it is read.

    Args:
        column: The column.
        cells: Its cells as texts; None for numbers, and for dates that have a type of their own.
        kind: What it holds that is neither numbers nor text, in pandas's words; None for numbers and text.
    """

    column: pd.Series
    cells: Cells | None
    kind: str | None = None

    @classmethod
    def of(cls, column: pd.Series, *, is_text: bool = False) -> RawColumn:
        """Look at a column.

        Args:
            column: The column.
            is_text: Whether it is read as text whatever it holds.
        """
        dtype = column.dtype
        if is_numeric_dtype(dtype) and not is_complex_dtype(dtype):
            return cls(column, Cells.of(column) if is_text else None)
        if is_datetime64_any_dtype(dtype):
            return cls(column, None, "datetime64")
        kind = "string" if isinstance(dtype, pd.CategoricalDtype) else str(infer_dtype(column, skipna=True))
        if kind == "mixed" and not all(map(_is_plain_value, column)):
            return cls(column, None, "mixed")
        return cls(column, Cells.of(column)) if kind in _TEXT_KINDS else cls(column, None, kind)

    @property
    def has_dates(self) -> bool:
        """Return whether the column holds dates by its type."""
        return self.kind in _DATE_KINDS


def _is_plain_value(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool | np.generic)


@dataclass(frozen=True, slots=True)
class Met:
    """What was met in a column while it was read.

    Args:
        missing: Cells that stand for missing values, as they were written -> rows with them.
        n_stripped: Rows with blanks around a text.
        example: A number that is not written as programs write it; None where all are.
    """

    missing: Counter[str] = field(default_factory=Counter)
    n_stripped: int = 0
    example: str | None = None


def read_column(raw: RawColumn, how: ColumnReading, missing: MissingWords) -> tuple[dict[str, pd.Series], Met]:
    """Read a column: return the columns that it becomes, by name, and what was met.

    Args:
        raw: The column.
        how: How it is read.
        missing: Words for missing values.

    Raises:
        DataError: It holds something else.
    """
    reader = {"number": _read_numbers, "text": _read_texts, "date": _read_dates}[how.kind]
    columns, met = reader(raw, how, missing)
    return {name: pd.Series(values, copy=False) for name, values in columns.items()}, met


def _read_numbers(raw: RawColumn, how: ColumnReading, missing: MissingWords) -> tuple[dict[str, Any], Met]:
    if raw.kind is not None:
        raise _wrong_kind(how, raw.kind)
    if raw.cells is None:
        return _mask_numbers(raw.column, how, missing)
    words = missing.numbers
    numbers = raw.cells.as_numbers(words, how.decimal)
    if np.isnan(numbers).sum() > (raw.cells.codes < 0).sum() + sum(raw.cells.missing(words).values()):
        present = raw.cells.present(words)
        raise _wrong_cells(how, [text for text in present if not _is_number(text, how.decimal)])
    odd = (text for text in raw.cells.present(words) if how.is_spelled and not is_spelled_plainly(text))
    return {how.name: numbers}, Met(raw.cells.missing(words), 0, next(odd, None))


def _is_number(text: str, decimal: str) -> bool:
    return not np.isnan(Cells.of(pd.Series([text], dtype=object)).as_numbers((), decimal)[0])


def _mask_numbers(column: pd.Series, how: ColumnReading, missing: MissingWords) -> tuple[dict[str, Any], Met]:
    """Take numbers such as -999 for missing where the sweep file lists them."""
    values = missing.number_values()
    if not values or is_bool_dtype(column.dtype):
        return {how.name: column}, Met()
    met = Counter({f"{value:g}": int((column == value).sum()) for value in values})
    is_missing = column.isin(values)
    return {how.name: column.where(~is_missing) if is_missing.any() else column}, Met(+met)


def _read_texts(raw: RawColumn, how: ColumnReading, missing: MissingWords) -> tuple[dict[str, Any], Met]:
    if raw.kind is not None:
        raise _wrong_kind(how, raw.kind)
    cells = Cells.of(raw.column) if raw.cells is None else raw.cells
    met = Met(cells.missing(missing.texts), cells.n_stripped(missing.texts))
    is_kept = not met.missing and not met.n_stripped and not is_numeric_dtype(raw.column.dtype)
    return {how.name: raw.column if is_kept else cells.as_texts(missing.texts)}, met


def _read_dates(raw: RawColumn, how: ColumnReading, missing: MissingWords) -> tuple[dict[str, Any], Met]:
    moments, met = read_moments(raw, how, missing)
    return dict(date_numbers(moments, how.name, how.parts)), met


def read_moments(raw: RawColumn, how: ColumnReading, missing: MissingWords) -> tuple[NDArray[Any], Met]:
    """Read a column of dates: return moments (rows,) in UTC, not a time where missing, and what was met.

    Raises:
        DataError: It holds something else.
    """
    if raw.has_dates:
        typed = pd.to_datetime(raw.column, utc=True)
        return np.asarray(typed.dt.tz_localize(None).to_numpy()), Met()
    if raw.kind is not None or how.format is None:
        raise _wrong_kind(how, raw.kind or "text or numbers")
    cells = Cells.of(raw.column) if raw.cells is None else raw.cells
    moments = cells.as_moments(missing.numbers, how.format)
    present = np.array(list(cells.present(missing.numbers)), dtype=object)
    is_wrong = np.isnat(moments_of(present, how.format)) if len(present) else np.zeros(0, dtype=bool)
    if is_wrong.any():
        raise _wrong_cells(how, list(present[is_wrong]))
    return moments, Met(cells.missing(missing.numbers))


_MEANT: Final = {"number": "numbers", "text": "text", "date": "dates"}


def _wrong_kind(how: ColumnReading, kind: str) -> Exception:
    rule = f"column '{how.name}' must hold {_MEANT[how.kind]}"
    return data_error("dataset.source", rule, kind, "convert it")


def _wrong_cells(how: ColumnReading, texts: Sequence[str]) -> Exception:
    form = f" like {how.format}" if how.format else ""
    rule = f"column '{how.name}' must hold {_MEANT[how.kind]}{form}"
    return data_error("dataset.source", rule, name_some(texts), "correct these cells, or leave them empty")


def read_features(columns: Mapping[str, RawColumn], reading: Reading) -> tuple[dict[str, pd.Series], dict[str, Met]]:
    """Read the columns to learn from; return what they become, and what was met in each.

    Args:
        columns: The columns, by name.
        reading: How they are read.

    Raises:
        DataError: One of them holds something else.
    """
    features: dict[str, pd.Series] = {}
    dates: dict[str, pd.Series] = {}  # they come last, as in the code that is exported
    met: dict[str, Met] = {}
    for how in reading.columns:
        read, met[how.name] = read_column(columns[how.name], how, reading.missing)
        (dates if how.kind == "date" else features).update(read)
    return {**features, **dates}, met


def read_frame(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Read rows as the rows were read that a reading was fitted to; columns that it does not name are left out.

    Args:
        frame: Rows of a table, as pandas reads them.
        reading: How its columns are read.

    Returns:
        Columns of numbers, NaN where missing, and columns of text, None where missing. Rare texts are not joined yet:
        `table_reading.read_rows` does.

    Raises:
        DataError: A column is missing or holds something else; it carries a mistake for each of the first kind.
    """
    absent = [how.name for how in reading.columns if how.name not in frame.columns]
    if absent:
        rule, remedy = "the table must have all columns that were learned from", "add them"
        raise data_error("dataset.source", rule, f"none named {name_some(absent)}", remedy)
    frame = frame.reset_index(drop=True)
    raw = {how.name: RawColumn.of(frame[how.name], is_text=how.kind == "text") for how in reading.columns}
    return pd.DataFrame(read_features(raw, reading)[0], copy=False)
