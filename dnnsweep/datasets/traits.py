"""Traits: what rows were like before they were encoded, so that exported code can encode them in the same way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from dnnsweep.datasets.frames import Table, is_number
from dnnsweep.datasets.sources import Source
from dnnsweep.datasets.targets import Target
from dnnsweep.records import DataTrait


def data_traits(source: Source, table: Table, target: Target) -> tuple[DataTrait, ...]:
    """Return the traits of the data."""
    is_trait = {
        DataTrait.RESHAPED: source.is_reshaped,
        DataTrait.COLUMN_TARGET: source.is_column_target,
        DataTrait.FRAME: isinstance(source.x, pd.DataFrame),
        DataTrait.CAST: _is_cast(source.x),
        DataTrait.TEXT: bool(table.text_columns),
        DataTrait.ONLY_TEXT: not table.number_columns,
        DataTrait.MIXED_TEXT: any(infer_dtype(source.x[name], skipna=True) != "string" for name in table.text_columns),
        DataTrait.MISSING_NUMBERS: bool(np.isnan(table.numbers).any()),
        DataTrait.MISSING_TEXT: bool(pd.isna(table.text).any()),
        DataTrait.OWN_TEST: source.n_own_test is not None,
        DataTrait.TEXT_TARGET: target.kind == "text",
        DataTrait.DICTIONARY_OF_ARRAYS: source.is_dictionary,
        DataTrait.DATED: source.key is not None and not is_number(source.key),
    }
    return tuple(trait for trait, holds in is_trait.items() if holds)


def _is_cast(x: Any) -> bool:
    """Return whether scikit-learn would compute with another type than `Table` holds."""
    if isinstance(x, pd.DataFrame):
        return any(not isinstance(kind, np.dtype) or kind in ("float16", "float32") for kind in _number_types(x))
    return bool(x.dtype != np.float32 and np.can_cast(x.dtype, np.float32))


def _number_types(frame: pd.DataFrame) -> list[Any]:
    return list(frame.select_dtypes(["number", "bool"]).dtypes)
