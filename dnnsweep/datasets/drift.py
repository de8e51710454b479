"""Drift: how far new rows are from those that a network was trained on."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.datasets.data_errors import MAX_LISTED, name_some
from dnnsweep.datasets.encoding import Encoding
from dnnsweep.datasets.new_rows import NewRows

#: Standard deviations above which there are more gaps than chance makes.
DEVIATIONS: Final = 3


class Drift:
    """Counts what training had not: unknown words, numbers far outside its range, and more gaps.

    A number is far outside if it is further from the range of the training rows than this range is wide.

    Args:
        encoding: Encoding that was fitted to the training rows.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._n_rows = 0
        self._unknown: list[Counter[str]] = [Counter() for _ in encoding.texts.columns]
        n_numbers = len(encoding.numbers.columns)
        self._n_far = np.zeros(n_numbers, dtype=np.int64)
        self._farthest = np.full(n_numbers, np.nan)
        self._n_gaps = np.zeros(n_numbers + len(encoding.texts.columns), dtype=np.int64)

    def add(self, rows: NewRows) -> None:
        """Count a block of rows."""
        self._n_rows += len(rows.numbers)
        self._count_far(rows.numbers)
        is_gap = [np.isnan(rows.numbers).sum(axis=0), pd.isna(rows.text).sum(axis=0)]
        self._n_gaps += np.concatenate(is_gap).astype(np.int64)
        for counts, known, column in zip(self._unknown, self._encoding.texts.categories, rows.text.T, strict=True):
            words = pd.Series(column, dtype=object).value_counts()
            counts.update({str(word): int(n_rows) for word, n_rows in words.items() if word not in known})

    def _count_far(self, values: NDArray[Any]) -> None:
        numbers = self._encoding.numbers
        if not numbers.columns or not len(values):
            return
        low, high = numbers.lowest.astype(np.float64), numbers.highest.astype(np.float64)
        distance = np.fmax(low - values, values - high)
        is_far = distance > high - low
        self._n_far += is_far.sum(axis=0)
        for index in np.flatnonzero(is_far.any(axis=0)):
            row = np.nanargmax(distance[:, index])
            self._farthest[index] = values[row, index]

    def notes(self) -> tuple[str, ...]:
        """Return what a person should know, a sentence for each column."""
        return (*self._unknown_words(), *self._far_numbers(), *self._gaps())

    def _unknown_words(self) -> list[str]:
        notes = []
        for name, counts in zip(self._encoding.texts.columns, self._unknown, strict=True):
            if counts:
                words = [f"'{word}' ({n_rows})" for word, n_rows in counts.most_common(MAX_LISTED)]
                more = f" and {len(counts) - MAX_LISTED} more" if len(counts) > MAX_LISTED else ""
                notes.append(
                    f"{name} has words that training did not have, in {counts.total()} of {self._n_rows} rows: "
                    f"{', '.join(words)}{more}. They count as no word at all."
                )
        return notes

    def _far_numbers(self) -> list[str]:
        numbers, far = self._encoding.numbers, np.flatnonzero(self._n_far)
        if len(far) > MAX_LISTED:
            names = name_some([numbers.columns[index] for index in far])
            return [f"Numbers are far outside those of training in {names}."]
        return [
            f"{numbers.columns[index]} is far outside its range in training, {numbers.lowest[index]:g} to "
            f"{numbers.highest[index]:g}, in {self._n_far[index]} of {self._n_rows} rows, such as "
            f"{self._farthest[index]:g}."
            for index in far
        ]

    def _gaps(self) -> list[str]:
        numbers, texts = self._encoding.numbers, self._encoding.texts
        columns, shares = (*numbers.columns, *texts.columns), (*numbers.missing_shares, *texts.missing_shares)
        n_rows = self._n_rows
        more = [
            index
            for index, share in enumerate(shares)
            if self._n_gaps[index] > 1 + n_rows * share + DEVIATIONS * math.sqrt(n_rows * share * (1 - share))
        ]
        if len(more) > MAX_LISTED:
            return [f"More cells are missing than in training in {name_some([columns[index] for index in more])}."]
        return [
            f"{columns[index]} is missing in {self._n_gaps[index] / n_rows:.0%} of the rows; in training it was "
            f"missing in {shares[index]:.0%}."
            for index in more
        ]
