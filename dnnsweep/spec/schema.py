"""JSON Schema of hyperparameters and domains, made from the knobs."""

from __future__ import annotations

import math
from typing import Any

from dnnsweep.space import KNOBS, MAX_GRID_VALUES, MAX_LAYERS, MAX_UNITS, Knob


def value(name: str) -> dict[str, Any]:
    """Return the schema of one value of a knob."""
    return _value(KNOBS[name])


def values() -> dict[str, Any]:
    """Return the schema of a mapping of hyperparameters to values."""
    return {"type": "object", "properties": {name: _value(knob) for name, knob in KNOBS.items()}}


def space() -> dict[str, Any]:
    """Return the schema of a mapping of hyperparameters to domains."""
    return {"type": "object", "properties": {name: _domain(knob) for name, knob in KNOBS.items()}}


def own_names() -> dict[str, Any]:
    """Return what makes the names of hyperparameters free where there is a builder, and only there."""
    knobs = {"propertyNames": {"enum": list(KNOBS)}}
    has_builder = {"properties": {"network": {"required": ["builder"], "properties": {"builder": {"type": "string"}}}}}
    places = {"space": knobs, "fixed": knobs, "enqueue": {"items": knobs}}
    return {"if": {"required": ["network"], **has_builder}, "else": {"properties": places}}


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


def _domain(knob: Knob) -> dict[str, Any]:
    listed = {"type": "array", "items": _value(knob), "minItems": 1, "uniqueItems": True}
    forms = [listed, {**_mapping({"values": listed}), "required": ["values"]}]
    if knob.kind in ("real", "integer"):
        number = _value(knob)
        step = {"anyOf": [{"type": number["type"], "exclusiveMinimum": 0}, {"type": "null"}]}
        keys = {"low": number, "high": number, "log": {"type": "boolean"}, "step": step}
        keys["steps"] = {"anyOf": [{"type": "integer", "minimum": 2, "maximum": MAX_GRID_VALUES}, {"type": "null"}]}
        forms.append({**_mapping(keys), "required": ["low", "high"]})
    return {"anyOf": forms}
