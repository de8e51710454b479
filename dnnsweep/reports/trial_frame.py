"""Trials as a table with a column for each hyperparameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import pandas as pd

from dnnsweep.records import Trial

DataFrame: TypeAlias = pd.DataFrame

_BEFORE = ("state", "reason", "value")
_AFTER = ("best_epoch", "epochs", "seconds", "attempts", "seed", "run_id", "error")


def make_trial_frame(trials: Sequence[Trial]) -> DataFrame:
    """Return a table with a row for each trial, indexed by the trials' numbers.

    Columns are the state, the value (`value_2` beside it with two objectives), the mean of its repeats as `confirmed`
    if any trial was repeated, each hyperparameter by its own name, each metric at the best epoch as `metrics.NAME`, and
    how the trial was trained. Times are UTC.

    Args:
        trials: Trials of one sweep, in the order of the rows.
    """
    index = pd.Index([trial.number for trial in trials], name="number")
    frame = pd.DataFrame([dict(_cells(trial)) for trial in trials], index=index)
    for name in ("started_at", "ended_at"):
        frame[name] = pd.to_datetime([getattr(trial, name) for trial in trials], unit="ms", utc=True)
    return frame


def _cells(trial: Trial) -> Iterator[tuple[str, Any]]:
    for name in _BEFORE:
        yield name, _plain(getattr(trial, name))
    if trial.confirmed is not None:
        yield "confirmed", trial.confirmed.mean
    if trial.values is not None and len(trial.values) > 1:
        yield "value_2", trial.values[1]
    yield from trial.params.items()
    for name, value in trial.metrics.items():
        yield f"metrics.{name}", value
    for name in _AFTER:
        yield name, _plain(getattr(trial, name))


def _plain(value: Any) -> Any:
    """Return an enumeration's text; other values as they are."""
    return value.value if hasattr(value, "value") else value
