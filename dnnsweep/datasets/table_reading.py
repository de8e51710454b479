"""Reading of tables: the columns of a source are told apart, cleaned and turned into numbers and text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from dnnsweep.datasets.categories import join_rare
from dnnsweep.datasets.cells import MissingWords
from dnnsweep.datasets.column_kinds import KindFinder, UnusableColumnError, keeps_gaps, met_words
from dnnsweep.datasets.data_errors import name_some
from dnnsweep.datasets.dates import date_columns
from dnnsweep.datasets.frames import Table, table_from_frame
from dnnsweep.datasets.readings import (
    Met,
    RawColumn,
    Reading,
    read_column,
    read_features,
    read_frame,
    read_moments,
)
from dnnsweep.datasets.sources import Source, columns_remedy
from dnnsweep.errors import DataError, Mistake
from dnnsweep.records.column_reading import ColumnReading
from dnnsweep.space import yaml_text
from dnnsweep.spec import DatasetSpec

#: Names that pandas gives to a column without one: the first column, and any other.
_UNNAMED: Final = re.compile(r"Unnamed: [0-9]+(\.[0-9]+)*|")
_INDEX: Final = re.compile(r"Unnamed: 0(\.[0-9]+)*|__index_level_[0-9]+__|")
#: Fewest rows whose numbering makes a column one of row numbers.
_MIN_NUMBERED: Final = 10


def read_table(source: Source, spec: DatasetSpec, stored: Reading | None) -> tuple[Source, Reading]:
    """Read the columns of a source.

    Args:
        source: Rows of a table as pandas reads them.
        spec: Names the columns that are left out, and those that are no features.
        stored: How the columns were read before; None finds it out.

    Returns:
        The source, with columns of numbers and of text only, and how its columns were read.

    Raises:
        DataError: The sweep file names a column that is not there, or the target cannot be read. Columns to learn
            from that cannot be read are left out of the source, which carries the mistakes.
    """
    _check_names(source, spec)
    columns = _RawColumns.of(source, spec, stored)
    if stored is not None:
        columns.check(stored)
    reading, mistakes = (stored, []) if stored is not None else _fit(columns, source, spec)
    features, met = read_features(columns.features, reading)
    others: dict[str, pd.Series] = {}
    y = source.y
    target_gaps: tuple[str, ...] = ()
    for how in reading.others:
        is_role = how.name in columns.roles
        read, seen = _read_other(columns.roles[how.name] if is_role else columns.target, how, reading.missing)
        met.setdefault(how.name, seen)
        if is_role:
            others[how.name] = read
        else:
            y, target_gaps = read.rename(source.y.name), how.gaps
    untouched = {name: raw.column for name, raw in columns.roles.items() if name not in others}
    x = pd.DataFrame({**features, **others, **untouched}, copy=False)
    numbered = columns.numbered() if stored is None else ()
    notes = (*source.notes, *reading_notes(reading, met), *numbered)
    raw_names = (*(how.name for how in reading.columns), *columns.roles)
    read_source = replace(source, x=x, y=y, columns=raw_names, notes=notes, target_gaps=target_gaps)
    return replace(read_source, mistakes=tuple(mistakes)), reading


def _read_other(raw: RawColumn, how: ColumnReading, missing: MissingWords) -> tuple[pd.Series, Met]:
    """Read a column that stays one column: the target, or one that rows are split or weighted by."""
    if how.kind == "date":
        moments, met = read_moments(raw, how, missing)
        return pd.Series(moments), met
    read, met = read_column(raw, how, missing)
    return read[how.name], met


def _check_names(source: Source, spec: DatasetSpec) -> None:
    names = {f"dataset.text.{index}": name for index, name in enumerate(spec.text)}
    names |= {f"dataset.dates.{name}": name for name in spec.dates}
    known = [*source.columns, source.target]
    mistakes = [
        Mistake(path, "must be a column of the table", yaml_text(name), columns_remedy(name, source.columns))
        for path, name in names.items()
        if name not in known
    ]
    if mistakes:
        raise DataError(mistakes)


@dataclass(frozen=True, slots=True, eq=False)
class _RawColumns:
    """The columns of a table before they are read.

    Args:
        features: Columns to learn from.
        roles: Columns that rows are split or weighted by.
        target: The target.
        left_out: Columns that only number the rows, or are empty and without a name.
    """

    features: Mapping[str, RawColumn]
    roles: Mapping[str, RawColumn]
    target: RawColumn
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, source: Source, spec: DatasetSpec, known: Reading | None) -> _RawColumns:
        """Look at the columns of a source; those that only number the rows are left out."""
        frame = source.x
        assert isinstance(frame, pd.DataFrame)  # noqa: S101  arrays have no columns to read
        role_names = [name for name in (spec.split and spec.split.column, spec.sample_weight) if name]
        roles = [name for name in role_names if name in frame]
        texts = {*spec.text, *(() if known is None else (how.name for how in known.columns if how.kind == "text"))}
        index, empty = _columns_without_content(frame, [name for name in frame.columns if name not in roles])
        left_out = (*index, *empty) if known is None else known.left_out
        kept = [name for name in frame.columns if name not in roles and name not in left_out]
        return cls(
            features={name: RawColumn.of(frame[name], is_text=name in texts) for name in kept},
            roles={name: RawColumn.of(frame[name]) for name in roles},
            target=RawColumn.of(source.y, is_text=source.target in texts),
            left_out=left_out,
        )

    def numbered(self) -> tuple[str, ...]:
        """Return a note about columns that number the rows from another number than 0 or 1 on."""
        columns = {name: raw.column for name, raw in self.features.items() if raw.cells is None and raw.kind is None}
        names = [name for name, column in columns.items() if _is_numbered(column) and not _is_index(name, column)]
        note = f"The numbers of {name_some(names)} go up by one from row to row; dataset.drop leaves out identifiers."
        return (note,) if names else ()

    def check(self, reading: Reading) -> None:
        """Check that all columns are there that were read before.

        Raises:
            DataError: One is missing.
        """
        absent = [how.name for how in reading.columns if how.name not in self.features]
        if absent:
            rule = "must have the columns that it had when the sweep was created"
            raise DataError([Mistake("dataset.source", rule, f"none named {name_some(absent)}", "restore them")])


def _columns_without_content(frame: pd.DataFrame, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns that only number the rows, and those that are empty and without a name."""
    empty = [name for name in names if _UNNAMED.fullmatch(name) and frame[name].isna().all()]
    index = [name for name in names if name not in empty and _is_index(name, frame[name])]
    is_all = len(index) + len(empty) == len(names)  # then there would be nothing to learn from
    return ([] if is_all else index), empty


def _is_index(name: str, column: pd.Series) -> bool:
    """Return whether a column holds the index of a table that was saved, or numbers rows from 0 or 1 on."""
    if _INDEX.fullmatch(name):
        return True
    return _is_numbered(column) and column.iloc[0] in (0, 1)


def _is_numbered(column: pd.Series) -> bool:
    """Return whether numbers go up by one from row to row."""
    is_number = is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype)
    if len(column) < _MIN_NUMBERED or not is_number or column.isna().any():
        return False
    first = float(column.iloc[0])
    return bool(float(column.iloc[1]) == first + 1 and np.array_equal(column, first + np.arange(len(column))))


def _fit(columns: _RawColumns, source: Source, spec: DatasetSpec) -> tuple[Reading, list[Mistake]]:
    """Find out how columns are read; return the mistakes of those that cannot be learned from beside it."""
    missing = MissingWords.of(spec.missing)
    decimal = "." if source.form is None else source.form.decimal
    finder = KindFinder(spec, decimal, missing, met_words(columns.features, missing), source.drop_remedy)
    readings: list[ColumnReading] = []
    mistakes: list[Mistake] = []
    unusable: list[UnusableColumnError] = []
    for name, raw in columns.features.items():
        try:
            readings.append(finder.feature(name, raw))
        except DataError as error:
            mistakes += error.mistakes
        except UnusableColumnError as error:
            unusable.append(error)
    mistakes += [*finder.mistakes(unusable), *_derived_mistakes(readings, [*columns.features, *columns.roles])]
    others = [finder.target(source.target, columns.target)]
    others += [finder.role(name, raw) for name, raw in columns.roles.items()]
    known = [how for how in others if how is not None]
    if not readings:
        raise DataError(mistakes)
    everything = {source.target: columns.target, **columns.features, **columns.roles}
    has_words = keeps_gaps(everything, [*readings, *known])
    reading = Reading(tuple(readings), tuple(known), columns.left_out, missing, source.form, has_words)
    return reading, mistakes


def _derived_mistakes(readings: Sequence[ColumnReading], names: Sequence[str]) -> list[Mistake]:
    derived = [name for how in readings if how.kind == "date" for name in date_columns(how.name, how.parts)]
    taken = [name for name in derived if name in names]
    rule = "column names must differ from those that dates become"
    return [Mistake("dataset.dates", rule, name_some(taken), "rename the columns")] if taken else []


def read_rows(frame: pd.DataFrame, reading: Reading) -> Table:
    """Read new rows as the rows were read that a sweep was trained on.

    Args:
        frame: Rows of a table, as pandas reads them; columns that were not learned from are ignored.
        reading: How its columns are read.

    Raises:
        DataError: A column is missing or holds something else.
    """
    return join_rare(table_from_frame(read_frame(frame, reading), "convert it"), reading)


def reading_notes(reading: Reading, met: Mapping[str, Met]) -> tuple[str, ...]:
    """Return what a person should know about how columns were read, one sentence each.

    Args:
        reading: How they were read.
        met: Name of a column -> what was met in it.
    """
    form = () if reading.form is None else reading.form.notes()
    names = name_some(reading.left_out)
    left_out = [f"Left out {names}: an index, or a column without name and values."] if reading.left_out else []
    return (*form, *left_out, *_missing_notes(met), *_spelling_notes(met), *_date_notes(reading.columns))


def _missing_notes(met: Mapping[str, Met]) -> list[str]:
    words: Counter[str] = Counter()
    for seen in met.values():
        words.update({text.strip(): n_rows for text, n_rows in seen.missing.items()})
    if not words:
        return []
    counts = [f"{n} {'blank' if not word else yaml_text(word)}" for word, n in words.most_common(8)]
    names = [name for name, seen in met.items() if seen.missing]
    advice = "dataset.missing lists the words that count as missing."
    return [f"Took cells of {name_some(names)} for missing values: {', '.join(counts)}; {advice}"]


def _spelling_notes(met: Mapping[str, Met]) -> list[str]:
    stripped = [name for name, seen in met.items() if seen.n_stripped]
    n_rows = sum(seen.n_stripped for seen in met.values())
    notes = [f"Stripped blanks around {n_rows} texts of {name_some(stripped)}."] if stripped else []
    spelled = {name: seen.example for name, seen in met.items() if seen.example is not None}
    examples = ", ".join(map(yaml_text, list(spelled.values())[:3]))
    return notes + ([f"Read texts of {name_some(list(spelled))} as numbers, such as {examples}."] if spelled else [])


def _date_notes(columns: Sequence[ColumnReading]) -> list[str]:
    notes = []
    for how in columns:
        if how.kind == "date":
            cycles = f", and sine and cosine of {' and '.join(how.parts)}" if how.parts else ""
            form = f" ({how.format})" if how.format and "%" in how.format else ""
            notes.append(f"Turned the dates of '{how.name}'{form} into days since 1970-01-01{cycles}.")
    return notes
