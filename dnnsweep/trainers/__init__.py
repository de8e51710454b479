"""Trainers: they load the data once, then turn suggestions into results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dnnsweep.records import DataSummary, EpochReport, Suggestion, TrialResult


@dataclass(frozen=True, slots=True)
class Job:
    """What a trainer needs to know about a sweep.

    Args:
        spec: The sweep file as plain JSON (`SweepSpec.to_json`).
        models: Folder for the models of ended trials; None keeps no model.
        data: `(x, y)` handed over in Python; None where the sweep file names its source.
    """

    spec: Mapping[str, Any]
    models: str | None = None
    data: tuple[Any, Any] | None = None


class Trainer(Protocol):
    """Trains one suggestion at a time."""

    def open(self) -> DataSummary:
        """Load the data and say what they are.

        Raises:
            DataError: The data cannot be used as the sweep file asks.
        """

    def train(self, suggestion: Suggestion, report: Callable[[EpochReport], None]) -> TrialResult:
        """Train a suggestion to its end; an error while training becomes a result with reason `failed`."""
