"""Ratios and their spread; straight lines; text between markers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the median and, behind it, the smallest and largest value.

    Example:
        >>> spread([2.0, 1.0, 4.0])
        '2 [1, 4]'
    """
    shown = (f"{value:.{digits}g}" for value in (statistics.median(values), min(values), max(values)))
    return "{} [{}, {}]".format(*shown)


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Return how many times faster, repetition by repetition.

    Example:
        >>> ratios([10.0, 12.0], [1.0, 2.0])
        [10.0, 6.0]
    """
    return [a / b for a, b in zip(slow, fast, strict=True)]


def extrapolated(few: tuple[int, float], many: tuple[int, float], wanted: int) -> float:
    """Return what `wanted` trials take, from the times of two smaller numbers of trials: a fixed part and one a trial.

    Example:
        >>> extrapolated((2, 12.0), (6, 20.0), 100)
        208.0
    """
    per_trial = (many[1] - few[1]) / (many[0] - few[0])
    return many[1] + (wanted - many[0]) * per_trial


def replaced(document: str, name: str, text: str) -> str:
    r"""Return a document with the text between its markers of a name replaced.

    Raises:
        ValueError: It has no such markers.

    Example:
        >>> replaced("<!-- a:begin -->old<!-- a:end -->", "a", "new")
        '<!-- a:begin -->\nnew\n<!-- a:end -->'
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if begin not in document or end not in document:
        raise ValueError(f"the document must have the markers {begin} and {end}")
    before, _, rest = document.partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
