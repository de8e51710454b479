"""Pydantic's errors as mistakes of a sweep file."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from dnnsweep.errors import Mistake
from dnnsweep.space import closest_name, unknown_key, unquote_remedy, yaml_text
from dnnsweep.spec.sections import ONE, TWO, SweepSpec

Location = tuple[int | str, ...]

_FILL: Final = "write `key: value` lines below it or remove it"
_QUOTE: Final = "put it in quotes"

#: Kind of pydantic error -> (rule, remedy).
_MESSAGES: Final = {
    "missing": ("is missing", "add it"),
    "int_type": ("must be a whole number", ""),
    "int_from_float": ("must be a whole number", ""),
    "float_type": ("must be a number", ""),
    "finite_number": ("must be a finite number", ""),
    "string_type": ("must be text", _QUOTE),
    "string_pattern_mismatch": ("must consist of letters, digits, - and _", ""),
    "string_too_long": ("must have at most {max_length} characters", "shorten it"),
    "greater_than": ("must be above {gt:.15g}", ""),
    "greater_than_equal": ("must be at least {ge:.15g}", ""),
    "less_than": ("must be below {lt:.15g}", ""),
    "less_than_equal": ("must be at most {le:.15g}", ""),
    "tuple_type": ("must be a list", "write it in [ ]"),
    "model_type": ("must be a mapping", _FILL),
    "model_attributes_type": ("must be a mapping", _FILL),
}


def translate(error: ValidationError) -> tuple[list[Mistake], list[Location]]:
    """Translate what pydantic found in a sweep file.

    Returns:
        Every mistake, and the locations that are wrong or that an unknown key probably meant.
    """
    mistakes: list[Mistake] = []
    locations: list[Location] = []
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part not in (ONE, TWO))
        kind, context = detail["type"], detail.get("ctx", {})
        locations.append(location)
        if kind == "mistakes":
            mistakes += context["mistakes"]
        elif kind == "extra_forbidden":
            *parents, key = location
            keys = _keys_below(parents)
            mistakes.append(unknown_key(".".join(map(str, parents)), key, keys))
            locations.append((*parents, closest_name(key, keys) or key))
        else:
            mistakes.append(_mistake(location, kind, detail["msg"], detail["input"], context))
    return mistakes, locations


def _mistake(location: Location, kind: str, message: str, raw: Any, context: Mapping[str, Any]) -> Mistake:
    path = ".".join(map(str, location))
    if kind == "missing":
        return Mistake(path, *_MESSAGES[kind][:1], remedy=_MESSAGES[kind][1])
    if kind == "literal_error":
        return _wrong_choice(path, context["expected"], raw)
    rule, remedy = _MESSAGES.get(kind, (message[0].lower() + message[1:], ""))
    if raw is None and kind == "string_type":
        remedy = "fill it or remove it"
    return Mistake(
        path, rule.format(**context), yaml_text(raw), remedy or (unquote_remedy(raw) if "number" in rule else "")
    )


def _wrong_choice(path: str, expected: str, raw: Any) -> Mistake:
    choices = expected.replace("'", "").replace(" or ", ", ").split(", ")
    rule = f"must be one of {expected}" if len(choices) > 1 else f"must be {expected}"
    word = closest_name(raw, choices)
    return Mistake(path, rule, yaml_text(raw), f"did you mean {word}?" if word else "")


def _keys_below(parents: Sequence[int | str]) -> tuple[str, ...]:
    model: type[BaseModel] = SweepSpec
    for parent in parents:
        if isinstance(parent, str):
            model = _section_of(model.model_fields[parent].annotation)
    return tuple(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    """Return the section in a type annotation, which may be optional or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = getattr(annotation, "__args__", ())
    return next(_section_of(part) for part in parts if part is not types.NoneType)
