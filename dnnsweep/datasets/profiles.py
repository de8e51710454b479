"""Profiles of columns: what each column of a table holds, and what it gives away about the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.datasets.clean_columns import CleanColumn, ColumnKind
from dnnsweep.datasets.frames import LARGEST, is_number

#: Fewest rows from which a coincidence is ruled out.
MIN_ROWS: Final = 20
#: Fewest rows for each value of a column, on average, before the column can give the target away.
ROWS_PER_VALUE: Final = 5
#: Correlation with the target from which a column of numbers counts as a copy of it.
COPY_CORRELATION: Final = 0.9999
#: Correlation of ranks that a monotone function has, and that a rounded linear one has at least.
ORDER_CORRELATION: Final = 1 - 1e-9
LOOSE_CORRELATION: Final = 0.99


class Leak(StrEnum):
    """How a column gives the target away."""

    #: Its values stand for those of the target, one for one.
    COPY = "copy"
    #: Each of its values occurs with one value, or one range, of the target only.
    ANSWER = "answer"
    #: It is filled in for one class only.
    FILLED = "filled"
    #: Its numbers lie in separate ranges, one for each class.
    RANGES = "ranges"


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What a column holds.

    Args:
        name: Name of the column.
        kind: What its cells are.
        n_rows: Number of rows.
        n_missing: Number of cells without a value.
        n_distinct: Number of different values.
        smallest: Number of rows that hold the rarest value.
        largest: Number of rows that hold the most frequent value.
        example: Most frequent value, as text.
        n_words: Mean number of words in a different text; 0 for other kinds.
        is_increasing: Whether each value is larger than the one in the row before, and none is missing.
        is_dense: Whether the values are nearly all whole numbers between the smallest and the largest one.
        n_digits: Number of digits that all values have; None if they differ.
        is_finite: Whether all numbers fit in 32 bits.
        skewness: Skewness of the numbers; 0 for other kinds.
        strays: Different cells that are neither numbers, in a column of numbers, nor dates, in one of dates.
        formats: Formats that all dates fit; several where the order of day and month is not clear.
        gaps: Words for missing values that it holds.
    """

    name: str
    kind: ColumnKind
    n_rows: int
    n_missing: int
    n_distinct: int
    smallest: int = 0
    largest: int = 0
    example: str = ""
    n_words: float = 0.0
    is_increasing: bool = False
    is_dense: bool = False
    n_digits: int | None = None
    is_finite: bool = True
    skewness: float = 0.0
    strays: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def n_present(self) -> int:
        """Return the number of cells with a value."""
        return self.n_rows - self.n_missing

    @property
    def is_unique(self) -> bool:
        """Return whether all values differ."""
        return self.n_present > 1 and self.n_distinct == self.n_present


def profile_column(name: str, clean: CleanColumn) -> ColumnProfile:
    """Return the profile of a column."""
    kind, column = clean.kind, clean.values
    if kind is ColumnKind.OTHER:
        return ColumnProfile(name, kind, len(column), int(column.isna().sum()), 0)
    codes, distinct = pd.factorize(column)  # the code of a missing value is -1
    counts = np.bincount(codes[codes >= 0])
    if not len(counts):
        return ColumnProfile(name, kind, len(column), len(column), 0)
    return ColumnProfile(
        name=name,
        kind=kind,
        n_rows=len(column),
        n_missing=int((codes < 0).sum()),
        n_distinct=len(counts),
        smallest=int(counts.min()),
        largest=int(counts.max()),
        example=str(distinct[int(counts.argmax())]),
        n_words=float(np.mean([len(text.split()) for text in distinct])) if kind is ColumnKind.TEXT else 0.0,
        **(_number_facts(_numbers(column)) if kind in (ColumnKind.NUMBER, ColumnKind.WHOLE) else {}),
        strays=clean.strays,
        formats=clean.formats,
        gaps=clean.gaps,
    )


def _numbers(column: pd.Series) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _number_facts(values: NDArray[np.float64]) -> dict[str, Any]:
    present = values[~np.isnan(values)]
    low, high = float(present.min()), float(present.max())
    lengths = {len(f"{abs(value):.0f}") for value in (low, high)} if low >= 0 else set()
    with np.errstate(invalid="ignore"):
        steps = np.diff(values)  # not a number between infinite ones
    return {
        "is_increasing": len(present) == len(values) > 1 and bool((steps > 0).all()),
        "is_dense": bool(high - low < 1.5 * len(present)),
        "n_digits": lengths.pop() if len(lengths) == 1 else None,
        "is_finite": bool((np.abs(present) <= LARGEST).all()),
        "skewness": _skewness(present),
    }


def _skewness(values: NDArray[np.float64]) -> float:
    with np.errstate(all="ignore"):
        scaled = (values - values.mean()) / values.std()
        skewness = float(np.mean(scaled**3))
    return skewness if np.isfinite(skewness) else 0.0


def find_leaks(columns: Mapping[str, CleanColumn], target: str, *, is_classified: bool) -> Mapping[str, Leak]:
    """Return the columns that give the target away, and how.

    Args:
        columns: Columns of a table by name, the target among them.
        target: Name of the target.
        is_classified: Whether the target's values are classes; if not, they are numbers.
    """
    y = columns[target].values
    if len(y) < MIN_ROWS:
        return {}
    find = _class_leak if is_classified else _number_leak
    known = pd.factorize(y)[0] if is_classified else _numbers(y)
    features = {name: column.values for name, column in columns.items() if name != target}
    leaks = {
        name: find(values, known) for name, values in features.items() if columns[name].kind is not ColumnKind.OTHER
    }
    return {name: leak for name, leak in leaks.items() if leak is not None}


def _class_leak(column: pd.Series, classes: NDArray[Any]) -> Leak | None:
    """Return how a column gives classes away, where missing classes are -1."""
    codes, distinct = pd.factorize(column)  # the code of a missing value is -1
    is_present, n_classes = codes >= 0, len(np.unique(classes))
    # If presence told nothing, both classes would occur with and without a value.
    if not is_present.all() and is_present.any() and _count_pairs(is_present, classes) == n_classes == 2:
        return Leak.FILLED
    known = classes[is_present]
    if len(known) < MIN_ROWS or len(np.unique(known)) < n_classes:
        return None
    if len(known) >= ROWS_PER_VALUE * len(distinct) and _count_pairs(codes[is_present], known) == len(distinct):
        return Leak.COPY if len(distinct) == n_classes else Leak.ANSWER
    if is_number(column) and _are_apart(_numbers(column)[is_present], known):
        return Leak.RANGES
    return None


def _count_pairs(codes: NDArray[Any], classes: NDArray[Any]) -> int:
    """Return how many different pairs of a code and a class there are."""
    return len(np.unique(codes.astype(np.int64) * (int(classes.max()) + 2) + classes))


def _number_leak(column: pd.Series, target: NDArray[Any]) -> Leak | None:
    """Return how a column gives numbers away."""
    is_known = column.notna().to_numpy() & ~np.isnan(target)
    values, known = column[is_known], target[is_known]
    if len(known) < MIN_ROWS or len(np.unique(known)) < ROWS_PER_VALUE:
        return None
    if is_number(values) and _are_copies(_numbers(values), known):
        return Leak.COPY
    codes, distinct = pd.factorize(values)
    if len(distinct) > 1 and len(known) >= ROWS_PER_VALUE * len(distinct) and _are_apart(known, codes):
        return Leak.ANSWER
    return None


def _are_copies(values: NDArray[np.float64], target: NDArray[np.float64]) -> bool:
    """Return whether numbers are a linear or a monotone function of others, but for rounding."""
    if len(np.unique(values)) < ROWS_PER_VALUE or not np.isfinite(values).all():
        return False
    monotone = _correlation(pd.Series(values).rank(), pd.Series(target).rank())
    # A single extreme value makes any two columns look linear, so their order must agree as well.
    return monotone > ORDER_CORRELATION or (
        monotone > LOOSE_CORRELATION and _correlation(values, target) > COPY_CORRELATION
    )


def _correlation(some: Any, others: Any) -> float:
    with np.errstate(all="ignore"):
        return abs(float(np.corrcoef(some, others)[0, 1]))


def _are_apart(numbers: NDArray[np.float64], groups: NDArray[Any]) -> bool:
    """Return whether the numbers of each group lie beyond those of the others."""
    order = np.argsort(numbers)
    ordered, changes = numbers[order], np.flatnonzero(np.diff(groups[order]))
    is_once = len(changes) == len(np.unique(groups)) - 1
    return is_once and len(changes) > 0 and bool((ordered[changes] < ordered[changes + 1]).all())
