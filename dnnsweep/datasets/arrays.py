"""Arrays, lists and frames of any kind, converted to an array of numbers or a DataFrame."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnnsweep.datasets.data_errors import check_unique_names, data_error

Features: TypeAlias = NDArray[Any] | pd.DataFrame


def as_features(raw: Any, name: str) -> tuple[Features, tuple[str, ...], tuple[str, ...]]:
    """Convert rows to an array of numbers or a DataFrame.

    Args:
        raw: Array or nested list (rows, ...), DataFrame or Series.
        name: Name of the rows in errors.

    Returns:
        An array (rows, columns) of numbers or a DataFrame, the names of the columns, and notes.

    Raises:
        DataError: There are no rows or columns, their lengths differ, or a column name is repeated.
    """
    if isinstance(raw, pd.DataFrame | pd.Series):
        return _name_columns(raw.to_frame() if isinstance(raw, pd.Series) else raw, name)
    array = _to_array(raw, name)
    if array.ndim < 2 or 0 in array.shape:
        is_column = array.ndim == 1 and array.size
        remedy = "for a single column, pass x.reshape(-1, 1)" if is_column else "pass rows of columns"
        got = f"{type(raw).__name__} of shape {array.shape}"
        raise data_error("dataset.source", f"{name} must have rows and columns", got, remedy)
    if array.dtype.kind in "biuf":
        return _flatten_rows(array)
    if array.ndim > 2:
        rule = f"{name} must hold numbers or have two dimensions"
        raise data_error("dataset.source", rule, f"{array.ndim} dimensions", "flatten each row")
    # A nested list may mix numbers and text; an array would turn all of it into text.
    frame = pd.DataFrame(list(raw) if isinstance(raw, list | tuple) else array)
    return _name_columns(frame.set_axis(_default_names(array.shape[1]), axis="columns"), name)


def as_target(raw: Any, name: str) -> pd.Series:
    """Convert a target to one column.

    Args:
        raw: Array or list (rows,) or (rows, 1), Series, or DataFrame of one column.
        name: Name of the target in errors.

    Raises:
        DataError: There is not exactly one value per row.
    """
    array = raw.to_numpy() if isinstance(raw, pd.Series | pd.DataFrame) else _to_array(raw, name)
    if array.ndim == 0 or array.ndim > 2 or array.size != len(array):
        several = "for several targets, one column in each of several sweeps"
        remedy = (
            f"pass class numbers or names; for one-hot rows, y.argmax(axis=1); {several}" if array.ndim == 2 else ""
        )
        rule = f"{name} must hold one value per row"
        raise data_error("dataset.source", rule, f"{type(raw).__name__} of shape {array.shape}", remedy)
    if isinstance(raw, pd.Series):
        return raw.reset_index(drop=True).infer_objects()
    if isinstance(raw, pd.DataFrame):
        return raw.iloc[:, 0].reset_index(drop=True).infer_objects()
    is_flat_list = isinstance(raw, list | tuple) and array.ndim == 1
    return pd.Series(list(raw) if is_flat_list else array.ravel()).infer_objects()


def _to_array(raw: Any, name: str) -> NDArray[Any]:
    try:
        if hasattr(raw, "toarray"):  # one of SciPy's sparse matrices
            rule = f"{name} must be an array, a list or a DataFrame"
            raise data_error("dataset.source", rule, f"a sparse {type(raw).__name__}", f"pass {name}.toarray()")
        if isinstance(raw, np.ma.MaskedArray):
            return np.ma.filled(raw.astype(np.float64), np.nan)
        return np.asarray(raw)
    except (ValueError, TypeError) as error:
        rule = f"{name} must be an array, a list or a DataFrame with rows of equal length"
        raise data_error("dataset.source", rule, str(error).splitlines()[0]) from error


def _name_columns(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, tuple[str, ...], tuple[str, ...]]:
    if 0 in frame.shape:
        raise data_error("dataset.source", f"{name} must have rows and columns", f"shape {frame.shape}")
    columns = tuple(map(str, frame.columns))
    check_unique_names(columns)
    return frame.set_axis(list(columns), axis="columns").infer_objects(), columns, ()


def _flatten_rows(array: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...], tuple[str, ...]]:
    flat = array.reshape(len(array), -1)
    shape = " x ".join(map(str, array.shape[1:]))
    notes = (f"Flattened each row of {shape} numbers to {flat.shape[1]}.",) if array.ndim > 2 else ()
    return flat, tuple(_default_names(flat.shape[1])), notes


def _default_names(n_columns: int) -> list[str]:
    return [f"x{index}" for index in range(n_columns)]
