"""Forms of output on stdout: JSON, YAML and CSV for programs, numbers and values for people."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dnnsweep.cli.standard_streams import takes_unicode
from dnnsweep.cli.terminal import escape_controls, escape_controls_in_json

#: Whole numbers from here on are shortened.
MAX_WHOLE: Final = 1e12


def print_json(data: Any) -> None:
    """Print plain data as JSON."""
    text = json.dumps(data, indent=2, allow_nan=False, ensure_ascii=not takes_unicode())
    sys.stdout.write(escape_controls_in_json(text) + "\n")


def _print_yaml(data: Any) -> None:
    from dnnsweep.spec import documents

    sys.stdout.write(documents.write(data, is_ascii=not takes_unicode()))


def _print_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows under a header that does not depend on whether there are any."""
    flat = [_flatten(row) for row in rows]
    names = list(dict.fromkeys([*columns, *(name for row in flat for name in row)]))
    present = [name for name in names if not flat or any(name in row for row in flat)]
    text = io.StringIO()
    writer = csv.DictWriter(text, present, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    sys.stdout.write(escape_controls(text.getvalue()))


def _flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def print_for_program(data: Any, form: str, columns: Sequence[str]) -> bool:
    """Print plain data in a form for programs; return whether `form` is one.

    Args:
        data: A mapping, or a list of mappings.
        form: `text`, `json`, `yaml` or `csv`; nothing is printed for `text`.
        columns: The columns of a CSV file that come first.
    """
    if form == "json":
        print_json(data)
    elif form == "yaml":
        _print_yaml(data)
    elif form == "csv":
        _print_csv(data if isinstance(data, list) else [data], columns)
    return form != "text"


def format_number(number: float | None, form: str = "{:.4g}") -> str:
    """Return a number for people, whole ones in full; a dash if there is none.

    Args:
        number: The number.
        form: A format string for numbers that are not whole.

    Example:
        >>> format_number(0.123456), format_number(25450.0)
        ('0.1235', '25450')
    """
    if number is None:
        return "-"
    is_whole = isinstance(number, int) or (form.endswith("g}") and number.is_integer() and abs(number) < MAX_WHOLE)
    return str(int(number)) if is_whole else form.format(number)


def format_values(values: Sequence[float]) -> str:
    """Return a trial's values, one for each objective, in a line of text.

    Example:
        >>> format_values((0.971234, 25450.0))
        '0.97123 with 25450'
    """
    return " with ".join(format_number(value, "{:.5g}") for value in values)


def format_setting(setting: Any) -> str:
    """Return a hyperparameter's value for people.

    Example:
        >>> format_setting(0.000123456), format_setting([64, 32]), format_setting(True)
        ('0.0001235', '[64, 32]', 'true')
    """
    if isinstance(setting, bool):
        return "true" if setting else "false"
    if isinstance(setting, list | tuple):
        return f"[{', '.join(map(str, setting))}]"
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
