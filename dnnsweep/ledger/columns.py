"""One objective or two as columns: the table names the second one's with a suffix, records have tuples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dnnsweep.ledger.tables import Base
from dnnsweep.records import Objective


def column_names(name: str) -> tuple[str, str]:
    """Return the columns of something that there is one of for each objective."""
    return name, f"{name}_2"


def columns_of(table: type[Base], name: str) -> tuple[Any, ...]:
    """Return these columns as SQLAlchemy's."""
    return tuple(getattr(table, column) for column in column_names(name))


def to_columns(name: str, items: Sequence[Any] | None) -> dict[str, Any]:
    """Return what is stored of a tuple that has an item for each objective.

    Example:
        >>> to_columns("value", (0.5,))
        {'value': 0.5, 'value_2': None}
    """
    first, second = (*(items or ()), None, None)[:2]
    return dict(zip(column_names(name), (first, second), strict=True))


def from_columns(name: str, row: Mapping[Any, Any]) -> tuple[Any, ...] | None:
    """Return the tuple that was stored; None where nothing is.

    Example:
        >>> from_columns("value", {"value": 0.5, "value_2": 900.0})
        (0.5, 900.0)
    """
    items = (row[column] for column in column_names(name))
    return tuple(item for item in items if item is not None) or None


def objective_columns(objectives: Sequence[Objective]) -> dict[str, Any]:
    """Return what is stored of a sweep's objectives."""
    metrics, directions = zip(*((objective.metric, objective.direction) for objective in objectives), strict=True)
    return {**to_columns("metric", metrics), **to_columns("direction", directions)}


def read_objectives(row: Mapping[Any, Any]) -> tuple[Objective, ...]:
    """Return a sweep's objectives as they were stored."""
    pairs = zip(from_columns("metric", row) or (), from_columns("direction", row) or (), strict=True)
    return tuple(Objective(metric, direction) for metric, direction in pairs)
