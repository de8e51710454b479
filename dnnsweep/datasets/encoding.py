"""Encoding: from a table to the network's inputs, by scikit-learn's transformers fitted to the training rows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from dnnsweep.datasets.data_errors import data_error, name_some
from dnnsweep.datasets.frames import Table
from dnnsweep.datasets.splits import Split

Inputs = NDArray[np.float32]

#: The category that missing texts get.
MISSING: Final = "missing"
#: Most columns of a table whose constant columns are noted; images have many constant pixels.
MAX_DESCRIBED: Final = 200
_SCALERS: Final = {"standard": StandardScaler, "minmax": MinMaxScaler}


def encode(table: Table, rows: Split, scale: str) -> tuple[Inputs, Inputs, Inputs]:
    """Turn a table into the inputs of training, validation and test rows, fitted to the training rows alone.

    Missing numbers become the median of the training rows; then numbers are scaled. Missing texts are a category
    of their own. A text that no training row holds is zero in all its columns.

    Args:
        table: All rows.
        rows: Positions of the rows of each part.
        scale: `standard`, `minmax` or `none`; applies to numbers, not to one-hot columns.

    Returns:
        Inputs (rows of the part, n_features) for each part.

    Raises:
        DataError: A number does not fit in 32 bits.
    """
    blocks = []
    if table.number_columns:
        blocks.append(_encode_parts(_numbers_pipeline(table, scale), table.numbers, rows))
        _check_finite(table, blocks[0])
    if table.text_columns:
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        blocks.append(_encode_parts(one_hot, np.where(pd.isna(table.text), MISSING, table.text), rows))
    train, validation, test = (np.hstack(part) if len(part) > 1 else part[0] for part in zip(*blocks, strict=True))
    return train, validation, test


def count_inputs(table: Table) -> int:
    """Return how many inputs a table may become at most: each text column one for each of its texts."""
    n_texts = (len(pd.unique(texts)) for texts in table.text.T)
    return len(table.number_columns) + sum(n_texts)


def _numbers_pipeline(table: Table, scale: str) -> Any:
    # Each part is a copy already, so the steps may overwrite it.
    is_missing = np.isnan(table.numbers).any()
    fill = [SimpleImputer(strategy="median", keep_empty_features=True, copy=False)] if is_missing else []
    scaler = [_SCALERS[scale](copy=False)] if scale in _SCALERS else []
    return make_pipeline(*(fill + scaler or ["passthrough"]))


def _encode_parts(transformer: Any, values: NDArray[Any], rows: Split) -> list[Inputs]:
    with np.errstate(over="ignore", invalid="ignore"):
        train = transformer.fit_transform(values[rows.train])
        others = [
            transformer.transform(values[part]) if len(part) else train[:0] for part in (rows.validation, rows.test)
        ]
        return [part.astype(np.float32, copy=False) for part in (train, *others)]


def _check_finite(table: Table, parts: list[Inputs]) -> None:
    finite = np.all([np.isfinite(part).all(axis=0) for part in parts], axis=0)
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
        f"Turned {n_texts.sum()} missing texts in {name_some(marked)} into the category '{MISSING}'.": marked,
        f"One-hot encoded the text columns {name_some(table.text_columns)}.": table.text_columns,
        f"Kept the constant columns {name_some(constant)}, which have no effect.": constant,
    }
    return tuple(note for note, names in notes.items() if names)
