"""What a model takes and answers, with an example of a raw row: told from what was fitted to the training rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from dnnsweep.datasets.dates import ISO, date_columns
from dnnsweep.datasets.encoding import NumberEncoding
from dnnsweep.datasets.predictions import PREDICTION, probability_name
from dnnsweep.datasets.preprocessing import Preprocessing
from dnnsweep.records.column_reading import ColumnReading


def describe_interface(fitted: Preprocessing) -> dict[str, Any]:
    """Return as plain JSON what a model takes and answers; who only lists models need not load the fitted values.

    Args:
        fitted: What was fitted to the training rows.

    Returns:
        `columns` and `row_shape` of a raw row, an `example` of it, and `answers`: column -> kind of its values.
    """
    target = fitted.target
    probabilities = {probability_name(label): "float" for label in target.classes}
    return {
        "columns": list(fitted.columns),
        "row_shape": None if fitted.row_shape is None else list(fitted.row_shape),
        "example": make_example(fitted),
        "answers": {PREDICTION: target.kind if target.classes else "float", **probabilities},
    }


def make_example(fitted: Preprocessing) -> Any:
    """Return a row that could stand in the training rows.

    Args:
        fitted: What was fitted to the training rows.

    Returns:
        A value for each column; where rows are arrays, numbers in the shape of one.
    """
    middles = _middles(fitted.encoding.numbers)
    if fitted.row_shape is not None:
        return np.reshape(middles, fitted.row_shape).tolist()
    numbers = dict(zip(fitted.encoding.numbers.columns, middles, strict=True))
    texts = zip(fitted.encoding.texts.columns, fitted.encoding.texts.categories, strict=True)
    gap = fitted.encoding.texts.gap
    words = {name: next((word for word in categories if word != gap), None) for name, categories in texts}
    dates = {how.name: _write_date(how, numbers) for how in fitted.reading.columns if how.kind == "date"}
    values: dict[str, Any] = {**numbers, **words, **dates}
    return [values.get(name) for name in fitted.columns]


def _middles(encoding: NumberEncoding) -> list[float]:
    """Return the median of each column, else the middle of its training rows; 0 where all are missing."""
    middles = (encoding.lowest.astype(np.float64) + encoding.highest) / 2
    values = middles if encoding.medians is None else encoding.medians
    return [float(value) for value in np.nan_to_num(values)]


def _write_date(how: ColumnReading, numbers: dict[str, float]) -> str:
    """Return a date as the dates of a column are written."""
    days = numbers.get(date_columns(how.name, ())[0], 0.0)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=round(days))
    return moment.strftime("%Y-%m-%d" if how.format in (None, ISO) else str(how.format))
