"""Numbers as people read them: in percent or not, and with as many digits as their interval is wide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dnnsweep.answers.scales import is_share

#: Numbers that need more decimals than this are written with an exponent.
_MAX_DECIMALS = 6


def decimals_for(width: float) -> int:
    """Return the decimals for an interval: one unit of the last digit is at most a fifth of the width.

    Example:
        >>> decimals_for(2.2), decimals_for(0.7), decimals_for(0.12), decimals_for(150.0)
        (1, 1, 2, 0)
    """
    return max(0, -math.floor(round(math.log10(width / 5), 9))) if 0 < width < math.inf else 4


def value_text(metric: str, value: float | None, interval: Sequence[float | None] | None = None) -> str:
    """Return a value of a metric, with as many digits as its interval deserves.

    Example:
        >>> value_text("val_accuracy", 0.97234, [0.961, 0.983]), value_text("val_loss", 0.12345, [0.1, 0.15])
        ('97.2 %', '0.12')
        >>> value_text("val_accuracy", 0.975), value_text("val_loss", 0.5)
        ('97.5 %', '0.5')
    """
    if value is None:
        return "no value"
    ends, factor = finite(interval), _factor(metric)
    number = f"{factor * value:.4g}" if ends is None else _fixed(factor * value, factor * (ends[1] - ends[0]))
    return number + _unit(metric)


def interval_text(metric: str, interval: Sequence[float | None] | None) -> str:
    """Return an interval of a metric.

    Example:
        >>> interval_text("val_accuracy", [0.961, 0.983]), interval_text("val_loss", None)
        ('96.1 to 98.3 %', '')
    """
    ends, factor = finite(interval), _factor(metric)
    if ends is None:
        return ""
    low, high = (_fixed(factor * end, factor * (ends[1] - ends[0])) for end in ends)
    return f"{low} to {high}{_unit(metric)}"


def with_interval(metric: str, value: float | None, interval: Sequence[float | None] | None) -> str:
    """Return a value with its interval in brackets, if it has one.

    Example:
        >>> with_interval("val_f1", 0.5, [0.4, 0.6]), with_interval("val_loss", 0.25, None)
        ('50 % (40 to 60 %)', '0.25')
    """
    text = interval_text(metric, interval)
    return value_text(metric, value, interval) + (f" ({text})" if text else "")


def change_text(metric: str, change: float, interval: Sequence[float | None] | None) -> str:
    """Return by how much a metric changes, in points of percent if it is a share.

    Example:
        >>> change_text("val_accuracy", 0.018, [0.011, 0.026]), change_text("val_loss", -0.12, [-0.16, -0.08])
        ('+1.8 points (+1.1 to +2.6)', 'val_loss -0.12 (-0.16 to -0.08)')
    """
    ends, factor = finite(interval), 100.0 if is_share(metric) else 1.0
    width = factor * (ends[1] - ends[0]) if ends else abs(factor * change) / 10
    number = _fixed(factor * change, width, sign="+")
    text = f"{number} points" if is_share(metric) else f"{metric} {number}"
    return text + (f" ({signed_interval_text(metric, interval)})" if ends else "")


def signed_interval_text(metric: str, interval: Sequence[float | None] | None) -> str:
    """Return an interval of a change, in points of percent for shares, without a unit.

    Example:
        >>> signed_interval_text("val_accuracy", [-0.003, 0.004])
        '-0.3 to +0.4'
    """
    ends, factor = finite(interval), 100.0 if is_share(metric) else 1.0
    if ends is None:
        return "without an interval"
    low, high = (_fixed(factor * end, factor * (ends[1] - ends[0]), sign="+") for end in ends)
    return f"{low} to {high}"


def finite(interval: Sequence[float | None] | None) -> tuple[float, float] | None:
    """Return the ends of an interval; None if it has none, or an infinite one."""
    if interval is None:
        return None
    low, high = interval
    return None if low is None or high is None or not math.isfinite(high - low) else (low, high)


def setting_text(value: Any) -> str:
    """Return a hyperparameter's value as a sweep file writes it.

    Example:
        >>> [setting_text(value) for value in (True, 0.001, (64, 32), "adam", None)]
        ['true', '0.001', '[64, 32]', 'adam', 'none']
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(setting_text, value))}]"
    return "none" if value is None else str(value)


def _fixed(number: float, width: float, sign: str = "") -> str:
    decimals = decimals_for(width)
    if decimals > _MAX_DECIMALS:
        return f"{number:{sign}.3g}"
    return f"{round(number, decimals) + 0.0:{sign}.{decimals}f}"


def _factor(metric: str) -> float:
    return 100.0 if is_share(metric) else 1.0


def _unit(metric: str) -> str:
    return " %" if is_share(metric) else ""
