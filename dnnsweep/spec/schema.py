"""JSON Schema of hyperparameters and domains, generated from the knobs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from dnnsweep.space import KNOBS, MAX_GRID_VALUES, MAX_LAYERS, MAX_UNITS, Knob

_LAYERS: Final = {"layers": MAX_LAYERS, "units": MAX_UNITS}


def value(name: str) -> dict[str, Any]:
    """Return the schema of one value of a knob."""
    return _value(KNOBS[name])


def values() -> dict[str, Any]:
    """Return the schema of a mapping of hyperparameters to values."""
    return {"type": "object", "properties": {name: _value(knob) for name, knob in KNOBS.items()}}


def space() -> dict[str, Any]:
    """Return the schema of a mapping of hyperparameters to domains."""
    return {"type": "object", "properties": {name: _domain(knob) for name, knob in KNOBS.items()}}


def builder_names() -> dict[str, Any]:
    """Return the part that allows any hyperparameter's name if there is a builder, and only then."""
    knobs = {"propertyNames": {"enum": list(KNOBS)}}
    has_builder = {"properties": {"network": {"required": ["builder"], "properties": {"builder": {"type": "string"}}}}}
    places = {"space": knobs, "fixed": knobs, "enqueue": {"items": knobs}}
    return {"if": {"required": ["network"], **has_builder}, "else": {"properties": places}}


def with_short_forms(sweep_file: dict[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return a sweep file's schema in which sections may be written as a single value.

    Args:
        sweep_file: The schema, with its sections under `$defs`.
        keys: Name of the section's definition -> the key that a single value stands for.
    """
    sections = sweep_file["$defs"]
    short = {name: {"anyOf": [sections[name]["properties"][key], sections[name]]} for name, key in keys.items()}
    return {**sweep_file, "$defs": {**sections, **short}}


def _mapping(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _value(knob: Knob) -> dict[str, Any]:
    if knob.kind == "boolean":
        return {"type": "boolean"}
    if knob.kind == "choice":
        return {"enum": list(knob.choices)}
    if knob.kind == "widths":
        unit = {"type": "integer", "minimum": 1, "maximum": MAX_UNITS}
        return {"type": "array", "items": unit, "maxItems": MAX_LAYERS}
    return {"type": "integer" if knob.kind == "integer" else "number", **_bounds(knob)}


def _bounds(knob: Knob) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    if knob.low != -math.inf:
        bounds["exclusiveMinimum" if knob.is_low_excluded else "minimum"] = knob.low
    if knob.high != math.inf:
        bounds["exclusiveMaximum" if knob.is_high_excluded else "maximum"] = knob.high
    return bounds


def _listed(knob: Knob) -> dict[str, Any]:
    return {"type": "array", "items": _value(knob), "minItems": 1, "uniqueItems": True}


def _mappings(knob: Knob) -> list[tuple[dict[str, Any], list[str]]]:
    """Return the properties, and the names of required ones, of each kind of mapping that may be a domain."""
    forms: list[tuple[dict[str, Any], list[str]]] = [({"values": _listed(knob)}, ["values"])]
    if knob.kind in ("real", "integer"):
        number = _value(knob)
        step = {"anyOf": [{"type": number["type"], "exclusiveMinimum": 0}, {"type": "null"}]}
        keys = {"low": number, "high": number, "log": {"type": "boolean"}, "step": step}
        keys["steps"] = {"anyOf": [{"type": "integer", "minimum": 2, "maximum": MAX_GRID_VALUES}, {"type": "null"}]}
        forms.append((keys, ["low", "high"]))
    if knob.kind == "widths":
        numbers = {name: Knob(name, "integer", low=1, high=high) for name, high in _LAYERS.items()}
        forms.append(({name: _unconditional(number) for name, number in numbers.items()}, list(numbers)))
    return forms


def _unconditional(knob: Knob) -> dict[str, Any]:
    return {"anyOf": [_listed(knob), *({**_mapping(keys), "required": needed} for keys, needed in _mappings(knob))]}


def _domain(knob: Knob) -> dict[str, Any]:
    """Return the schema of a domain: without a condition, with one, or several branches."""
    branches = [{**_mapping({**keys, "when": _when(knob)}), "required": needed} for keys, needed in _mappings(knob)]
    return {"anyOf": [_listed(knob), *branches, {"type": "array", "items": {"anyOf": branches}, "minItems": 2}]}


def _when(knob: Knob) -> dict[str, Any]:
    """Return the schema of a condition; a builder's own hyperparameters may be compared with any values."""
    others = [other for other in KNOBS.values() if other.kind != "widths" and other.name != knob.name]
    properties = {other.name: {"anyOf": [_value(other), _listed(other)]} for other in others}
    scalar: dict[str, Any] = {"type": ["string", "number", "boolean"]}
    any_values = {"anyOf": [scalar, {"type": "array", "items": scalar, "minItems": 1, "uniqueItems": True}]}
    refused = {"not": {"enum": [knob.name, *(other.name for other in KNOBS.values() if other.kind == "widths")]}}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": any_values,
        "propertyNames": refused,
        "minProperties": 1,
    }
