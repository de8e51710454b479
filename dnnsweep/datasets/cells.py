"""Cells of a column as people type them: blanks around texts, words for missing values, numbers in other spellings."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from dnnsweep.datasets.dates import moments_of

#: Words that stand for a missing value unless a sweep file lists others. Blank cells always do.
MISSING_WORDS: Final = (
    *("NA", "N/A", "n/a", "n.a.", "N.A.", "NaN", "nan", "-NaN", "-nan", "NULL", "Null", "null", "<NA>"),
    *("#N/A", "#N/A N/A", "#NA", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "?", "-", "--"),
)
#: The same among numbers and dates, where no other word has a meaning. Among texts, `None` is a word.
MISSING_NUMBERS: Final = (*MISSING_WORDS, "None", "none", "na", "NAN", ".", "#DIV/0!", "#NUM!", "#VALUE!")
#: Cells that pandas takes for gaps unless it is told otherwise.
PANDAS_GAPS: Final = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)

#: Texts that pandas takes for truth values where a column holds nothing else.
TRUTH_VALUES: Final = ("True", "TRUE", "true", "False", "FALSE", "false")

_CURRENCY: Final = "[$€£¥₹]"
#: Decimal mark -> what may stand between thousands.
_THOUSANDS: Final = {".": "[,' \u00a0\u2009\u202f\u2019]", ",": "[.' \u00a0\u2009\u202f\u2019]"}
_NUMBER: Final = {
    decimal: re.compile(
        rf"[+-]?\s?{_CURRENCY}?\s?[+-]?"
        rf"(?:[1-9][0-9]{{0,2}}(?P<mark>{marks})[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*|[0-9]+(?=\D|$)|(?=[{decimal}][0-9]))"
        rf"(?:[{decimal}][0-9]*)?(?:[eE][+-]?[0-9]+)?\s?(?:%|{_CURRENCY})?"
    )
    for decimal, marks in _THOUSANDS.items()
}
#: Most characters of a number.
_MAX_LENGTH: Final = 60
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,15}")
_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def number_of(text: str, decimal: str = ".") -> float | None:
    """Return the number that a text stands for; None if it stands for none.

    Thousands may be apart, and a percent sign or the sign of a currency may stand beside the number.

    Args:
        text: Text without blanks around it.
        decimal: Decimal mark, `.` or `,`.

    Example:
        >>> number_of("1,200.5"), number_of("12%"), number_of("1.200,5", ","), number_of("1,2"), number_of("n.a.")
        (1200.5, 12.0, 1200.5, None, None)
    """
    if len(text) > _MAX_LENGTH:  # long texts of digits take the patterns long
        return None
    if decimal == "." and _PLAIN.fullmatch(text):
        return float(text)
    if not _NUMBER[decimal].fullmatch(text):
        return None
    return float("".join(letter for letter in text if letter in f"0123456789eE+-{decimal}").replace(",", "."))


def is_spelled_plainly(text: str, decimal: str = ".") -> bool:
    """Return whether a number is spelled as programs spell it, without marks of thousands.

    Example:
        >>> is_spelled_plainly("3.5"), is_spelled_plainly("3,5"), is_spelled_plainly("3,5", ",")
        (True, False, True)
    """
    plain = text.translate({ord(","): ".", ord("."): ","}) if decimal == "," else text
    return _PLAIN.fullmatch(plain) is not None


@dataclass(frozen=True, slots=True)
class MissingWords:
    """Words that stand for a missing value. Blank cells always do.

    Args:
        texts: Words among texts.
        numbers: Words among numbers and dates.
    """

    texts: tuple[str, ...] = MISSING_WORDS
    numbers: tuple[str, ...] = MISSING_NUMBERS

    @classmethod
    def of(cls, words: Sequence[str] | None) -> MissingWords:
        """Return the words that a sweep file lists, or the usual ones if it lists none."""
        return cls() if words is None else cls(tuple(words), tuple(words))

    def number_values(self) -> tuple[float, ...]:
        """Return the words that are numbers, such as -999."""
        values = (number_of(word) for word in self.numbers)
        return tuple(value for value in values if value is not None)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a column as texts.

    Args:
        codes: (rows,) position of each row's text among the distinct ones; -1 for a gap.
        raw: The distinct texts as they were read.
        texts: The same without blanks around them; two of them may be equal.
        counts: Number of rows of each.
    """

    codes: NDArray[np.intp]
    raw: tuple[str, ...]
    texts: tuple[str, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, column: pd.Series) -> Cells:
        """Return the cells of a column of texts or other values; whole numbers are written without a decimal point."""
        codes, values = pd.factorize(column)
        is_number = is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype)
        raw = tuple(f"{value:.15g}" if is_number else str(value) for value in values)
        counts = np.bincount(codes[codes >= 0], minlength=len(raw))
        return cls(codes, raw, tuple(text.strip() for text in raw), tuple(counts.tolist()))

    def present(self, words: Collection[str]) -> Counter[str]:
        """Return the rows of each text that is neither blank nor one of the words for missing values."""
        counts: Counter[str] = Counter()
        for text, n_rows in zip(self.texts, self.counts, strict=True):
            if text and text not in words:
                counts[text] += n_rows
        return counts

    def missing(self, words: Collection[str]) -> Counter[str]:
        """Return the rows of each cell that is blank or a word for missing values, as it was read."""
        cells = zip(self.raw, self.texts, self.counts, strict=True)
        return Counter({raw: n_rows for raw, text, n_rows in cells if not text or text in words})

    def n_stripped(self, words: Collection[str]) -> int:
        """Return the rows with blanks around a text that is not missing."""
        cells = zip(self.raw, self.texts, self.counts, strict=True)
        return sum(n_rows for raw, text, n_rows in cells if raw != text and text and text not in words)

    def as_texts(self, words: Collection[str]) -> NDArray[np.object_]:
        """Return texts (rows,) without blanks around them, None where missing."""
        return self._spread([text if text and text not in words else None for text in self.texts], None, object)

    def as_numbers(self, words: Collection[str], decimal: str) -> NDArray[Any]:
        """Return numbers (rows,), NaN where missing or not a number; whole numbers where all are written as such."""
        values = [math.nan if text in words else number_of(text, decimal) for text in self.texts]
        is_whole = all(_WHOLE.fullmatch(text) for text in self.texts) and not (self.codes < 0).any()
        numbers = self._spread([math.nan if value is None else value for value in values], math.nan, np.float64)
        return numbers.astype(np.int64) if is_whole and not np.isnan(numbers).any() else numbers

    def as_moments(self, words: Collection[str], form: str) -> NDArray[Any]:
        """Return moments (rows,) in UTC; not a time where missing or not a date of this format."""
        texts = np.array([text if text not in words else "" for text in self.texts] + [""], dtype=object)
        return np.asarray(moments_of(texts, form)[self.codes])

    def _spread(self, values: Sequence[Any], gap: Any, kind: Any) -> NDArray[Any]:
        distinct = np.empty(len(values) + 1, dtype=kind)
        distinct[:-1] = values
        distinct[-1] = gap
        return np.asarray(distinct[self.codes])  # the code of a gap is -1
