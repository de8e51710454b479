"""Curves as rows. JSON has neither NaN nor infinities, so these are spelled out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from dnnsweep.ledger.tables import CurveRow, TrialRow
from dnnsweep.records import Curve, Series


def spell_out(values: Iterable[float]) -> list[float | str]:
    """Return numbers as JSON can hold them.

    Example:
        >>> spell_out([0.5, float("nan"), float("-inf")])
        [0.5, 'NaN', '-Infinity']
    """
    return [value if math.isfinite(value) else _name(value) for value in values]


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def store_curve(connection: Connection, sweep_id: str, number: int, curve: Curve, *, is_first: bool) -> None:
    """Replace a trial's curve, or store its first."""
    if not is_first:
        connection.execute(delete(CurveRow).where(CurveRow.sweep_id == sweep_id, CurveRow.number == number))
    key = {"sweep_id": sweep_id, "number": number}
    rows = [{**key, "metric": s.metric, "layer": s.layer or "", "points": spell_out(s.values)} for s in curve.series]
    if rows:
        connection.execute(insert(CurveRow), rows)


def read_curve(connection: Connection, sweep_id: str, number: int) -> Curve:
    """Return a trial's curve; an empty one if nothing was measured."""
    is_curve = (CurveRow.sweep_id == sweep_id, CurveRow.number == number)
    rows = connection.execute(select(CurveRow.metric, CurveRow.layer, CurveRow.points).where(*is_curve)).all()
    times = select(TrialRow.epoch_times).where(TrialRow.sweep_id == sweep_id, TrialRow.number == number)
    series = tuple(Series(row.metric, _numbers(row.points), row.layer or None) for row in rows)
    n_epochs = max((len(s.values) for s in series), default=0)  # an earlier attempt may have come further
    return Curve(series, tuple((connection.execute(times).scalar_one_or_none() or ())[:n_epochs]))


def read_metrics(connection: Connection, sweep_id: str, metrics: Collection[str]) -> dict[int, list[dict[str, float]]]:
    """Return some metrics of the network, an entry per epoch, for each trial of a sweep."""
    is_series = (CurveRow.sweep_id == sweep_id, CurveRow.metric.in_(metrics), CurveRow.layer == "")
    by_trial: dict[int, list[dict[str, float]]] = {}
    for row in connection.execute(select(CurveRow.number, CurveRow.metric, CurveRow.points).where(*is_series)):
        values = _numbers(row.points)
        epochs = by_trial.setdefault(row.number, [{} for _ in values])
        for epoch, value in zip(epochs, values, strict=True):
            epoch[row.metric] = value
    return by_trial


def _numbers(points: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(point) for point in points)


def merge_times(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """Return when each epoch ended, as it was first known.

    A trial that is trained again repeats its epochs; at their old times MLflow sees the same points, not new ones.

    Example:
        >>> merge_times([10, 20], [110, 120, 130])
        [10, 20, 130]
        >>> merge_times([10, 20], [110])
        [10, 20]
    """
    return [*old, *new[len(old) :]]
