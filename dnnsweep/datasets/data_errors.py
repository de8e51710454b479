"""Refusals of data: one mistake each, in the words of the sweep file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from dnnsweep.errors import DataError, Mistake
from dnnsweep.space import show

SHOWN: Final = 5


def refusal(path: str, rule: str, got: str = "", remedy: str = "") -> DataError:
    """Return the error of one mistake; see `Mistake` for the arguments."""
    return DataError([Mistake(path, rule, got, remedy)])


def listed(names: Sequence[str]) -> str:
    """Name a few of many.

    Example:
        >>> listed(["a", "b"]), listed(list("abcdefg"))
        ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 2 more")
    """
    text = ", ".join(show(name) for name in names[:SHOWN])
    return text if len(names) <= SHOWN else f"{text} and {len(names) - SHOWN} more"


def check_names(names: Sequence[str]) -> None:
    """Refuse names of columns that occur more than once.

    Raises:
        DataError: One does; an empty name does not count.
    """
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise refusal("dataset.source", "column names must differ", f"{listed(twice)} repeated", "rename one of them")
