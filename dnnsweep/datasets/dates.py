"""Dates as people write them: their format is found, and they become numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: What pandas calls dates like 2024-01-31, with or without a time of day.
ISO: Final = "ISO8601"
#: Dates without a mark between their parts, which programs take for numbers.
COMPACT: Final = "%Y%m%d"
_DATES: Final = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d-%m-%y", "%m-%d-%y", "%y-%m-%d"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%d. %B %Y", "%Y-%b-%d"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%a, %d %b %Y", "%A, %B %d, %Y", "%b %Y", "%B %Y"),
)
_TIME: Final = re.compile(
    r"(?P<joint>, |[ T:])(?P<hours>[0-9]{1,2}:[0-9]{2})(?P<seconds>:[0-9]{2})?(?P<fraction>\.[0-9]{1,6})?"
    r"(?P<half> ?[AaPp][Mm])?(?P<zone> ?(?:[+-][0-9]{2}:?[0-9]{2}|Z))?(?P<name> (?:UTC|GMT))?$"
)
#: Texts that the formats are tried on first.
N_TRIED: Final = 30
#: Most characters of a date.
MAX_LENGTH: Final = 40
#: Years in which a text that nobody has called a date may be one.
PLAUSIBLE_YEARS: Final = range(1900, 2101)
_LOOKS_DATED: Final = re.compile(r"(?=.*[0-9])[\w,]+[-/. ][ \w]+([-/. :,].*)?")
_EPOCH: Final = pd.Timestamp(0, tz="UTC")


@dataclass(frozen=True, slots=True)
class FoundFormat:
    """What was found out about the dates of a column.

    Args:
        formats: Formats that fit equally well but give different dates: one, or more where day and month are
            ambiguous; none where no format fits any text.
        strays: Texts that do not fit the first of them.
    """

    formats: tuple[str, ...]
    strays: tuple[str, ...]


def find_format(texts: Sequence[str]) -> FoundFormat:
    """Find the format of dates.

    Args:
        texts: Distinct texts, without blanks around them.

    Example:
        >>> find_format(["31.01.2024", "01.02.2024"]).formats, find_format(["1/2/2024", "3/2/2024"]).formats
        (('%d.%m.%Y',), ('%d/%m/%Y', '%m/%d/%Y'))
    """
    tried = np.array(texts[:: max(1, len(texts) // N_TRIED)][:N_TRIED], dtype=object)
    fitting = [name for name in _candidates(tried) if not np.isnat(moments_of(tried, name)).all()]
    everything = np.array(texts, dtype=object)
    moments = {name: moments_of(everything, name) for name in fitting}
    n_strays = {name: int(np.isnat(values).sum()) for name, values in moments.items()}
    best = [name for name in fitting if n_strays[name] == min(n_strays.values())]
    if not best:
        return FoundFormat((), tuple(texts))
    first = moments[best[0]]
    others = [] if best[0] == ISO else [name for name in best[1:] if not _equal(first, moments[name])]
    strays = everything[np.isnat(first)]
    return FoundFormat((best[0], *others), tuple(strays))


def _candidates(texts: Iterable[str]) -> list[str]:
    """Return the formats that some texts may have, by the time of day that they end with."""
    endings = dict.fromkeys(_time_format(text) for text in texts)
    return [ISO, *(f"{date}{ending}" for date, ending in itertools.product(_DATES, endings))]


def _time_format(text: str) -> str:
    """Return the format of the time of day that a text ends with; empty if it ends with none.

    Example:
        >>> _time_format("1/2/2024 10:30 AM"), _time_format("1/2/2024")
        (' %I:%M %p', '')
    """
    found = _TIME.search(text)
    if found is None:
        return ""
    hours = f"{found['joint']}{'%I' if found['half'] else '%H'}:%M"
    half = (found["half"] or "").upper().replace("AM", "%p").replace("PM", "%p")
    zone = f"{' ' * found['zone'].startswith(' ')}%z" if found["zone"] else " %Z" if found["name"] else ""
    return f"{hours}{':%S' if found['seconds'] else ''}{'.%f' if found['fraction'] else ''}{half}{zone}"


def _equal(moments: NDArray[Any], others: NDArray[Any]) -> bool:
    return bool(((moments == others) | (np.isnat(moments) & np.isnat(others))).all())


def moments_of(texts: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the moments (n,) in UTC that texts stand for; not a time where a text does not fit the format.

    Args:
        texts: Texts (n,), or whole numbers like 20240131.
        name: Format as strptime takes it, or `ISO8601`. A moment without a time zone is in UTC.
    """
    moments = pd.to_datetime(texts, format=name, errors="coerce", utc=True)
    return np.asarray(moments.tz_localize(None).to_numpy())


def looks_dated(texts: Sequence[str]) -> bool:
    """Return whether most of some distinct texts are plausible dates; for columns that nobody has called dates."""
    sample = texts[:: max(1, len(texts) // N_TRIED)][:N_TRIED]
    n_dated = sum(len(text) <= MAX_LENGTH and _LOOKS_DATED.fullmatch(text) is not None for text in sample)
    if n_dated * 2 <= len(sample):
        return False
    found = find_format(sample)
    if not found.formats or len(found.strays) * 2 >= len(sample):
        return False
    years = pd.DatetimeIndex(moments_of(np.array(sample, dtype=object), found.formats[0])).year
    return all(year in PLAUSIBLE_YEARS for year in years[~np.isnan(years)])


#: Part of a date -> its value from 0 on, and how many there are before it begins again.
CYCLES: Final[Mapping[str, tuple[Callable[[pd.DatetimeIndex], Any], int]]] = {
    "month": (lambda moments: moments.month - 1, 12),
    "weekday": (lambda moments: moments.day_of_week, 7),
    "hour": (lambda moments: moments.hour, 24),
}


def varying_parts(moments: NDArray[Any]) -> tuple[str, ...]:
    """Return the parts of dates that come round again and are not the same in all rows.

    Example:
        >>> varying_parts(np.array(["2024-01-01", "2024-01-02"], "datetime64[s]"))
        ('weekday',)
    """
    index = pd.DatetimeIndex(moments)
    values = {part: np.asarray(value(index), dtype=np.float64) for part, (value, _) in CYCLES.items()}
    return tuple(part for part, numbers in values.items() if np.fmin.reduce(numbers) < np.fmax.reduce(numbers))


def date_columns(name: str, parts: Sequence[str]) -> list[str]:
    """Return the names of the columns that a column of dates becomes.

    Example:
        >>> date_columns("day", ["month"])
        ['day_days', 'day_month_sin', 'day_month_cos']
    """
    return [f"{name}_days", *(f"{name}_{part}_{wave}" for part in parts for wave in ("sin", "cos"))]


def date_numbers(moments: NDArray[Any], name: str, parts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return the columns (rows,) that dates become, by name; NaN where a date is missing.

    They are the days since 1970-01-01, with fractions, and for each part the sine and cosine of its angle.

    Args:
        moments: Moments (rows,) in UTC.
        name: Name of the column of dates.
        parts: Parts that become a sine and a cosine: `month`, `weekday`, `hour`.

    Example:
        >>> {name: float(x[0]) for name, x in date_numbers(np.array(["1970-01-02T12"], "M8[s]"), "day", []).items()}
        {'day_days': 1.5}
    """
    index = pd.DatetimeIndex(moments).tz_localize("UTC")
    columns = [np.asarray((index - _EPOCH) / pd.Timedelta(days=1), dtype=np.float64)]
    for part in parts:
        value, n_values = CYCLES[part]
        angles = 2 * np.pi * np.asarray(value(index), dtype=np.float64) / n_values
        columns += [np.sin(angles), np.cos(angles)]
    return dict(zip(date_columns(name, parts), columns, strict=True))
