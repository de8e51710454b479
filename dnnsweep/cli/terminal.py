"""Text that others wrote, made safe to print on a terminal."""

from __future__ import annotations

import re
from typing import Final, TextIO

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
