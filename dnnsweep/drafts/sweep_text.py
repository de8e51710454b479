"""The text of a sweep file: every value with the reason for it as a comment."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dnnsweep.spec import documents

#: Longest line.
WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a list.

    Args:
        value: Plain data.
        comment: Why it is there; empty if nothing needs to be said.
    """

    value: Any
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a sweep file.

    Args:
        key: Name of the key.
        value: Plain data; `Block` for keys below this one, or a tuple of `Item`s for a list with comments.
        comment: Why it has this value; empty if nothing needs to be said.
        is_hint: Whether the key is only proposed: it is written as a comment.
    """

    key: str
    value: Any
    comment: str = ""
    is_hint: bool = False


class Block(tuple[Entry, ...]):
    """Keys below a key, in their order."""

    __slots__ = ()


def document_of(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what a sweep file of these entries says, as plain data."""
    return {entry.key: _plain(entry.value) for entry in entries if not entry.is_hint}


def _plain(value: Any) -> Any:
    if isinstance(value, Block):
        return document_of(value)
    return [item.value for item in value] if isinstance(value, tuple) else value


def text_of(header: Sequence[str], entries: Sequence[Entry]) -> str:
    """Return the text of a sweep file.

    Args:
        header: Sentences that stand above the file.
        entries: Keys of the file, in their order.
    """
    lines = [f"# {line}" for sentence in header for line in textwrap.wrap(one_line(sentence), WIDTH - 2)]
    for entry in entries:
        is_section = isinstance(entry.value, (Block, tuple))
        lines += [*([""] if is_section and lines[-1] else []), *_entry_lines(entry, 0), *([""] if is_section else [])]
    return "\n".join(lines).strip() + "\n"


def _entry_lines(entry: Entry, indent: int) -> list[str]:
    blanks = " " * indent
    if isinstance(entry.value, Block):
        below = [line for child in entry.value for line in _entry_lines(child, indent + 2)]
        return [*_commented(f"{blanks}{entry.key}:", entry.comment), *below]
    if isinstance(entry.value, tuple):
        items = [
            line
            for item in entry.value
            for line in _commented(f"{blanks}  - {documents.write_inline(item.value)}", item.comment)
        ]
        return [*_commented(f"{blanks}{entry.key}:", entry.comment), *items]
    mark = "# " if entry.is_hint else ""
    return _commented(f"{blanks}{mark}{entry.key}: {documents.write_inline(entry.value)}", entry.comment)


def _commented(line: str, comment: str) -> list[str]:
    """Return a line with its comment, which stands above it if there is no room behind it."""
    text = one_line(comment)
    if not text:
        return [line]
    if len(line) + 4 + len(text) <= WIDTH:
        return [f"{line}  # {text}"]
    blanks = line[: len(line) - len(line.lstrip())]
    return [*(f"{blanks}# {part}" for part in textwrap.wrap(text, WIDTH - 2 - len(blanks))), line]


def one_line(text: str) -> str:
    r"""Return a text without line breaks and control characters.

    Example:
        >>> one_line("a\n b\x1b")
        'a b\\x1b'
    """
    joined = " ".join(text.split())
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in joined)
