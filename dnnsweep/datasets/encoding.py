"""Encoding: from a table to the network's inputs, fitted to the training rows and kept as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.frames import Table
from dnnsweep.datasets.splits import Rows, Split

Inputs = NDArray[np.float32]

#: Most columns of a table whose constant columns are noted; images have many constant pixels.
MAX_DESCRIBED: Final = 200
#: Most values of a table without gaps whose medians are computed, for new rows that have some; images have none.
MAX_MEDIAN_VALUES: Final = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class NumberEncoding:
    """How number columns are encoded: gaps are filled, then values are scaled.

    `standard` is (x - offset) / factor, `minmax` is x * factor + offset, as scikit-learn computes them.

    Args:
        columns: Names of the columns.
        dtype: Type that they are computed in, `float32` or `float64`.
        medians: (columns,) what missing numbers become; None where nothing was computed because no row has a gap.
        scale: `standard`, `minmax` or `none`.
        offsets: (columns,) offsets of the scaler; empty for `none`.
        factors: (columns,) factors of the scaler; empty for `none`.
        lowest: (columns,) smallest number of the training rows; NaN where all are missing.
        highest: (columns,) largest number of the training rows; NaN where all are missing.
        missing_shares: (columns,) share of the training rows without a number.
    """

    columns: tuple[str, ...]
    dtype: str
    medians: NDArray[Any] | None
    scale: str
    offsets: NDArray[Any]
    factors: NDArray[Any]
    lowest: NDArray[Any]
    highest: NDArray[Any]
    missing_shares: NDArray[np.float64]

    def encode(self, numbers: NDArray[Any], *, copy: bool = True) -> Inputs:
        """Return the inputs (rows, columns) of numbers (rows, columns), which are overwritten without `copy`."""
        values = numbers.astype(self.dtype, copy=copy)
        if self.medians is not None:
            np.copyto(values, self.medians, where=np.isnan(values))
        with np.errstate(over="ignore", invalid="ignore"):
            if self.scale == "standard":
                values -= self.offsets
                values /= self.factors
            elif self.scale == "minmax":
                values *= self.factors
                values += self.offsets
            return values.astype(np.float32, copy=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, from which `from_json` makes an equal value."""
        return {
            "columns": list(self.columns),
            "dtype": self.dtype,
            "medians": None if self.medians is None else self.medians.tolist(),
            "scale": self.scale,
            "offsets": self.offsets.tolist(),
            "factors": self.factors.tolist(),
            "lowest": _none_for_nan(self.lowest),
            "highest": _none_for_nan(self.highest),
            "missing_shares": self.missing_shares.tolist(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> NumberEncoding:
        """Return the value of what `to_json` returned."""
        arrays = {name: np.array(plain[name], plain["dtype"]) for name in ("offsets", "factors", "lowest", "highest")}
        return cls(
            columns=tuple(plain["columns"]),
            dtype=plain["dtype"],
            medians=None if plain["medians"] is None else np.array(plain["medians"], plain["dtype"]),
            scale=plain["scale"],
            missing_shares=np.array(plain["missing_shares"], np.float64),
            **arrays,
        )


def _none_for_nan(values: NDArray[Any]) -> list[float | None]:
    """Return numbers as JSON has them."""
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  NaN is not itself


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How text columns are encoded: one input for each category; a text of no category is 0 in all of them.

    Args:
        columns: Names of the columns.
        categories: Texts of the training rows in each column, sorted; `gap` among them where one has a gap. Where other
            trials have other training rows, texts of all rows that these are drawn from.
        missing_shares: Share of the training rows without a text in each column.
        gap: Category of missing texts, which is no text of any column.
    """

    columns: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    missing_shares: tuple[float, ...]
    gap: str

    def encode(self, text: NDArray[Any]) -> Inputs:
        """Return the inputs (rows, categories of all columns) of texts (rows, columns), None where missing."""
        ends = np.cumsum([len(texts) for texts in self.categories])
        inputs = np.zeros((len(text), int(ends[-1])), np.float32)
        for texts, end, column in zip(self.categories, ends, text.T, strict=True):
            codes = pd.Index(texts, dtype=object).get_indexer(_filled(column, self.gap))
            known = np.flatnonzero(codes >= 0)
            inputs[known, end - len(texts) + codes[known]] = 1
        return inputs

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, from which `from_json` makes an equal value."""
        return {
            "columns": list(self.columns),
            "categories": [list(texts) for texts in self.categories],
            "missing_shares": list(self.missing_shares),
            "gap": self.gap,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> TextEncoding:
        """Return the value of what `to_json` returned."""
        categories = tuple(tuple(texts) for texts in plain["categories"])
        return cls(tuple(plain["columns"]), categories, tuple(plain["missing_shares"]), plain["gap"])


def _filled(column: NDArray[Any], gap: str) -> NDArray[Any]:
    """Return texts with the category of missing ones in the gaps."""
    return np.where(pd.isna(column), gap, column)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How a table becomes the inputs of a network: numbers first, then the one-hot columns of each text column.

    Args:
        numbers: Encoding of the number columns.
        texts: Encoding of the text columns.
    """

    numbers: NumberEncoding
    texts: TextEncoding

    def encode(self, numbers: NDArray[Any], text: NDArray[Any], *, copy: bool = True) -> Inputs:
        """Return the inputs (rows, n_features).

        Args:
            numbers: Numbers (rows, number columns), NaN where missing.
            text: Texts (rows, text columns), None where missing.
            copy: Whether `numbers` stay as they are; overwriting them saves memory.
        """
        blocks = [self.numbers.encode(numbers, copy=copy)] if self.numbers.columns else []
        blocks += [self.texts.encode(text)] if self.texts.columns else []
        return np.hstack(blocks) if len(blocks) > 1 else blocks[0]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, from which `from_json` makes an equal value."""
        return {"numbers": self.numbers.to_json(), "texts": self.texts.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Encoding:
        """Return the value of what `to_json` returned."""
        return cls(NumberEncoding.from_json(plain["numbers"]), TextEncoding.from_json(plain["texts"]))


def fit_encoding(table: Table, train: Rows, scale: str, rest: Rows | None = None) -> Encoding:
    """Return the encoding that the training rows ask for.

    Missing numbers become the median of the training rows; then numbers are scaled. Missing texts are a category
    of their own.

    Args:
        table: All rows.
        train: Positions of the training rows.
        scale: `standard`, `minmax` or `none`; applies to numbers, not to one-hot columns.
        rest: Positions of the rows that training rows are drawn from, for one trial or another: each of their texts has
            an input, so that all trials have the same ones. None where all trials have the same training rows.
    """
    return Encoding(_fit_numbers(table, train, scale), _fit_texts(table, train, train if rest is None else rest))


def encode(table: Table, rows: Split, encoding: Encoding) -> tuple[Inputs, Inputs, Inputs]:
    """Return the inputs (rows of the part, n_features) of training, validation and test rows.

    Raises:
        DataError: A number does not fit in 32 bits.
    """
    parts = [
        encoding.encode(table.numbers[part], table.text[part], copy=False)
        for part in (rows.train, rows.validation, rows.test)
    ]
    _check_finite(table, parts)
    train, validation, test = parts
    return train, validation, test


def count_inputs(table: Table, most: int) -> int:
    """Return how many inputs a table may become at most: each text column one for each of its texts.

    Args:
        table: All rows.
        most: Most words of a column that are told apart; a gap is one more.
    """
    n_texts = (min(len(pd.unique(texts)), most + 1) for texts in table.text.T)
    return len(table.number_columns) + sum(n_texts)


def _fit_numbers(table: Table, train: Rows, scale: str) -> NumberEncoding:
    values = table.numbers[train]  # a copy, which is overwritten below
    n_missing = np.isnan(values).sum(axis=0)
    lowest, highest = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    medians = _medians(table, values)
    if medians is not None:
        np.copyto(values, medians, where=np.isnan(values))
    offsets, factors = _fit_scaler(values, scale)
    dtype = values.dtype
    return NumberEncoding(
        columns=table.number_columns,
        dtype=dtype.name,
        medians=medians,
        scale=scale,
        offsets=offsets.astype(dtype),
        factors=factors.astype(dtype),
        lowest=lowest,
        highest=highest,
        missing_shares=n_missing / len(values),
    )


def _medians(table: Table, values: NDArray[Any]) -> NDArray[Any] | None:
    """Return the median of each column (columns,), 0 where all numbers are missing."""
    if not table.number_columns:
        return None
    if np.isnan(table.numbers).any():
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        return np.asarray(imputer.fit(values).statistics_, dtype=values.dtype)
    return None if values.size > MAX_MEDIAN_VALUES else np.median(values, axis=0)


def _fit_scaler(values: NDArray[Any], scale: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return offsets and factors of scikit-learn's scaler, which is fitted to values without gaps."""
    if scale == "none" or not values.shape[1]:
        return np.empty(0), np.empty(0)
    with np.errstate(over="ignore", invalid="ignore"):
        if scale == "standard":
            standard = StandardScaler(copy=False).fit(values)
            return standard.mean_, standard.scale_
        minmax = MinMaxScaler(copy=False).fit(values)
        return minmax.min_, minmax.scale_


def _fit_texts(table: Table, train: Rows, rest: Rows) -> TextEncoding:
    categories = tuple(tuple(sorted(pd.unique(_filled(column, table.gap)))) for column in table.text[rest].T)
    missing_shares = tuple(pd.isna(table.text[train]).mean(axis=0).tolist())
    return TextEncoding(table.text_columns, categories, missing_shares, table.gap)


def _check_finite(table: Table, parts: list[Inputs]) -> None:
    n_numbers = len(table.number_columns)
    finite = np.all([np.isfinite(part[:, :n_numbers]).all(axis=0) for part in parts], axis=0)
    names = [table.number_columns[index] for index in np.flatnonzero(~finite)]
    if names:
        rule, remedy = "numbers must fit in 32 bits after scaling", "remove rows with extreme values"
        raise data_error("dataset.source", rule, f"larger ones in {name_some(names)}", remedy)


def _constant_columns(table: Table) -> list[str]:
    """Return the number columns whose values, where not missing, are all equal."""
    is_constant = np.fmin.reduce(table.numbers, axis=0) == np.fmax.reduce(table.numbers, axis=0)
    return [name for name, is_same in zip(table.number_columns, is_constant, strict=True) if is_same]


def encoding_notes(table: Table) -> tuple[str, ...]:
    """Return what encoding does to the columns of a table, one sentence each."""
    n_numbers, n_texts = np.isnan(table.numbers).sum(axis=0), pd.isna(table.text).sum(axis=0)
    filled = [name for name, count in zip(table.number_columns, n_numbers, strict=True) if count]
    marked = [name for name, count in zip(table.text_columns, n_texts, strict=True) if count]
    constant = [] if len(table.number_columns) > MAX_DESCRIBED else _constant_columns(table)
    n_filled = n_numbers.sum()
    notes = {
        f"Filled {n_filled} missing numbers in {name_some(filled)} with the median of the training rows.": filled,
        f"Turned {n_texts.sum()} missing texts in {name_some(marked)} into the category '{table.gap}'.": marked,
        f"One-hot encoded the text columns {name_some(table.text_columns)}.": table.text_columns,
        f"Kept the constant columns {name_some(constant)}, which have no effect.": constant,
    }
    return tuple(note for note, names in notes.items() if names)
