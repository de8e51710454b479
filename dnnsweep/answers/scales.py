"""What values of a metric can be, and the units in which people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from dnnsweep.records import MAXIMIZED

if TYPE_CHECKING:  # a stored answer is shown without NumPy
    from dnnsweep.statistics.intervals import Interval

#: Metrics between 0 and 1, which are shown in percent.
SHARES: Final = MAXIMIZED - {"r2"}


def bare(metric: str) -> str:
    """Return the name of a metric without the rows that it is measured on.

    Example:
        >>> bare("val_loss"), bare("accuracy")
        ('loss', 'accuracy')
    """
    return metric.removeprefix("val_")


def is_share(metric: str) -> bool:
    """Return whether a metric is between 0 and 1, and differences of it are points of percent."""
    return bare(metric) in SHARES


def clipped(interval: Interval, metric: str) -> Interval:
    """Return an interval without the values that a metric cannot have.

    Example:
        >>> from dnnsweep.statistics.intervals import Interval
        >>> clipped(Interval(-0.5, 1.5), "val_accuracy"), clipped(Interval(-0.5, 1.5), "val_loss")
        (Interval(low=0.0, high=1.0), Interval(low=0.0, high=1.5))
    """
    low = -math.inf if bare(metric) == "r2" else 0.0
    high = 1.0 if bare(metric) in MAXIMIZED else math.inf
    return interval._replace(low=max(interval.low, low), high=min(interval.high, high))
