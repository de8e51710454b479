"""`--where` conditions as SQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, and_, not_, or_
from sqlalchemy import literal as sql_literal

from dnnsweep.ledger.tables import TrialRow
from dnnsweep.query import FIELDS, AllOf, AnyOf, Comparison, Condition, Not, parse
from dnnsweep.records import Sweep
from dnnsweep.space import KNOBS, builder_knobs

#: Whole numbers below this fit into a column of type INTEGER.
MAX_INTEGER: Final = 2**31
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


def parse_where(where: str | None, sweep: Sweep) -> Condition | None:
    """Return the condition that a text states over the trials of a sweep, which may have hyperparameters of its own.

    Raises:
        QueryError: The condition is wrong.
    """
    return None if where is None else parse(where, builder_knobs(sweep.spec))


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
        case Comparison(operator="in" | "not in" as operator, literal=items):
            hits = [_compare(condition.field, "==", item) for item in items]
            return or_(False, *hits) if operator == "in" else not_(or_(False, *hits))  # noqa: FBT003  SQL's false
        case _:
            return _compare(condition.field, condition.operator, condition.literal)


def _compare(field: str, operator: str, literal: Any) -> ColumnElement[bool]:
    column = _column(field, literal)
    if literal is None:
        return column.is_(None) if operator == "==" else column.is_not(None)
    if isinstance(literal, tuple):
        literal = json.dumps(literal, separators=(",", ":"))
    return _COMPARE[operator](column, _widen(literal))


def _widen(literal: Any) -> Any:
    """Return a value in its own type: PostgreSQL would refuse a large whole number in that of the column."""
    return sql_literal(literal, BigInteger()) if type(literal) is int and abs(literal) >= MAX_INTEGER else literal


def _column(field: str, literal: Any) -> ColumnElement[Any]:
    if field in FIELDS and field not in KNOBS:
        column: ColumnElement[Any] = TrialRow.__table__.c[field]
        return column
    kind = KNOBS[field].kind if field in KNOBS else _kind_of(literal)
    member: Any = TrialRow.params[field]
    typed: ColumnElement[Any] = getattr(member, _AS_TYPE[kind])()
    return typed


def _kind_of(literal: Any) -> str:
    """Return how a builder's own hyperparameter is compared; `query.parse` has checked that it is of this kind."""
    if isinstance(literal, bool):
        return "boolean"
    return "real" if isinstance(literal, int | float) else "choice"
