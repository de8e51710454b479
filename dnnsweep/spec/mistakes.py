"""Pydantic's errors as mistakes of a sweep file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from dnnsweep import user_functions
from dnnsweep.errors import Mistake
from dnnsweep.space import KNOBS, closest_name, unknown_key, unquote_remedy, yaml_text
from dnnsweep.spec.sections import FORMS, SweepSpec

Location = tuple[int | str, ...]

_FILL: Final = "write `key: value` lines below it or remove it"
_QUOTE: Final = "put it in quotes"
#: How many unknown keys of a file are looked for in other sections, which takes time.
MAX_GUESSES: Final = 20
_MISSING: Final = "is missing"
_UNKNOWN: Final = "unknown key"

#: Kind of pydantic error -> (rule, remedy).
_MESSAGES: Final = {
    "missing": (_MISSING, "add it"),
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
    meant: set[Location] = set()
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part not in FORMS)
        kind, context = detail["type"], detail.get("ctx", {})
        locations.append(location)
        if kind == "mistakes":
            guessed = context["mistakes"][:MAX_GUESSES]
            mistakes += [*map(_with_place, guessed), *context["mistakes"][MAX_GUESSES:]]
        elif kind == "extra_forbidden":
            mistake, probable = _unknown_key(location, is_guessed=len(mistakes) < MAX_GUESSES)
            mistakes.append(mistake)
            meant |= probable
        else:
            mistakes.append(_mistake(location, kind, detail["msg"], detail["input"], context))
    named = {".".join(map(str, location)) for location in meant}
    told = [mistake for mistake in mistakes if mistake.rule != _MISSING or mistake.path not in named]
    return told, [*locations, *meant]


def _unknown_key(location: Location, *, is_guessed: bool) -> tuple[Mistake, set[Location]]:
    """Return the mistake for an unknown key of a section, and the locations that it probably meant.

    Args:
        location: Where the key stands.
        is_guessed: Whether to look for it in other sections.
    """
    *parents, key = location
    keys, path = _keys_below(parents), ".".join(map(str, parents))
    mistake = unknown_key(path, key, keys)
    places = _places_elsewhere(str(key), path, keys) if is_guessed else []
    if places:
        return replace(mistake, remedy=_did_you_mean(places)), {tuple(place.split(".")) for place in places}
    return mistake, {(*parents, closest_name(key, keys) or key)}


def _with_place(mistake: Mistake) -> Mistake:
    """Return the mistake of an unknown hyperparameter with a remedy that names where such a key stands, if it does."""
    section, _, key = mistake.path.rpartition(".")
    is_unknown = mistake.rule == _UNKNOWN and section in ("space", "fixed")
    places = _places_elsewhere(key, section, tuple(KNOBS)) if is_unknown else []
    return replace(mistake, remedy=_did_you_mean(places)) if places else mistake


def _did_you_mean(places: Sequence[str]) -> str:
    return f"did you mean {' or '.join(places[:3])}?"


def _places_elsewhere(key: str, section: str, keys: Sequence[str]) -> list[str]:
    """Return the paths of the key that was probably meant; none if that is a key of the section itself.

    Args:
        key: What was written.
        section: Path of the section in which it was written; paths inside it come before all others.
        keys: The section's own keys.
    """
    paths = [*_paths(SweepSpec), *(f"{other}.{knob}" for other in ("space", "fixed") for knob in KNOBS)]
    word = closest_name(key, (*keys, *(path.rpartition(".")[2] for path in paths)))
    if word is None or word in keys:
        return []
    places = [path for path in paths if path.rpartition(".")[2] == word]
    return [path for path in places if section and path.startswith(f"{section}.")] or places


@functools.cache
def _paths(model: type[BaseModel], path: str = "") -> tuple[str, ...]:
    """Return the path of every key of a section, and of the sections inside it."""
    paths: list[str] = []
    for name, field in model.model_fields.items():
        paths.append(f"{path}{name}")
        section = _section_in(field.annotation)
        if section is not None and section is not model:
            paths += _paths(section, f"{path}{name}.")
    return tuple(paths)


def _mistake(location: Location, kind: str, message: str, raw: Any, context: Mapping[str, Any]) -> Mistake:
    path = ".".join(map(str, location))
    if kind == "missing":
        return Mistake(path, *_MESSAGES[kind][:1], remedy=_MESSAGES[kind][1])
    if kind == "literal_error":
        return _wrong_choice(path, context["expected"], raw)
    rule, remedy = _MESSAGES.get(kind, (message[0].lower() + message[1:], ""))
    if kind == "string_type" and (raw is None or callable(raw)):
        remedy = "fill it or remove it" if raw is None else user_functions.naming_remedy(raw)
    if isinstance(raw, list) and kind == "string_type":
        remedy = "name one; for several targets, run a sweep for each" if path == "dataset.target" else "write one"
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
    """Return the section in the type annotation of a key that holds one."""
    section = _section_in(annotation)
    assert section is not None  # noqa: S101  a location leads through sections only
    return section


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section in a type annotation, which may be optional or in a list; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = map(_section_in, getattr(annotation, "__args__", ()))
    return next((section for section in parts if section is not None), None)
