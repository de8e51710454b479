"""The part of a listing that turns dates into numbers, by arithmetic that tables and Keras tensors both know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dnnsweep.exports.data_facts import DataFacts
from dnnsweep.exports.formatting import INDENT, dict_assignment, indented_code, literal, narrowed

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
    parts = {facts.input_name(column.name): column.parts for column in facts.dates}
    used = [part for part in _ANGLES if any(part in own for own in parts.values())]
    waves = ", and sine and cosine of what comes round again" if used else ""
    function = "\n".join(
        [
            "def split_dates(columns, sin, cos):",
            f'    """Turn dates into days{waves}."""',
            *(_loop(parts, used) if used else _plain_loop(list(parts))),
            "    return columns",
            "",
        ]
    )
    return [_MONTH, function] if "month" in used else [function]


def _plain_loop(names: Sequence[str]) -> list[str]:
    """Name days where no part of a date comes round again."""
    return [
        f"    for name in [{', '.join(map(literal, names))}]:",
        '        columns[f"{name}_days"] = columns.pop(name)',
    ]


def _loop(parts: Mapping[str, tuple[str, ...]], used: Sequence[str]) -> list[str]:
    """Add the sine and the cosine of each part of a date."""
    is_same = len(set(parts.values())) == 1
    angle = "angle" if is_same else "angles[part]"
    listed = [f"{literal(name)}: [{', '.join(map(literal, own))}]" for name, own in parts.items()]
    with narrowed(INDENT):
        names = indented_code(dict_assignment("parts", listed)).split("\n")
    return [
        *(
            [f"    for name in [{', '.join(map(literal, parts))}]:"]
            if is_same
            else [*names, "    for name, own in parts.items():"]
        ),
        '        days = columns[f"{name}_days"] = columns.pop(name)',
        "        angles = {",
        *(f'            "{part}": {_ANGLES[part]},' for part in used),
        "        }",
        f"        for part{', angle in angles.items()' if is_same else ' in own'}:",
        f'            columns[f"{{name}}_{{part}}_sin"] = sin({angle})',
        f'            columns[f"{{name}}_{{part}}_cos"] = cos({angle})',
    ]
