"""Errors about data, with paths of the sweep file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from dnnsweep.errors import DataError, Mistake
from dnnsweep.space import yaml_text

#: How many names are listed before the rest is counted.
MAX_LISTED: Final = 5
_PLAIN_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def data_error(path: str, rule: str, got: str = "", remedy: str = "") -> DataError:
    """Return an error with a single mistake; `Mistake` describes the arguments."""
    return DataError([Mistake(path, rule, got, remedy)])


def name_some(names: Sequence[str]) -> str:
    """List names, the first few only if there are many.

    Example:
        >>> name_some(["a", "b"]), name_some(list("abcdefg"))
        ("'a', 'b'", "'a', 'b', 'c', 'd', 'e' and 2 more")
    """
    text = ", ".join(yaml_text(name) for name in names[:MAX_LISTED])
    return text if len(names) <= MAX_LISTED else f"{text} and {len(names) - MAX_LISTED} more"


def yaml_list(words: Sequence[str]) -> str:
    """Return a list as a sweep file has it, with quotes where they are needed.

    Example:
        >>> yaml_list(["customer_id", "N/A", "-", "no: 1"])
        "[customer_id, 'N/A', '-', 'no: 1']"
    """
    is_plain = (_PLAIN_WORD.fullmatch(word) and word.lower() not in ("null", "true", "false") for word in words)
    return f"[{', '.join(word if plain else yaml_text(word) for word, plain in zip(words, is_plain, strict=True))}]"


def check_unique_names(names: Sequence[str]) -> None:
    """Refuse column names that occur more than once.

    Raises:
        DataError: A name is repeated; empty names do not count.
    """
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if repeated:
        got = f"{name_some(repeated)} more than once"
        raise data_error("dataset.source", "column names must be unique", got, "rename the columns")
