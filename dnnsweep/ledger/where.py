"""`--where` conditions as SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Float, String, Text, and_, bindparam, cast, func, not_, or_
from sqlalchemy import literal as sql_literal

from dnnsweep.ledger.tables import TrialRow
from dnnsweep.query import FIELDS, AllOf, AnyOf, Comparison, Condition, Not, parse
from dnnsweep.records import Sweep
from dnnsweep.space import KNOBS, Knob, builder_knobs

#: Whole numbers below this fit into a column of type INTEGER.
MAX_INTEGER: Final = 2**31
#: Conditions that are kept as SQL; a reader who follows a sweep sends the same one again and again.
MAX_KEPT: Final = 256
_COMPARE: Final[dict[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "==": lambda column, literal: column == literal,
    "!=": lambda column, literal: column != literal,
    "<": lambda column, literal: column < literal,
    "<=": lambda column, literal: column <= literal,
    ">": lambda column, literal: column > literal,
    ">=": lambda column, literal: column >= literal,
}
_AS_TYPE: Final = {
    "real": "as_float",
    "integer": "as_float",
    "boolean": "as_boolean",
    "choice": "as_string",
    "widths": "as_string",
}


def parse_where(where: str | None, sweep: Sweep) -> ColumnElement[bool] | None:
    """Return, as SQL, the condition that a text states over the trials of a sweep.

    Raises:
        QueryError: The condition is wrong.
    """
    if where is None:
        return None
    knobs = builder_knobs(sweep.spec)  # a sweep's own hyperparameters are the same as long as it exists
    return _kept(where, _Own(sweep.id if knobs else "", knobs))


@dataclass(frozen=True, slots=True)
class _Own:
    """Hyperparameters that one sweep alone has; the id of the sweep tells them apart."""

    sweep_id: str
    knobs: Mapping[str, Knob] = field(compare=False)


@lru_cache(MAX_KEPT)
def _kept(where: str, own: _Own) -> ColumnElement[bool]:
    return to_sql(parse(where, own.knobs))


def to_sql(condition: Condition) -> ColumnElement[bool]:
    """Return the condition over the trials table; comparing a missing value holds for no operator.

    Args:
        condition: The condition that `query.parse` returned.
    """
    match condition:
        case AllOf(parts=parts):
            return and_(*map(to_sql, parts))
        case AnyOf(parts=parts):
            return or_(*map(to_sql, parts))
        case Not(part=part):
            return not_(to_sql(part))
        case Comparison(operator="has", literal=code):
            return cast(TrialRow.findings, Text).contains(f'"code":"{code}"', autoescape=True)
        case Comparison(operator="in" | "not in" as operator, literal=items):
            is_listed = _is_listed(condition.field, items)
            return is_listed if operator == "in" else not_(is_listed)
        case _:
            return _compare(condition.field, condition.operator, condition.literal)


#: How the items of a list are sent, by their type: all of one type at once.
_LISTED: Final[dict[type, Any]] = {int: BigInteger(), float: Float(), str: String()}


def _is_listed(name: str, items: Sequence[Any]) -> ColumnElement[bool]:
    by_type: dict[type, list[Any]] = {}
    for item in map(_plain, items):
        by_type.setdefault(type(item), []).append(item)
    hits: list[ColumnElement[bool]] = [
        _column(name, found[0]).in_(bindparam(None, found, _LISTED[kind], expanding=True))
        for kind, found in by_type.items()
        if kind in _LISTED
    ]
    hits += [_compare(name, "==", item) for item in items if type(_plain(item)) not in _LISTED]
    return or_(False, *hits)  # noqa: FBT003  SQL's false


def _plain(literal: Any) -> Any:
    """Return a value as the database holds it: widths are JSON."""
    return json.dumps(literal, separators=(",", ":")) if isinstance(literal, tuple) else literal


def _compare(name: str, operator: str, literal: Any) -> ColumnElement[bool]:
    column = _column(name, literal)
    if literal is None:
        return column.is_(None) if operator == "==" else column.is_not(None)
    return _COMPARE[operator](column, _widen(_plain(literal)))


def _widen(literal: Any) -> Any:
    """Return a value in its own type: PostgreSQL would refuse a large whole number in that of the column."""
    return sql_literal(literal, BigInteger()) if type(literal) is int and abs(literal) >= MAX_INTEGER else literal


def _column(name: str, literal: Any) -> ColumnElement[Any]:
    column: ColumnElement[Any]
    if name in FIELDS and name not in KNOBS:
        column = TrialRow.__table__.c[name]
        return column
    kind = KNOBS[name].kind if name in KNOBS else _kind_of(literal)
    # The ledger writes characters beyond ASCII as escapes, and SQLite compares keys as they are written until 3.45.
    keys = dict.fromkeys((name, json.dumps(name)[1:-1]))
    found = [getattr(TrialRow.params[key], _AS_TYPE[kind])() for key in keys]
    column = found[0] if len(found) == 1 else func.coalesce(*found)
    return column


def _kind_of(literal: Any) -> str:
    """Return how a builder's own hyperparameter is compared; `query.parse` has checked that it is of this kind."""
    if isinstance(literal, bool):
        return "boolean"
    return "real" if isinstance(literal, int | float) else "choice"
