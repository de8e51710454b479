"""Preprocessing: what turns raw rows into the inputs of a network and its outputs into answers, as one value."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.datasets.encoding import Encoding
from dnnsweep.datasets.readings import Reading
from dnnsweep.errors import ExportError
from dnnsweep.records import Task

#: Version of the JSON; a reader refuses any other.
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class TargetEncoding:
    """How the target was encoded, so that a network's outputs can be decoded.

    Args:
        name: Name of the target.
        task: Task of the data.
        kind: Kind of the values: `boolean`, `integer`, `float` or `text`; labels of classes are text everywhere else.
        classes: Labels in the order of the outputs; empty for regression.
        mean: What was subtracted from the target before training; 0 for classes.
        std: What the target was divided by; 1 for classes.
    """

    name: str
    task: Task
    kind: str = "text"
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    def labels(self) -> list[Any]:
        """Return the classes as values of the target's own kind."""
        convert: dict[str, Callable[[str], Any]] = {"boolean": "True".__eq__, "integer": int, "float": int}
        return [convert.get(self.kind, str)(label) for label in self.classes]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, from which `from_json` makes an equal value."""
        return {
            "name": self.name,
            "task": self.task.value,
            "kind": self.kind,
            "classes": list(self.classes),
            "mean": self.mean,
            "std": self.std,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> TargetEncoding:
        """Return the value of what `to_json` returned."""
        return cls(
            name=plain["name"],
            task=Task(plain["task"]),
            kind=plain["kind"],
            classes=tuple(plain["classes"]),
            mean=plain["mean"],
            std=plain["std"],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """What was fitted to the training rows; it is saved with each model, so that no training row is needed afterwards.

    Args:
        columns: Names of a raw row's columns, in their order.
        row_shape: Shape of a raw row where rows are arrays of numbers; None where they are rows of a table.
        reading: How these columns are read; it names none where rows are arrays, or columns are as pandas reads them.
        encoding: From the columns to the network's inputs.
        target: From the network's outputs to labels or numbers.
    """

    columns: tuple[str, ...]
    row_shape: tuple[int, ...] | None
    reading: Reading
    encoding: Encoding
    target: TargetEncoding

    def to_text(self) -> str:
        """Return JSON as text, from which `from_text` makes an equal value."""
        plain = {
            "version": VERSION,
            "columns": list(self.columns),
            "row_shape": None if self.row_shape is None else list(self.row_shape),
            "reading": self.reading.to_json(),
            "encoding": self.encoding.to_json(),
            "target": self.target.to_json(),
        }
        return json.dumps(plain, ensure_ascii=True, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | bytes) -> Preprocessing:
        """Return the value of what `to_text` returned.

        Raises:
            ExportError: A newer version has written it.
        """
        plain = json.loads(text)
        if plain["version"] != VERSION:
            raise ExportError(
                f"a model's preprocessing must have version {VERSION}, got {plain['version']}; upgrade dnnsweep"
            )
        return cls(
            columns=tuple(plain["columns"]),
            row_shape=None if plain["row_shape"] is None else tuple(plain["row_shape"]),
            reading=Reading.from_json(plain["reading"]),
            encoding=Encoding.from_json(plain["encoding"]),
            target=TargetEncoding.from_json(plain["target"]),
        )
