"""The standard streams of the program: prepared, written to, and found broken."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from dnnsweep.cli.terminal import break_lines, escape_controls
from dnnsweep.errors import OutputError


def prepare_streams() -> None:
    """Make the standard streams usable, whatever the shell did to them.

    A file that is opened later must not get the number of a closed stream, or what is printed would end up in it. A
    character that an encoding lacks is written as its code.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed, as by `>&-`; this is the lowest free number, and writing to it fails
            os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  open to the end
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not isinstance(sys.stdout, Output):
        sys.stdout = cast("TextIO", Output(sys.stdout))


def say(text: str) -> None:
    """Write a message to stderr, broken between words on a terminal; it is lost if nobody reads there any more."""
    safe = escape_controls(text)
    with suppress(OSError):
        lines = break_lines(safe, shutil.get_terminal_size().columns) if sys.stderr.isatty() else [safe]
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def takes_unicode() -> bool:
    """Return whether stdout can hold any character as it is."""
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")


class Output:
    """Stdout, whose faults are errors of this program like all others.

    Args:
        stream: The stream that is written.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, as a stream does; Typer writes an empty one to find out what a stream takes."""
        if text == "":
            return 0
        with _output_errors():
            return int(self._stream.write(text))

    def flush(self) -> None:
        """Write what is still held, as a stream does."""
        with _output_errors():
            self._stream.flush()


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # whoever read went away, which is no fault
        raise
    except OSError as error:
        discard_output()
        raise OutputError(f"the output cannot be written: {error.strerror}") from error


def discard_output() -> None:
    """Send all that stdout still holds to nowhere, so that the end of the program does not fail on it."""
    with suppress(OSError, ValueError):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
