"""A model that takes raw rows: preprocessing, a network, and the decoding of its outputs, all as Keras layers.

It loads wherever Keras does, without dnnsweep. Import this module after the network was loaded, because it loads Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np

from dnnsweep.datasets.encoding import MISSING, NumberEncoding
from dnnsweep.datasets.preprocessing import Preprocessing, TargetEncoding
from dnnsweep.records import Task
from dnnsweep.trainers.compiled.builder import inputs_of

#: Most number columns that are inputs of their own; more are one input, a matrix.
MAX_INPUTS: Final = 1000
#: Names of the inputs that take many columns at once.
NUMBERS: Final = "numbers"
ROWS: Final = "rows"


def raw_model(network: Any, preprocessing: Preprocessing) -> Any:
    """Return a Keras model that takes raw rows and answers with `prediction` and, for classes, `probabilities`.

    Rows of a table are a dictionary: a number column is float64 with NaN where a cell is missing, a text column is a
    string that is empty where a cell is missing. Rows that were arrays are one array of them, unscaled. `prediction`
    is a label as a string, or a number in the target's own units; `probabilities` (rows, classes) are in the order of
    the classes.

    Args:
        network: Network that takes encoded rows.
        preprocessing: Preprocessing that it was trained with.
    """
    inputs = _inputs(preprocessing)
    encoded = _encode(inputs, preprocessing)
    outputs = network(inputs_of(network, encoded, _reshape))
    return keras.Model(inputs, _decode(outputs, preprocessing.target), name="raw_model")


def input_names(columns: Sequence[str]) -> dict[str, str]:
    """Return the name of each column's input: Keras allows no slashes, and no empty names.

    Example:
        >>> input_names(["age", "km/h", ""])
        {'age': 'age', 'km/h': 'km_h', '': 'column_2'}
    """
    names: dict[str, str] = {}
    for index, column in enumerate(columns):
        name = column.replace("/", "_") or f"column_{index}"
        names[column] = name if name not in names.values() else f"{name}_{index}"
    return names


def _inputs(preprocessing: Preprocessing) -> Any:
    numbers, texts = preprocessing.encoding.numbers, preprocessing.encoding.texts
    if preprocessing.row_shape is not None:
        return keras.Input(preprocessing.row_shape, name=ROWS, dtype=numbers.dtype)
    if len(numbers.columns) > MAX_INPUTS:
        kinds: dict[str, tuple[int, str]] = {NUMBERS: (len(numbers.columns), numbers.dtype)}
    else:
        kinds = dict.fromkeys(numbers.columns, (1, numbers.dtype))
    kinds |= dict.fromkeys(texts.columns, (1, "string"))
    names = input_names(list(kinds))
    return {names[key]: keras.Input((width,), name=names[key], dtype=kind) for key, (width, kind) in kinds.items()}


def _encode(inputs: Any, preprocessing: Preprocessing) -> Any:
    """Return the network's inputs (rows, n_features) as the encoding makes them of the training rows."""
    encoding = preprocessing.encoding
    n_numbers = len(encoding.numbers.columns)
    if preprocessing.row_shape is not None:
        return _encode_numbers(_reshape(inputs, (n_numbers,)), encoding.numbers)
    tensors = list(inputs.values())
    n_texts = len(encoding.texts.columns)
    numbers, texts = tensors[: len(tensors) - n_texts], tensors[len(tensors) - n_texts :]
    blocks = [_encode_numbers(_join(numbers, encoding.numbers.dtype), encoding.numbers)] if n_numbers else []
    blocks += [_encode_text(text, index, encoding.texts.categories[index]) for index, text in enumerate(texts)]
    return _join(blocks, "float32")


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


def _encode_text(tensor: Any, index: int, categories: Sequence[str]) -> Any:
    """Return one input for each category; unknown words are the first place of the lookup, and 0 in all of them."""
    words = list(categories)
    columns = list(range(len(words)))
    if MISSING in words and "" not in words:
        words, columns = [*words, ""], [*columns, words.index(MISSING)]
    lookup = keras.layers.StringLookup(vocabulary=words, output_mode="one_hot", name=f"words_{index}")
    merge = keras.layers.Dense(len(categories), use_bias=False, trainable=False, name=f"categories_{index}")
    inputs = merge(lookup(tensor))
    kernel = np.zeros((len(words) + 1, len(categories)), np.float32)
    kernel[np.arange(1, len(words) + 1), columns] = 1
    merge.set_weights([kernel])
    return inputs


def _decode(outputs: Any, target: TargetEncoding) -> dict[str, Any]:
    """Return labels and probabilities, or numbers in the units of the target."""
    if target.task is Task.REGRESSION:
        scale, offset = np.array([target.std]), np.array([target.mean])
        numbers = keras.layers.Rescaling(scale, offset, dtype="float64", name="own_units")(outputs)
        return {"prediction": _reshape(numbers, ())}
    if target.task is Task.BINARY:
        other = keras.layers.Rescaling(-1.0, 1.0, name="other_class")(outputs)
        outputs = keras.layers.Concatenate(name="both_classes")([other, outputs])
    labels = keras.layers.StringLookup(vocabulary=list(target.classes), num_oov_indices=0, invert=True, name="labels")
    return {"prediction": labels(keras.ops.argmax(outputs, axis=-1)), "probabilities": outputs}
