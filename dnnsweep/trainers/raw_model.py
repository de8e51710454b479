"""A model that takes raw rows: preprocessing, a network, and the decoding of its outputs, all as Keras layers.

It loads wherever Keras does, without dnnsweep. Import this module after the network was loaded, because it loads Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np

from dnnsweep.datasets.categories import free_word
from dnnsweep.datasets.dates import date_columns
from dnnsweep.datasets.encoding import NumberEncoding
from dnnsweep.datasets.preprocessing import Preprocessing, TargetEncoding
from dnnsweep.records import Task
from dnnsweep.records.input_names import input_names
from dnnsweep.trainers.compiled.builder import inputs_of

#: Most number columns that are inputs of their own; more are one input, a matrix.
MAX_INPUTS: Final = 1000
#: Names of the inputs that take many columns at once.
NUMBERS: Final = "numbers"
ROWS: Final = "rows"
#: Truth values as pandas writes them, which tables spell in other ways.
TRUTH: Final = ("True", "False")
#: What the lookup calls unknown words.
UNKNOWN: Final = "[UNK]"


def raw_model(network: Any, preprocessing: Preprocessing) -> Any:
    """Return a Keras model that takes raw rows and answers with `prediction` and, for classes, `probabilities`.

    Rows of a table are a dictionary: a number column is float64 with NaN where a cell is missing, a text column is a
    string that is empty where a cell is missing, and a column of dates is float64, in days since 1970-01-01. Rows that
    were arrays are one array of them, unscaled. `prediction` is a label as a string, or a number in the target's own
    units; `probabilities` (rows, classes) are in the order of the classes.

    Args:
        network: Network that takes encoded rows.
        preprocessing: Preprocessing that it was trained with.
    """
    inputs = _array_input(preprocessing) if preprocessing.row_shape is not None else _table_inputs(preprocessing)
    outputs = network(inputs_of(network, _encode(inputs, preprocessing), _reshape))
    return keras.Model(inputs, _decode(outputs, preprocessing.target), name="raw_model")


def _array_input(preprocessing: Preprocessing) -> Any:
    return keras.Input(preprocessing.row_shape, name=ROWS, dtype=preprocessing.encoding.numbers.dtype)


def _has_matrix(preprocessing: Preprocessing) -> bool:
    """Return whether the number columns are one input."""
    return len(preprocessing.encoding.numbers.columns) > MAX_INPUTS


def _table_inputs(preprocessing: Preprocessing) -> dict[str, Any]:
    numbers, texts = preprocessing.encoding.numbers, preprocessing.encoding.texts
    if _has_matrix(preprocessing):
        kinds: dict[str, tuple[int, str]] = {NUMBERS: (len(numbers.columns), numbers.dtype)}
    else:
        kinds = {name: (1, numbers.dtype) for name in preprocessing.columns if name not in texts.columns}
    kinds |= dict.fromkeys(texts.columns, (1, "string"))
    names = input_names(list(kinds))
    return {names[key]: keras.Input((width,), name=names[key], dtype=kind) for key, (width, kind) in kinds.items()}


def _encode(inputs: Any, preprocessing: Preprocessing) -> Any:
    """Return the network's inputs (rows, n_features) as the encoding makes them of the training rows."""
    numbers, texts = preprocessing.encoding.numbers, preprocessing.encoding.texts
    if preprocessing.row_shape is not None:
        return _encode_numbers(_reshape(inputs, (len(numbers.columns),)), numbers)
    tensors = list(inputs.values())
    n_tables = len(tensors) - len(texts.columns)
    blocks = []
    if numbers.columns:
        blocks.append(_encode_numbers(_number_columns(tensors[:n_tables], preprocessing), numbers))
    for index, text in enumerate(tensors[n_tables:]):
        blocks.append(_encode_text(text, index, preprocessing))
    return _join(blocks, "float32")


def _number_columns(tensors: Sequence[Any], preprocessing: Preprocessing) -> Any:
    """Return the columns of numbers (rows, columns), in the order of the encoding."""
    numbers = preprocessing.encoding.numbers
    if _has_matrix(preprocessing):
        return tensors[0]
    texts = preprocessing.encoding.texts.columns
    raw = dict(zip([name for name in preprocessing.columns if name not in texts], tensors, strict=True))
    columns = {name: tensor for name, tensor in raw.items() if name in numbers.columns}
    for how in preprocessing.reading.columns:
        if how.kind == "date":
            columns |= zip(date_columns(how.name, how.parts), _date_numbers(raw[how.name], how.parts), strict=True)
    return _join([columns[name] for name in numbers.columns], numbers.dtype)


def _date_numbers(days: Any, parts: Sequence[str]) -> list[Any]:
    """Return days since 1970-01-01, and the sine and cosine of each part, as `datasets.dates` computes them."""
    tensors = [days]
    for part in parts:
        value, n_values = _PARTS[part]
        angle = value(days) * (2 * math.pi / n_values)
        tensors += [keras.ops.sin(angle), keras.ops.cos(angle)]
    return tensors


def _month(days: Any) -> Any:
    """Return the month from 0 on, by Hinnant's algorithm, in which years begin with March.

    References:
        Hinnant, chrono-compatible low-level date algorithms, 2021.
    """
    floor = keras.ops.floor
    shifted = floor(days) + 719468.0  # from 0000-03-01
    day_of_era = shifted - floor(shifted / 146097.0) * 146097.0
    leaps = floor(day_of_era / 1460.0) - floor(day_of_era / 36524.0) + floor(day_of_era / 146096.0)
    year_of_era = floor((day_of_era - leaps) / 365.0)
    leap_days = floor(year_of_era / 4.0) - floor(year_of_era / 100.0)
    day_of_year = day_of_era - (365.0 * year_of_era + leap_days)
    return _remainder(floor((5.0 * day_of_year + 2.0) / 153.0) + 2.0, 12.0)


def _remainder(tensor: Any, divisor: float) -> Any:
    return tensor - keras.ops.floor(tensor / divisor) * divisor


def _hour(days: Any) -> Any:
    """Return the hour; what rounding takes from a full hour is given back."""
    return keras.ops.floor(_remainder(days, 1.0) * 24.0 + 1e-6)


#: Part of a date -> its value from 0 on, as a function of days, and how many there are before it begins again.
_PARTS: Final[Mapping[str, tuple[Callable[[Any], Any], int]]] = {
    "month": (_month, 12),
    "weekday": (lambda days: _remainder(keras.ops.floor(days) + 3.0, 7.0), 7),  # 1970-01-01 was a Thursday
    "hour": (_hour, 24),
}


def _join(tensors: Sequence[Any], dtype: str) -> Any:
    return tensors[0] if len(tensors) == 1 else keras.layers.Concatenate(dtype=dtype)(tensors)


def _reshape(tensor: Any, shape: tuple[int, ...]) -> Any:
    return tensor if tensor.shape[1:] == shape else keras.layers.Reshape(shape, dtype=tensor.dtype)(tensor)


def _encode_numbers(tensor: Any, encoding: NumberEncoding) -> Any:
    def rescale(tensor: Any, name: str, scale: Any = 1.0, offset: Any = 0.0) -> Any:
        return keras.layers.Rescaling(scale, offset, dtype=encoding.dtype, name=name)(tensor)

    if encoding.medians is not None:
        is_missing = keras.ops.isnan(tensor)
        tensor = keras.ops.where(is_missing, encoding.medians, tensor)
    if encoding.scale == "standard":
        tensor = rescale(tensor, "center", offset=-encoding.offsets)
        tensor = rescale(tensor, "scale", scale=1 / encoding.factors)
    elif encoding.scale == "minmax":
        tensor = rescale(tensor, "scale", encoding.factors, encoding.offsets)
    return keras.ops.cast(tensor, "float32")


def _encode_text(tensor: Any, index: int, preprocessing: Preprocessing) -> Any:
    """Return one input for each category of a text column, the one at `index`.

    The lookup has a place for unknown words, one for each category, and one for each way to write a gap. A matrix of
    zeros and ones turns places into categories.
    """
    texts = preprocessing.encoding.texts
    categories = list(texts.categories[index])
    other = {how.name: how.other for how in preprocessing.reading.columns}.get(texts.columns[index]) or None
    gaps = ["", *preprocessing.reading.missing.texts] if preprocessing.reading.columns else [""]
    truth = {spelled: word for word in TRUTH if word in categories for spelled in (word.lower(), word.upper())}
    category_of = dict.fromkeys(gaps, texts.gap) | truth | {word: word for word in categories}
    lookup = _lookup(list(category_of), output_mode="one_hot", name=f"words_{index}")
    merge = keras.layers.Dense(len(categories), use_bias=False, trainable=False, name=f"categories_{index}")
    inputs = merge(lookup(tensor))
    kernel = [[float(category == target) for category in categories] for target in (other, *category_of.values())]
    merge.set_weights([np.array(kernel, np.float32)])
    return inputs


def _lookup(words: list[str], **options: Any) -> Any:
    """Return a layer that looks words up; what it calls unknown ones is no word itself."""
    return keras.layers.StringLookup(vocabulary=words, oov_token=free_word(UNKNOWN, words), **options)


def _decode(outputs: Any, target: TargetEncoding) -> dict[str, Any]:
    """Return labels and probabilities, or numbers in the units of the target."""
    if target.task is Task.REGRESSION:
        scale, offset = np.array([target.std]), np.array([target.mean])
        numbers = keras.layers.Rescaling(scale, offset, dtype="float64", name="own_units")(outputs)
        return {"prediction": _reshape(numbers, ())}
    if target.task is Task.BINARY:
        other = keras.layers.Rescaling(-1.0, 1.0, name="other_class")(outputs)
        outputs = keras.layers.Concatenate(name="both_classes")([other, outputs])
    labels = _lookup(list(target.classes), num_oov_indices=0, invert=True, name="labels")
    return {"prediction": labels(keras.ops.argmax(outputs, axis=-1)), "probabilities": outputs}
