"""Traits: what rows were like before they were encoded, so that plain code can be written that encodes them alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from dnnsweep.datasets.frames import Table, is_number
from dnnsweep.datasets.sources import Source
from dnnsweep.datasets.targets import Target


def traits_of(source: Source, table: Table, target: Target) -> tuple[str, ...]:
    """Return the words of `records.DataSummary` that hold of the data."""
    facts = {
        "reshaped": source.is_reshaped,
        "column_target": source.is_column_target,
        "frame": isinstance(source.x, pd.DataFrame),
        "cast": _is_cast(source.x),
        "text": bool(table.text_columns),
        "only_text": not table.number_columns,
        "mixed_text": any(infer_dtype(source.x[name], skipna=True) != "string" for name in table.text_columns),
        "missing_numbers": bool(np.isnan(table.numbers).any()),
        "missing_text": bool(pd.isna(table.text).any()),
        "own_test": source.n_own_test is not None,
        "text_target": target.kind == "text",
        "dictionary_of_arrays": source.is_dictionary,
        "dated": source.key is not None and not is_number(source.key),
    }
    return tuple(word for word, holds in facts.items() if holds)


def _is_cast(x: Any) -> bool:
    """Return whether scikit-learn would compute in another type than `Table` does."""
    if isinstance(x, pd.DataFrame):
        return any(not isinstance(kind, np.dtype) or kind in ("float16", "float32") for kind in _number_types(x))
    return bool(x.dtype != np.float32 and np.can_cast(x.dtype, np.float32))


def _number_types(frame: pd.DataFrame) -> list[Any]:
    return list(frame.select_dtypes(["number", "bool"]).dtypes)
