"""Files that a command writes for its user."""

from __future__ import annotations

import shutil
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


def copy_model(source: Path, output: Path | None) -> None:
    """Copy a saved model to where it was asked for.

    Raises:
        ExportError: The file cannot be written, or its name does not end in `.keras`.
    """
    if output is None or output.suffix != ".keras":
        raise ExportError("a saved model needs a file that ends in .keras; add -o FILE.keras")
    try:
        shutil.copyfile(source, output)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}") from error
    note = "it holds the network alone, so encode and scale new rows as the exported Python code does"
    say(f"written to {output}; {note}")
