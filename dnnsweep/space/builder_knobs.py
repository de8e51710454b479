"""Hyperparameters that a builder defines itself: their kinds are inferred from their values."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dnnsweep.space.knobs import KNOBS, Knob

#: Knobs that training needs whatever the network is; the others exist only if the sweep file names them.
TRAINING_KNOBS: Final = ("optimizer", "learning_rate", "schedule", "global_clipnorm", "batch_size")
MAX_NAME: Final = 100
#: Stands in for the missing `when` of a branch.
NO_WHEN: Final = object()
NAME_RULE: Final = f"must be a Python name of at most {MAX_NAME} characters, not {{}}"
VALUES_RULE: Final = "values must all be numbers, all text, all true or false, or all lists of whole numbers from 1"


def is_builder_knob_name(name: object, taken: Sequence[str] = ()) -> bool:
    """Return whether a builder may have a hyperparameter of this name.

    Args:
        name: The name as YAML holds it.
        taken: Names that already mean something else.
    """
    is_text = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
    return is_text and len(str(name)) <= MAX_NAME and name not in taken


def builder_knob(name: str, raw: Any) -> Knob | None:
    """Infer the knob of a builder's own hyperparameter from its domain or value.

    Args:
        name: Name of the hyperparameter.
        raw: A single value, a list of values, `{values: [...]}`, `{low, high, ...}` or `{layers: ..., units: ...}`, or
            branches of such domains, as YAML or JSON holds it.

    Returns:
        The knob; None if the values are of different kinds, or of an unknown one.

    Example:
        >>> builder_knob("filters", [8, 16]).kind, builder_knob("rate", {"low": 0, "high": 0.5}).kind
        ('integer', 'real')
    """
    return _merge(name, [_infer_from_domain(name, bare) for _, bare in raw_branches(raw)])


def is_conditional(raw: Any) -> bool:
    """Return whether a domain, as YAML holds it, has a condition or is a list of branches."""
    if isinstance(raw, Mapping):
        return "when" in raw
    return isinstance(raw, list | tuple) and any(isinstance(part, Mapping) for part in raw)


def raw_branches(raw: Any) -> list[tuple[Any, Any]]:
    """Return the branches of a domain as YAML holds it: each `when` (else `NO_WHEN`) with the rest of the domain."""
    listed = raw if is_conditional(raw) and not isinstance(raw, Mapping) else [raw]
    return [_raw_branch(branch) for branch in listed]


def _raw_branch(raw: Any) -> tuple[Any, Any]:
    if not isinstance(raw, Mapping):
        return NO_WHEN, raw
    return raw.get("when", NO_WHEN), {key: value for key, value in raw.items() if key != "when"}


def _merge(name: str, knobs: Sequence[Knob | None]) -> Knob | None:
    """Return one knob that covers several; None if they are of different kinds."""
    kinds = {None if knob is None else knob.kind for knob in knobs}
    if None in kinds or (len(kinds) > 1 and kinds != {"integer", "real"}):
        return None
    choices = dict.fromkeys(choice for knob in knobs if knob is not None for choice in knob.choices)
    return Knob(name, "real" if len(kinds) > 1 else str(*kinds), choices=tuple(choices))


def _infer_from_domain(name: str, raw: Any) -> Knob | None:
    if isinstance(raw, Mapping) and not {"layers", "units"}.isdisjoint(raw):
        return Knob(name, "widths")
    if isinstance(raw, Mapping) and "values" not in raw:
        numbers = [raw[key] for key in ("low", "high", "step") if raw.get(key) is not None]
        return Knob(name, "integer" if all(_is_whole(number) for number in numbers) else "real")
    values = raw["values"] if isinstance(raw, Mapping) else raw
    return _infer_from_values(name, values if isinstance(values, list | tuple) else [values])


def _infer_from_values(name: str, values: Sequence[Any]) -> Knob | None:
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


def builder_knobs(spec: Mapping[str, Any]) -> dict[str, Knob]:
    """Return the hyperparameters that a sweep file's builder defines itself, by name.

    Args:
        spec: Sweep file as plain JSON.
    """
    fixed, space = dict(spec.get("fixed", {})), dict(spec.get("space", {}))
    knobs = {
        name: _merge(
            name,
            [
                *([builder_knob(name, space[name])] if name in space else []),
                *([builder_knob(name, [fixed[name]])] if name in fixed else []),
            ],
        )
        for name in (*fixed, *(name for name in space if name not in fixed))
        if name not in KNOBS
    }
    return {name: knob for name, knob in knobs.items() if knob is not None}
