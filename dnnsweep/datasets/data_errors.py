"""Refusals of data: one mistake each, in the words of the sweep file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from dnnsweep.errors import DataError, Mistake
from dnnsweep.space import yaml_text

SHOWN: Final = 5


def data_error(path: str, rule: str, got: str = "", remedy: str = "") -> DataError:
    """Return the error of one mistake; see `Mistake` for the arguments."""
    return DataError([Mistake(path, rule, got, remedy)])


def name_some(names: Sequence[str]) -> str:
    """Name a few of many.

    Example:
        >>> name_some(["a", "b"]), name_some(list("abcdefg"))
        ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 2 more")
    """
    text = ", ".join(yaml_text(name) for name in names[:SHOWN])
    return text if len(names) <= SHOWN else f"{text} and {len(names) - SHOWN} more"


def check_unique_names(names: Sequence[str]) -> None:
    """Refuse names of columns that occur more than once.

    Raises:
        DataError: One does; an empty name does not count.
    """
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise data_error(
            "dataset.source", "column names must differ", f"{name_some(twice)} repeated", "rename one of them"
        )
