"""Names of the inputs of a model that takes raw rows."""

from __future__ import annotations

from collections.abc import Sequence


def input_names(columns: Sequence[str]) -> dict[str, str]:
    """Return the name of each column's input: Keras allows no slashes, and no empty names.

    Example:
        >>> input_names(["age", "km/h", ""])
        {'age': 'age', 'km/h': 'km_h', '': 'column_2'}
    """
    names: dict[str, str] = {}
    taken = set[str]()
    for index, column in enumerate(columns):
        name = column.replace("/", "_") or f"column_{index}"
        names[column] = name if name not in taken else f"{name}_{index}"
        taken.add(names[column])
    return names
