"""How a column of a table is read: found out once, stored with the sweep, and repeated wherever rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["number", "text", "date"]


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """How a column is read, and what was met when this was found out.

    Args:
        name: Name of the column.
        kind: What it becomes: a column of numbers, a column of text, or several columns of numbers for dates.
        decimal: Decimal mark of numbers that are written as text.
        format: Format of dates that are written as text; None where they have a type of their own.
        parts: Parts of dates that become a sine and a cosine.
        words: Texts that stay as they are; None where all do.
        other: Category of all other texts; empty where there is none.
        gaps: Cells that stand for missing values, as they were written.
        is_stripped: Whether there were blanks around texts.
        is_text: Whether numbers stood among texts.
        is_spelled: Whether numbers were written in a way that programs do not read, such as 1,200 or 12%.
        is_mixed: Whether texts stood among other values, such as truth values.
        is_number: Whether a column of text held numbers by its type.
        is_truth: Whether all texts but gaps are truth values, which pandas converts if it knows the gaps.
    """

    name: str
    kind: Kind
    decimal: str = "."
    format: str | None = None
    parts: tuple[str, ...] = ()
    words: tuple[str, ...] | None = None
    other: str = ""
    gaps: tuple[str, ...] = ()
    is_stripped: bool = False
    is_text: bool = False
    is_spelled: bool = False
    is_mixed: bool = False
    is_number: bool = False
    is_truth: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON of what differs from the defaults; a table may have thousands of columns."""
        values = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        changed = {name: value for name, (value, default) in values.items() if value != default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ColumnReading:
        """Return the value of what `to_json` returned."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()
        }
        return cls(**values)

    @property
    def is_cleaned(self) -> bool:
        """Return whether the column is not taken as pandas reads it."""
        return self.kind == "date" or bool(self.gaps) or self.is_stripped or self.is_text or self.is_number
