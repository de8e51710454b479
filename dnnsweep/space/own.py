"""Hyperparameters of a builder's own: names that only the function knows, of the kind that their values show."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dnnsweep.space.knobs import KNOBS, Knob

#: What `fit` needs whatever the network is; every other knob is there only if the sweep file names it.
TRAINING_KNOBS: Final = ("optimizer", "learning_rate", "schedule", "global_clipnorm", "batch_size")
MAX_NAME: Final = 100
NAME_RULE: Final = f"must be a Python name of at most {MAX_NAME} characters, not {{}}"
VALUES_RULE: Final = "values must be all numbers, all text, all true or false, or all lists of whole numbers from 1"


def is_name(name: object, taken: Sequence[str] = ()) -> bool:
    """Return whether a builder may have a hyperparameter of this name.

    Args:
        name: As read from YAML.
        taken: Names that mean something else.
    """
    is_text = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
    return is_text and len(str(name)) <= MAX_NAME and name not in taken


def own_knob(name: str, raw: Any) -> Knob | None:
    """Return what a hyperparameter of a builder's own may be, read from its domain or its value.

    Args:
        name: The builder's.
        raw: A single value, a list of values, `{values: [...]}` or `{low, high, ...}`, as YAML or JSON holds it.

    Returns:
        None where the values are of different kinds, or of none that is known.

    Example:
        >>> own_knob("filters", [8, 16]).kind, own_knob("rate", {"low": 0, "high": 0.5}).kind
        ('integer', 'real')
    """
    if isinstance(raw, Mapping) and "values" not in raw:
        numbers = [raw[key] for key in ("low", "high", "step") if raw.get(key) is not None]
        return Knob(name, "integer" if all(_is_whole(number) for number in numbers) else "real")
    values = raw["values"] if isinstance(raw, Mapping) else raw
    return _of_values(name, values if isinstance(values, list | tuple) else [values])


def _of_values(name: str, values: Sequence[Any]) -> Knob | None:
    if all(isinstance(value, bool) for value in values):
        return Knob(name, "boolean")
    if all(_is_whole(value) for value in values):
        return Knob(name, "integer")
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return Knob(name, "real")
    if all(isinstance(value, str) for value in values):
        return Knob(name, "choice", choices=tuple(values))
    if all(isinstance(value, list | tuple) for value in values):
        return Knob(name, "widths")
    return None


def _is_whole(raw: object) -> bool:
    return isinstance(raw, int) and not isinstance(raw, bool)


def own_knobs(spec: Mapping[str, Any]) -> dict[str, Knob]:
    """Return the hyperparameters of a sweep file that are its builder's own, by name.

    Args:
        spec: The sweep file as plain JSON.
    """
    values = {name: [value] for name, value in spec.get("fixed", {}).items()} | dict(spec.get("space", {}))
    found = {name: own_knob(name, raw) for name, raw in values.items() if name not in KNOBS}
    return {name: knob for name, knob in found.items() if knob is not None}
