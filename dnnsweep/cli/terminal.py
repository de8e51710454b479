"""Text for a terminal: control characters of others made safe, long lines broken between words."""

from __future__ import annotations

import re
from typing import Final, TextIO

from rich.cells import cell_len

#: What a terminal may obey: all control characters but tab and line break.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether somebody sits before a stream; None, or a closed one, is that of a process without it."""
    return stream is not None and not stream.closed and stream.isatty()


def escape_controls(text: str) -> str:
    r"""Return a text in which control characters are written out.

    Example:
        >>> escape_controls("\x1b[2J\tgone")
        '\\x1b[2J\tgone'
    """
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def escape_controls_in_json(text: str) -> str:
    r"""Return JSON with the same meaning that holds no control characters.

    Example:
        >>> escape_controls_in_json('"\x9b2J"')
        '"\\u009b2J"'
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def break_lines(text: str, width: int) -> list[str]:
    """Return the lines of a text, broken between words only.

    Example:
        >>> break_lines("one two three", 8)
        ['one two', 'three']
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, *words = paragraph.split(" ")
        for word in words:
            if line.strip() and cell_len(line) + 1 + cell_len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}"
        lines.append(line)
    return lines
