"""Pydantic's errors in the words of a sweep file."""

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
_WORDS: Final = {
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
    """Say what pydantic found in a sweep file.

    Returns:
        Every mistake, and the places that are wrong or were probably meant by a key that does not exist.
    """
    mistakes: list[Mistake] = []
    places: list[Location] = []
    for detail in error.errors(include_url=False):
        place = tuple(part for part in detail["loc"] if part not in (ONE, TWO))
        kind, context = detail["type"], detail.get("ctx", {})
        places.append(place)
        if kind == "mistakes":
            mistakes += context["mistakes"]
        elif kind == "extra_forbidden":
            *parents, key = place
            known = _known_keys(parents)
            mistakes.append(unknown_key(".".join(map(str, parents)), key, known))
            places.append((*parents, closest_name(key, known) or key))
        else:
            mistakes.append(_mistake(place, kind, detail["msg"], detail["input"], context))
    return mistakes, places


def _mistake(place: Location, kind: str, message: str, raw: Any, context: Mapping[str, Any]) -> Mistake:
    path = ".".join(map(str, place))
    if kind == "missing":
        return Mistake(path, *_WORDS[kind][:1], remedy=_WORDS[kind][1])
    if kind == "literal_error":
        return _wrong_word(path, context["expected"], raw)
    rule, remedy = _WORDS.get(kind, (message[0].lower() + message[1:], ""))
    if raw is None and kind == "string_type":
        remedy = "fill it or remove it"
    return Mistake(
        path, rule.format(**context), yaml_text(raw), remedy or (unquote_remedy(raw) if "number" in rule else "")
    )


def _wrong_word(path: str, expected: str, raw: Any) -> Mistake:
    known = expected.replace("'", "").replace(" or ", ", ").split(", ")
    rule = f"must be one of {expected}" if len(known) > 1 else f"must be {expected}"
    word = closest_name(raw, known)
    return Mistake(path, rule, yaml_text(raw), f"did you mean {word}?" if word else "")


def _known_keys(parents: Sequence[int | str]) -> tuple[str, ...]:
    model: type[BaseModel] = SweepSpec
    for parent in parents:
        if isinstance(parent, str):
            model = _model_of(model.model_fields[parent].annotation)
    return tuple(model.model_fields)


def _model_of(annotation: Any) -> type[BaseModel]:
    """Return the section that a type is made of, alone, as a choice or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = getattr(annotation, "__args__", ())
    return next(_model_of(part) for part in parts if part is not types.NoneType)
