"""Text that others wrote, for a terminal: it obeys none of it."""

from __future__ import annotations

import re
from typing import Final

#: What a terminal may obey: all control characters but tab and line break.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    r"""Return a text whose control characters are shown instead of sent.

    Example:
        >>> visible("\x1b[2J\tgone")
        '\\x1b[2J\tgone'
    """
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def visible_json(text: str) -> str:
    r"""Return JSON of the same meaning without control characters.

    Example:
        >>> visible_json('"\x9b2J"')
        '"\\u009b2J"'
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
