"""How a CSV file is written: its separator, decimal mark and encoding are found out where a sweep file does not say."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from dnnsweep.space import yaml_text
from dnnsweep.spec.dataset import CsvSpec

#: Bytes at the start of a file from which its form is found out.
START_BYTES: Final = 1 << 16
#: Encoding of texts that are not UTF-8: what Windows writes in Western Europe and America.
WINDOWS: Final = "cp1252"
#: Separators that are looked for; the comma comes last because decimal commas may be as regular.
_SEPARATORS: Final = ("\t", ";", "|", ",")
_SEPARATOR_NAMES: Final = {"\t": "tabs", ";": "semicolons", "|": "vertical bars", ",": "commas"}
#: First line that Excel reads and writes.
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)\r?\n")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]")
#: Share of rows that must have as many columns as the first one.
_REGULAR: Final = 0.9
#: Numbers that only one decimal mark explains: not three digits behind it, or a zero before it, or both marks.
_DECIMALS: Final = {
    mark: re.compile(
        rf"[+-]?(?:[0-9]+[{mark}](?:[0-9]{{1,2}}|[0-9]{{4,}})|0[{mark}][0-9]+|[0-9]{{1,3}}(?:[{other}][0-9]{{3}})+[{mark}][0-9]*)"
    )
    for mark, other in ((".", ","), (",", "."))
}
_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+")


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a CSV file is written.

    Args:
        separator: Character between columns.
        decimal: Decimal mark, `.` or `,`.
        encoding: Python's name of the encoding.
        has_separator_line: Whether a line `sep=;` stands before the column names.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    has_separator_line: bool = False

    def options(self) -> dict[str, Any]:
        """Return the options of pandas's read_csv that read such a file; those that differ from the defaults."""
        given = {"sep": self.separator, "decimal": self.decimal, "encoding": self.encoding}
        usual = {"sep": ",", "decimal": ".", "encoding": "utf-8"}
        options: dict[str, Any] = {name: value for name, value in given.items() if value != usual[name]}
        return {**options, "skiprows": 1} if self.has_separator_line else options

    def notes(self) -> tuple[str, ...]:
        """Return what a person should know about the form, as a sentence; nothing if it is the usual one."""
        name = _SEPARATOR_NAMES.get(self.separator, yaml_text(self.separator))
        parts = [f"columns separated by {name}"] if self.separator != "," or self.has_separator_line else []
        parts += ["decimal commas"] if self.decimal == "," else []
        parts += [f"text in {self.encoding}"] if self.encoding != "utf-8" else []
        if not parts:
            return ()
        listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
        return (f"Read the file as one with {listed}; dataset.csv says otherwise.",)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, from which `from_json` makes an equal value."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> CsvForm:
        """Return the value of what `to_json` returned."""
        return cls(**plain)


def find_form(start: bytes, given: CsvSpec | None) -> CsvForm:
    r"""Find out how a CSV file is written.

    Args:
        start: Its first bytes, `START_BYTES` or all of them.
        given: What the sweep file says.

    Example:
        >>> find_form(b"a;b\n1,5;2\n", None)
        CsvForm(separator=';', decimal=',', encoding='utf-8', has_separator_line=False)
    """
    given = given or CsvSpec()
    encoding = given.encoding or next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")
    text = start.decode(encoding, errors="ignore").removeprefix("\ufeff")
    line = _SEPARATOR_LINE.match(text)
    form = CsvForm(encoding=encoding, has_separator_line=line is not None)
    if line is not None:
        form, text = replace(form, separator=line[1]), text[line.end() :]
    if len(start) >= START_BYTES:
        text = text[: text.rfind("\n") + 1] or text  # the last line is cut off
    if given.separator is not None or line is None:
        form = replace(form, separator=given.separator or _find_separator(text))
    return replace(form, decimal=given.decimal or _find_decimal(text, form.separator))


def is_text(start: bytes) -> bool:
    """Return whether bytes may be a text of an encoding that extends ASCII."""
    return _CONTROL.search(start) is None


def _rows(text: str, separator: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(text.splitlines(keepends=True), delimiter=separator) if "".join(row).strip()]
    except csv.Error:
        return []


def _find_separator(text: str) -> str:
    for separator in _SEPARATORS:
        rows = _rows(text, separator)
        lengths = [len(row) for row in rows]
        if lengths and lengths[0] > 1 and lengths.count(lengths[0]) >= _REGULAR * len(lengths):
            return separator
    return ","


def _find_decimal(text: str, separator: str) -> str:
    if separator == ",":
        return "."
    cells = {cell.strip() for row in _rows(text, separator)[1:] for cell in row}
    has_points, has_commas = (any(_DECIMALS[mark].fullmatch(cell) for cell in cells) for mark in (".", ","))
    if has_points:
        return "."
    return "," if has_commas or any(_COMMA.fullmatch(cell) for cell in cells) else "."
