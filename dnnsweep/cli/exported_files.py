"""Files that a command writes for its user."""

from __future__ import annotations

import sys
from pathlib import Path

from dnnsweep.cli.standard_streams import say
from dnnsweep.errors import ExportError


def write_text(text: str, output: Path | None) -> None:
    """Write text to a file, or to stdout.

    Raises:
        ExportError: The file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    say(f"written to {output}")
