"""The part of a listing that turns dates into numbers, by arithmetic that tables and Keras tensors both know."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import literal

#: Part of a date -> code of its angle, from days since 1970-01-01, which was a Thursday.
_ANGLES: Final = {
    "month": "2 * np.pi * month(days) / 12",
    "weekday": "2 * np.pi * ((days // 1 + 3) % 7) / 7",
    "hour": "2 * np.pi * ((days % 1 * 24 + 1e-6) // 1) / 24",  # rounding may have taken from a full hour
}
_MONTH: Final = '''\
def month(days):
    """Return the month from 0 on, by Hinnant's algorithm, whose years begin in March."""
    day = (days // 1 + 719468) % 146097  # the calendar repeats after 400 years
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day = day - (365 * year + year // 4 - year // 100)
    return ((5 * day + 2) // 153 + 2) % 12
'''


def split_dates(facts: DataFacts) -> list[str]:
    """Return the definition of `split_dates(columns, sin, cos)` and what it needs; nothing without dates."""
    if not facts.dates:
        return []
    has_months = any("month" in column.parts for column in facts.dates)
    has_parts = any(column.parts for column in facts.dates)
    waves = ", and sine and cosine of what comes round again" if has_parts else ""
    lines = ["def split_dates(columns, sin, cos):", f'    """Turn dates into days{waves}."""']
    for parts, columns in groupby(facts.dates, lambda column: column.parts):
        names = ", ".join(literal(facts.input_name(column.name)) for column in columns)
        lines += [
            f"    for name in [{names}]:",
            '        days = columns[f"{name}_days"] = columns.pop(name)'
            if parts
            else '        columns[f"{name}_days"] = columns.pop(name)',
            *_waves(parts),
        ]
    function = "\n".join([*lines, "    return columns", ""])
    return [_MONTH, function] if has_months else [function]


def _waves(parts: tuple[str, ...]) -> list[str]:
    """Return the lines that add the sine and cosine of each part of a date."""
    if not parts:
        return []
    return [
        "        angles = {",
        *(f'            "{part}": {_ANGLES[part]},' for part in parts),
        "        }",
        "        for part, angle in angles.items():",
        '            columns[f"{name}_{part}_sin"] = sin(angle)',
        '            columns[f"{name}_{part}_cos"] = cos(angle)',
    ]
