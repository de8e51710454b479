"""Some lines at the end of a terminal that are drawn anew again and again."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TextIO

from rich.cells import cell_len

from dnnsweep.cli.progress_view import Piece

REFRESH_SECONDS: Final = 0.25
#: How many looks must find a new width unchanged before it is drawn for.
SETTLED: Final = 2
_CODES: Final[Mapping[str, str]] = {"bold": "1", "dim": "2", "good": "32", "bad": "31"}


class LiveFrame:
    """Draws a frame at regular intervals, in a thread of its own, until it is closed; then it is gone.

    Args:
        stream: The terminal.
        draw: Returns the lines of a frame for a width.
    """

    def __init__(self, stream: TextIO, draw: Callable[[int], Sequence[Sequence[Piece]]]) -> None:
        self._stream = stream
        self._draw = draw
        self._sizes: list[int] = []
        self._drawn_width = self._last_width = 0
        self._n_settled = 0
        self._lock = threading.RLock()  # a signal may interrupt whoever holds it
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._redraw_on, name="dnnsweep-display", daemon=True)

    def start(self) -> None:
        """Hide the cursor, draw the first frame, and go on."""
        self._write("\x1b[?25l")
        self._redraw()
        self._thread.start()

    def print_above(self, text: str) -> None:
        """Print a text above the frame, where it stays."""
        with self._lock:
            self._write(f"{erasure(self._sizes, self._width())}{text}\n")
            self._sizes = []
            self._redraw()

    def close(self) -> None:
        """Remove the frame, and show the cursor again."""
        self._is_closed.set()
        self._thread.join()
        with self._lock:
            self._write(f"{erasure(self._sizes, self._width())}\x1b[?25h")
            self._sizes = []

    def _redraw_on(self) -> None:
        while not self._is_closed.wait(REFRESH_SECONDS):
            self._redraw()

    def _redraw(self) -> None:
        with self._lock:
            width = self._width()
            if self._sizes and not self._is_settled(width):
                return
            lines = self._draw(width - 1)  # a full line would make some terminals begin another one
            text = "\n".join("".join(map(_styled, line)) for line in lines)
            self._write(f"{erasure(self._sizes, width)}{text}")
            self._drawn_width = self._last_width = width
            self._sizes = [sum(cell_len(piece.text) for piece in line) for line in lines]

    def _is_settled(self, width: int) -> bool:
        """Return whether the terminal has had its width for a while; one that was resized is still breaking lines."""
        self._n_settled = self._n_settled + 1 if width == self._last_width else 0
        self._last_width = width
        return width == self._drawn_width or self._n_settled >= SETTLED

    def _width(self) -> int:
        columns = 0  # which some terminals say that do not know it
        with suppress(OSError, ValueError):
            columns = os.get_terminal_size(self._stream.fileno()).columns
        return max(2, columns or shutil.get_terminal_size().columns)

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a run goes on when its terminal is gone
            self._stream.write(text)
            self._stream.flush()


def erasure(sizes: Sequence[int], width: int) -> str:
    r"""Return what removes a frame from a terminal, whose cursor is at its end.

    A terminal that was made narrower has broken the lines that do not fit any more.

    Args:
        sizes: Columns that each line of the frame takes.
        width: Columns of the terminal now.

    Example:
        >>> erasure([10, 70], 80), erasure([10, 70], 40), erasure([], 80)
        ('\r\x1b[1A\x1b[J', '\r\x1b[2A\x1b[J', '')
    """
    if not sizes:
        return ""
    n_up = sum(max(1, -(-size // width)) for size in sizes) - 1
    up = f"\x1b[{n_up}A" if n_up else ""
    return f"\r{up}\x1b[J"


def _styled(piece: Piece) -> str:
    code = _CODES.get(piece.style)
    if code is None or (len(code) > 1 and os.environ.get("NO_COLOR")):
        return piece.text
    return f"\x1b[{code}m{piece.text}\x1b[0m"
