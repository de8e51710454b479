"""Categories of text columns: rare words become one category, and missing ones a category that is no word."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.datasets.frames import MISSING, Table
from dnnsweep.datasets.readings import Reading
from dnnsweep.records.column_reading import ColumnReading

#: The category of rare words, unless it is a word of the column.
OTHER: Final = "other"


def fit_categories(reading: Reading, table: Table, train: NDArray[np.intp], most: int) -> Reading:
    """Return a reading with the categories that the training rows ask for.

    Args:
        reading: How the columns of the table were read.
        table: All rows.
        train: Positions of the training rows.
        most: Most words of a column. Where there are more, the rarest become one category; among words of equal
            frequency, those that come last in the alphabet.
    """
    texts = dict(zip(table.text_columns, table.text.T, strict=True))
    columns = tuple(
        _with_categories(how, texts[how.name], train, most) if how.name in texts else how for how in reading.columns
    )
    words = {word for column in texts.values() for word in pd.unique(column) if word is not None}
    return replace(reading, columns=columns, gap=free_word(MISSING, words))


def _with_categories(how: ColumnReading, texts: NDArray[Any], train: NDArray[np.intp], most: int) -> ColumnReading:
    counts = pd.Series(texts[train], dtype=object).value_counts().sort_index()
    if len(counts) <= most:
        return how
    frequent = counts.sort_values(ascending=False, kind="stable").index[: most - 1]
    return replace(how, words=tuple(sorted(frequent)), other=free_word(OTHER, set(pd.unique(texts))))


def free_word(word: str, taken: Collection[object]) -> str:
    """Return a word that is not taken, by underlines behind it.

    Example:
        >>> free_word("missing", ["red"]), free_word("missing", ["missing", "red"])
        ('missing', 'missing_')
    """
    while word in taken:
        word += "_"
    return word


def join_rare(table: Table, reading: Reading) -> Table:
    """Return a table in which the rare words of each column are one category, as a reading says.

    Args:
        table: Rows, of which only columns with rare words are copied.
        reading: How the columns of the table are read.
    """
    text = table.text
    kept = {how.name: how for how in reading.columns if how.words is not None}
    for index, name in enumerate(table.text_columns):
        if name in kept:
            text = text.copy() if text is table.text else text
            text[:, index] = _joined(table.text[:, index], kept[name])
    return replace(table, text=text, gap=reading.gap)


def _joined(texts: NDArray[Any], how: ColumnReading) -> NDArray[np.object_]:
    codes, distinct = pd.factorize(texts)
    words = set(how.words or ())
    joined = np.array([*(word if word in words else how.other for word in distinct), None], dtype=object)
    return np.asarray(joined[codes])  # the code of a missing text is -1


def category_notes(reading: Reading, table: Table, train: NDArray[np.intp]) -> tuple[str, ...]:
    """Return what a person should know about rare words, a sentence for each column.

    Args:
        reading: How the columns are read.
        table: All rows, before rare words were joined.
        train: Positions of the training rows.
    """
    notes = []
    for how in reading.columns:
        if how.words is not None:
            texts = pd.Series(table.text[train, table.text_columns.index(how.name)], dtype=object)
            is_rare = ~texts.isin(how.words) & texts.notna()
            notes.append(
                f"Joined the {texts[is_rare].nunique()} rarest words of '{how.name}' in the category '{how.other}' "
                f"({is_rare.mean():.1%} of the training rows); dataset.max_categories sets how many stay."
            )
    return tuple(notes)
