"""Records and curves as the JSON that a service sends, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, cast

from dnnsweep import records
from dnnsweep.errors import ServiceError
from dnnsweep.records import Curve, Series, events

T = TypeVar("T")


def decode_record(kind: type[T], plain: Any) -> T:
    """Return a record from its JSON; keys that the record does not have, of a newer service, are left out.

    Args:
        kind: Class of the record.
        plain: JSON that was received.

    Raises:
        ServiceError: The JSON is not that of such a record.
    """
    if not isinstance(plain, Mapping):
        raise ServiceError(f"the service must answer with a {kind.__name__.lower()}; check DNNSWEEP_API_URL")
    annotations = {item.name: str(item.type) for item in fields(cast("Any", kind))}
    try:
        return kind(**{name: _value(annotations[name], value) for name, value in plain.items() if name in annotations})
    except (TypeError, ValueError) as error:
        raise ServiceError(
            f"the service answered with a {kind.__name__.lower()} that this dnnsweep does not understand ({error}); "
            "upgrade whichever is older"
        ) from error


def _value(annotation: str, value: Any) -> Any:
    """Return a value as its field's annotation, as text, says: tuples, enumerations and records among records."""
    if isinstance(value, list) and annotation.startswith("tuple["):
        return tuple(_value(annotation.removeprefix("tuple["), item) for item in value)
    kind = _kind(annotation)
    if value is None or kind is None:
        return value
    if is_dataclass(kind):
        return decode_record(kind, value)
    return kind(value) if issubclass(kind, Enum) else value


def _kind(annotation: str) -> type[Any] | None:
    match = re.match(r"\w+", annotation)
    name = match.group() if match else ""
    kind = getattr(records, name, None) or getattr(events, name, None)
    return kind if isinstance(kind, type) else None


def encode_curve(curve: Curve) -> dict[str, Any]:
    """Return a curve as plain JSON; numbers that are not finite are spelled out."""
    from dnnsweep.ledger.curves import spell_out

    series = [{"metric": s.metric, "layer": s.layer, "values": spell_out(s.values)} for s in curve.series]
    return {"ended_at": list(curve.ended_at), "series": series}


def decode_curve(plain: Any) -> Curve:
    """Return the curve that `encode_curve` made JSON of."""
    series = (Series(s["metric"], tuple(map(float, s["values"])), s["layer"]) for s in plain["series"])
    return Curve(tuple(series), tuple(plain["ended_at"]))
