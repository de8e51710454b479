"""Tables for people, as wide as their screen: what does not fit is left out as a whole column and named."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from rich.cells import cell_len

from dnnsweep.cli.standard_streams import say
from dnnsweep.cli.terminal import break_lines, escape_controls

#: Width of the gap between two columns.
GAP: Final = 2
#: A column of sentences is at least this wide; its lines break between words.
MIN_PROSE: Final = 24
_BOLD: Final = "\x1b[1m{}\x1b[0m"


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table.

    Args:
        name: What stands above it.
        cells: A text for each row.
        is_numeric: Whether its texts stand at its right edge.
        is_prose: Whether its texts are sentences, which may be broken into lines between words.
    """

    name: str
    cells: Sequence[str]
    is_numeric: bool = False
    is_prose: bool = False

    @cached_property
    def width(self) -> int:
        """Return the characters that it takes on a screen."""
        return max(map(cell_len, [self.name, *(line for cell in self.cells for line in cell.split("\n"))]))

    @property
    def min_width(self) -> int:
        """Return the characters that it takes at least."""
        return min(self.width, max(MIN_PROSE, cell_len(self.name))) if self.is_prose else self.width

    @property
    def is_constant(self) -> bool:
        """Return whether it says the same in all of several rows."""
        return len(self.cells) > 1 and len(set(self.cells)) == 1


def print_table(columns: Sequence[Column], *, is_wide: bool = False, remedy: str = "--wide, or --json") -> None:
    """Print a table to stdout, and to stderr which columns the screen has no room for.

    Args:
        columns: The columns, from left to right; the first one is always shown.
        is_wide: Whether to show all columns, even if the screen breaks their lines.
        remedy: How to see the columns that were left out.
    """
    is_screen = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_screen and not is_wide else None
    safe = [replace(column, cells=[*map(_printable, column.cells)]) for column in columns]
    shown, left_out = (safe, ()) if width is None else fit(safe, width)
    head, *lines = table_lines(shown, width)
    _print_lines([_BOLD.format(head) if is_screen else head, *lines])
    if left_out:
        say(_left_out_text(left_out, remedy))


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names and sentences, a line each; a screen's edge breaks them between words."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    names = Column("", [_printable(name) for name, _ in facts])
    _, *lines = table_lines([names, Column("", [_printable(text) for _, text in facts], is_prose=True)], width)
    if width is not None:
        lines = [_BOLD.format(line[: names.width]) + line[names.width :] for line in lines]
    _print_lines(lines)


def _print_lines(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _printable(text: str) -> str:
    return escape_controls(text).replace("\t", " ")


def _left_out_text(left_out: Sequence[Column], remedy: str) -> str:
    """Return which columns a screen has no room for, with the values of those that have but one."""
    names = [f"{column.name} {column.cells[0]}" if column.is_constant else column.name for column in left_out]
    count = "1 more column" if len(names) == 1 else f"{len(names)} more columns"
    return f"{count}: {remedy} ({', '.join(names)})"


def fit(columns: Sequence[Column], width: int) -> tuple[list[Column], tuple[Column, ...]]:
    """Return the columns that fit into a width, and the others: constant ones first, then those at the right.

    Example:
        >>> shown, left_out = fit([Column("a", "xy"), Column("same", "zz"), Column("b", "xy")], 6)
        >>> [column.name for column in shown], [column.name for column in left_out]
        (['a', 'b'], ['same'])
    """
    shown = list(columns)
    while len(shown) > 1 and sum(column.min_width + GAP for column in shown) - GAP > width:
        rest = shown[1:]
        shown.remove(next((column for column in reversed(rest) if column.is_constant), rest[-1]))
    return shown, tuple(column for column in columns if column not in shown)


def table_lines(columns: Sequence[Column], width: int | None) -> Iterator[str]:
    """Yield the lines of a table, its header first.

    Args:
        columns: The columns, from left to right.
        width: Characters in a line, which bound columns of prose; None for no bound.
    """
    widths = _widths(columns, width)
    yield _line([column.name for column in columns], columns, widths)
    for cells in zip(*(column.cells for column in columns), strict=True):
        parts = [
            break_lines(cell, size) if column.is_prose else cell.split("\n")
            for cell, column, size in zip(cells, columns, widths, strict=True)
        ]
        for index in range(max(map(len, parts))):
            yield _line([part[index] if index < len(part) else "" for part in parts], columns, widths)


def _widths(columns: Sequence[Column], width: int | None) -> list[int]:
    """Return the width of each column: its own, but what others leave for columns of prose."""
    if width is None:
        return [column.width for column in columns]
    spare = width - sum(column.min_width + GAP for column in columns) + GAP
    widths = []
    for column in columns:
        size = min(column.width, column.min_width + max(0, spare))
        spare -= size - column.min_width
        widths.append(size)
    return widths


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    padded = []
    for cell, column, size in zip(cells, columns, widths, strict=True):
        space = " " * (size - cell_len(cell))
        padded.append(space + cell if column.is_numeric else cell + space)
    return (" " * GAP).join(padded).rstrip()
