"""Kinds of columns: what each column of a table is, found out from its cells and from what the sweep file says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_numeric_dtype

from dnnsweep.datasets.cells import PANDAS_GAPS, TRUTH_VALUES, MissingWords, is_spelled_plainly, number_of
from dnnsweep.datasets.data_errors import MAX_LISTED, name_some, yaml_list
from dnnsweep.datasets.dates import COMPACT, ISO, find_format, looks_dated, moments_of, varying_parts
from dnnsweep.datasets.readings import RawColumn, read_column, read_moments
from dnnsweep.errors import DataError, Mistake
from dnnsweep.records.column_reading import ColumnReading
from dnnsweep.space import yaml_text
from dnnsweep.spec import DatasetSpec

#: Share of a column's rows above which numbers make it one of numbers, and other cells strays.
_MOSTLY: Final = 0.5
#: Share of different texts from which a column looks like an identifier.
_DIFFERENT: Final = 0.9
#: A target of more different numbers is no target of classes, even if it holds other words.
MAX_NUMBER_CLASSES: Final = 50


class UnusableColumnError(Exception):
    """A column cannot be learned from as the sweep file is; columns of the same kind share a mistake.

    Args:
        name: Name of the column.
        kind: What it holds that is neither numbers nor text, in pandas's words; `date` for dates.
        example: A value of it.
    """

    def __init__(self, name: str, kind: str, example: str = "") -> None:
        super().__init__(name)
        self.name = name
        self.kind = kind
        self.example = example


@dataclass(frozen=True, slots=True)
class KindFinder:
    """Finds out how columns are read.

    Args:
        spec: What the sweep file says about columns.
        decimal: Decimal mark of the file.
        missing: Words for missing values.
        met: Words for missing values that stand in any column; they are named where others are to be added.
        drop_remedy: Tells a person how to leave out a column.
    """

    spec: DatasetSpec
    decimal: str
    missing: MissingWords
    met: tuple[str, ...]
    drop_remedy: str

    def feature(self, name: str, raw: RawColumn) -> ColumnReading:
        """Find out how a column to learn from is read.

        Raises:
            DataError: It holds what the sweep file should say more about.
            UnusableColumnError: It holds what cannot be learned from, or dates that the sweep file does not list.
        """
        if name in self.spec.dates:
            return self._dates(name, raw)
        if raw.has_dates:
            raise UnusableColumnError(name, "date", str(raw.column.dropna().iloc[0])[:30])
        if raw.kind is not None:
            raise UnusableColumnError(name, raw.kind)
        if raw.cells is None:
            return self._typed_numbers(name, raw)
        if name in self.spec.text or isinstance(raw.column.dtype, pd.CategoricalDtype):
            return self._words(name, raw)
        return self._numbers(name, raw) or self._texts(name, raw)

    def target(self, name: str, raw: RawColumn) -> ColumnReading | None:
        """Find out how the target is read; None if it stays as it is.

        Raises:
            DataError: It holds numbers, and cells that are neither numbers nor missing.
        """
        if raw.kind is not None:
            return None
        if raw.cells is None:
            return self._typed_numbers(name, raw)
        if name in self.spec.text or isinstance(raw.column.dtype, pd.CategoricalDtype):
            return self._words(name, raw)
        return self._numbers(name, raw, is_target=True) or self._words(name, raw)

    def role(self, name: str, raw: RawColumn) -> ColumnReading | None:
        """Find out how a column is read that rows are split or weighted by; None if it stays as it is."""
        if raw.kind is not None:
            return None
        if raw.cells is None:
            return self._typed_numbers(name, raw)
        numbers = raw.cells.present(self.missing.numbers)
        decimal = self._decimal_of(numbers)
        if numbers and all(number_of(text, decimal) is not None for text in numbers):
            return self._number(name, raw, decimal)
        is_order = self.spec.split is not None and self.spec.split.order == name
        return (self._order(name, raw) if is_order else None) or self._words(name, raw)

    def _order(self, name: str, raw: RawColumn) -> ColumnReading | None:
        """Return how dates are read that rows are ordered by; None for dates like 2024-01-31, which stay as they are.

        Raises:
            DataError: Day and month cannot be told apart.
        """
        assert raw.cells is not None  # noqa: S101  every column of text has cells
        found = find_format(list(raw.cells.present(self.missing.numbers)))
        if not found.formats or found.strays or found.formats[0] == ISO:
            return None
        if len(found.formats) > 1:
            got = f"'{name}', whose dates may be {' or '.join(found.formats)}"
            remedy = "write them like 2024-01-31"
            raise _error("dataset.split.order", "must make the order of day and month clear", got, remedy)
        gaps, is_stripped = raw.cells.missing(self.missing.numbers), raw.cells.n_stripped(self.missing.numbers) > 0
        return ColumnReading(name, "date", format=found.formats[0], gaps=tuple(gaps), is_stripped=is_stripped)

    def _words(self, name: str, raw: RawColumn) -> ColumnReading:
        cells, words = raw.cells, self.missing.texts
        assert cells is not None  # noqa: S101  every column of text has cells
        gaps, is_stripped = tuple(cells.missing(words)), cells.n_stripped(words) > 0
        is_number = is_numeric_dtype(raw.column.dtype) and not is_bool_dtype(raw.column.dtype)
        return ColumnReading(
            name,
            "text",
            gaps=gaps,
            is_stripped=is_stripped,
            is_mixed=_is_mixed(raw),
            is_number=is_number,
            is_truth=bool(gaps) and all(text in TRUTH_VALUES or text in gaps for text in cells.raw),
        )

    def _typed_numbers(self, name: str, raw: RawColumn) -> ColumnReading:
        """Return how a column is read that holds numbers by its type."""
        met = read_column(raw, ColumnReading(name, "number"), self.missing)[1]
        return ColumnReading(name, "number", self.decimal, gaps=tuple(met.missing))

    def _number(self, name: str, raw: RawColumn, decimal: str) -> ColumnReading:
        cells, words = raw.cells, self.missing.numbers
        assert cells is not None  # noqa: S101  every column of text has cells
        present = cells.present(words)
        return ColumnReading(
            name,
            "number",
            decimal,
            gaps=tuple(cells.missing(words)),
            is_stripped=cells.n_stripped(words) > 0,
            is_text=True,
            is_spelled=not all(is_spelled_plainly(text, self.decimal) for text in present),
            is_mixed=_is_mixed(raw),
        )

    def _decimal_of(self, texts: Counter[str]) -> str:
        """Return the decimal mark with which most rows are numbers; the file's own if there are several."""
        other = "," if self.decimal == "." else "."

        def n_numbers(decimal: str) -> int:
            return sum(n_rows for text, n_rows in texts.items() if number_of(text, decimal) is not None)

        return other if n_numbers(other) > n_numbers(self.decimal) else self.decimal

    def _numbers(self, name: str, raw: RawColumn, *, is_target: bool = False) -> ColumnReading | None:
        """Return how a column is read whose cells are numbers; None if most of them are not.

        Raises:
            DataError: Some of them are not.
        """
        assert raw.cells is not None  # noqa: S101  every column of text has cells
        texts = raw.cells.present(self.missing.numbers)
        decimal = self._decimal_of(texts)
        strays = Counter({text: n for text, n in texts.items() if number_of(text, decimal) is None})
        n_numbers = texts.total() - strays.total()
        if n_numbers <= _MOSTLY * texts.total():
            return None
        if not strays:
            return self._number(name, raw, decimal)
        numbers = {number_of(text, decimal) for text in texts if text not in strays}
        if is_target and len(numbers) <= MAX_NUMBER_CLASSES and all(x is not None and x.is_integer() for x in numbers):
            return None  # classes such as 1, 2, 3+
        raise self._stray_cells(name, strays, texts.total(), "dataset.target" if is_target else "dataset.source")

    def _stray_cells(self, name: str, strays: Counter[str], n_rows: int, path: str) -> DataError:
        got = f"{_count_cells(strays)} among the {n_rows - strays.total()} numbers of '{name}'"
        remedy = f"to have a category for each word, dataset.text: {yaml_list([name])}"
        if len(strays) <= MAX_LISTED:
            words = list(dict.fromkeys((*self.met, *strays)))
            remedy = f"if missing values are meant, write dataset.missing: {yaml_list(words)}; {remedy}"
        else:
            remedy = f"correct these cells; {remedy}"
        return _error(path, "columns of numbers must hold nothing else", got, f"{remedy}; or {self.drop_remedy}")

    def _texts(self, name: str, raw: RawColumn) -> ColumnReading:
        """Return how a column of words is read.

        Raises:
            DataError: Nearly all words differ.
            UnusableColumnError: They are dates.
        """
        assert raw.cells is not None  # noqa: S101  every column of text has cells
        texts = raw.cells.present(self.missing.texts)
        if texts and looks_dated(list(texts)):
            raise UnusableColumnError(name, "date", next(iter(texts))[:30])
        if len(texts) > self.spec.max_categories and len(texts) >= _DIFFERENT * texts.total():
            got = f"{len(texts)} different ones in {texts.total()} rows of '{name}', such as {next(iter(texts))[:20]!r}"
            remedy = f"it looks like an identifier: {self._drop(name)}"
            raise _error("dataset.source", "texts must occur again in other rows", got, remedy)
        return self._words(name, raw)

    def _drop(self, name: str) -> str:
        is_table = "dataset.drop" in self.drop_remedy
        return f"dataset.drop: {yaml_list([*self.spec.drop, name])}" if is_table else self.drop_remedy

    def mistakes(self, columns: Sequence[UnusableColumnError]) -> list[Mistake]:
        """Return the mistakes about columns that cannot be learned from, one for dates and one for all others."""
        dates = [column for column in columns if column.kind == "date"]
        others = [column for column in columns if column.kind != "date"]
        mistakes = []
        if dates:
            names = [column.name for column in dates]
            got = f"{name_some(names)} with {dates[0].example!r}"
            words = "; if they are words, dataset.text: " + yaml_list([*self.spec.text, *names])
            remedy = f"write dataset.dates: {yaml_list([*self.spec.dates, *names])}, or {self.drop_remedy}{words}"
            mistakes.append(Mistake("dataset.dates", "must list every column of dates", got, remedy))
        if others:
            got = f"{', '.join(sorted({column.kind for column in others}))} in {name_some([c.name for c in others])}"
            advice = f"convert it to one of these, or {self.drop_remedy}"
            mistakes.append(Mistake("dataset.source", "columns must hold numbers or text", got, advice))
        return mistakes

    def _dates(self, name: str, raw: RawColumn) -> ColumnReading:
        form = None if raw.has_dates else self.spec.dates[name] or self._date_format(name, raw)
        how = ColumnReading(name, "date", format=form)
        moments, met = read_moments(raw, how, self.missing)
        is_stripped = raw.cells is not None and raw.cells.n_stripped(self.missing.numbers) > 0
        parts, gaps = varying_parts(moments), tuple(met.missing)
        return ColumnReading(name, "date", format=form, parts=parts, gaps=gaps, is_stripped=is_stripped)

    def _date_format(self, name: str, raw: RawColumn) -> str:
        """Find the format of a column that the sweep file lists among dates."""
        rule = "must list columns of dates"
        if raw.kind is not None:
            raise _error("dataset.dates", rule, f"'{name}' with {raw.kind}", "remove it there")
        if raw.cells is None:
            return _compact_format(name, raw, rule)
        texts = raw.cells.present(self.missing.numbers)
        found = find_format(list(texts))
        if not found.formats:
            got = f"'{name}' with {name_some(list(texts))}" if texts else f"'{name}', which is empty"
            remedy = f'name their format, as in dataset.dates: {{{name}: "%d/%m/%Y"}}'
            raise _error("dataset.dates", rule, got, remedy)
        if found.strays:
            strays = Counter({text: texts[text] for text in found.strays})
            words = yaml_list(list(dict.fromkeys((*self.met, *strays)))[: MAX_LISTED * 2])
            got = f"{_count_cells(strays)} among the dates of '{name}'"
            remedy = f"if missing values are meant, write dataset.missing: {words}; else correct these cells"
            raise _error("dataset.dates", "columns of dates must hold nothing else", got, remedy)
        if len(found.formats) > 1:
            got = f"'{name}' with {name_some(list(texts))}, which may be {' or '.join(found.formats)}"
            remedy = f'say which, as in dataset.dates: {{{name}: "{found.formats[0]}"}}'
            raise _error("dataset.dates", "must make the order of day and month clear", got, remedy)
        return found.formats[0]


def _is_mixed(raw: RawColumn) -> bool:
    """Return whether texts stand among other values."""
    return str(infer_dtype(raw.column, skipna=True)) != "string"


def _compact_format(name: str, raw: RawColumn, rule: str) -> str:
    """Return the format of dates that are written without marks, such as 20240131."""
    texts = np.array([f"{value:.0f}" for value in raw.column.dropna().unique()], dtype=object)
    is_compact = len(texts) and all(len(text) == 8 for text in texts)
    if not is_compact or np.isnat(moments_of(texts, COMPACT)).any():
        raise _error("dataset.dates", rule, f"'{name}' with numbers such as {texts[0]}", "remove it there")
    return COMPACT


def _count_cells(cells: Counter[str]) -> str:
    """Name cells and count their rows, the most frequent first."""
    named = [f"{yaml_text(text[:30])} in {n} row{'s' if n > 1 else ''}" for text, n in cells.most_common(MAX_LISTED)]
    more = len(cells) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _error(path: str, rule: str, got: str, remedy: str) -> DataError:
    return DataError([Mistake(path, rule, got, remedy)])


def met_words(columns: Mapping[str, RawColumn], missing: MissingWords) -> tuple[str, ...]:
    """Return the words for missing values that stand in any column, without blank ones."""
    met: Counter[str] = Counter()
    for raw in columns.values():
        if raw.cells is not None:
            met.update(text for text in raw.cells.texts if text and text in missing.numbers)
    return tuple(met)


def keeps_gaps(columns: Mapping[str, RawColumn], readings: Iterable[ColumnReading]) -> bool:
    """Return whether a word that pandas takes for a gap was kept as a word in any column."""
    for how in readings:
        cells = columns[how.name].cells
        if (
            how.kind == "text"
            and cells is not None
            and any(raw in PANDAS_GAPS and raw not in how.gaps for raw in cells.raw)
        ):
            return True
    return False
