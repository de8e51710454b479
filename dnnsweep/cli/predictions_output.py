"""Predictions written as CSV or JSON, block by block."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dnnsweep.cli.standard_streams import takes_unicode
from dnnsweep.cli.terminal import escape_controls, escape_controls_in_json
from dnnsweep.errors import OutputError

if TYPE_CHECKING:  # loads pandas
    from dnnsweep.datasets.predictions import DataFrame


def write_predictions(blocks: Iterable[DataFrame], output: Path | None, form: str) -> int:
    """Write predictions to a file, which appears whole or not at all, or to stdout; return the number of rows.

    Args:
        blocks: Predictions, block by block.
        output: File to write; None for stdout.
        form: `csv` or `json`.

    Raises:
        OutputError: The file cannot be written.
    """
    if output is None:
        safe = escape_controls_in_json if form == "json" else escape_controls
        return _write(blocks, lambda text: sys.stdout.write(safe(text)), form, is_ascii=not takes_unicode())
    with _replaced(output) as file:
        return _write(blocks, file.write, form, is_ascii=False)


@contextmanager
def _replaced(output: Path) -> Iterator[TextIO]:
    """Open a file beside another one, and put it in its place at the end; a device is written itself."""
    part = output if output.exists() and not output.is_file() else output.with_name(f".part-{output.name}")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        if part != output:
            part.replace(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        if part != output:
            part.unlink(missing_ok=True)


def _write(blocks: Iterable[DataFrame], write: Callable[[str], Any], form: str, *, is_ascii: bool) -> int:
    n_rows = 0
    for block in blocks:
        if form == "csv":
            write(block.to_csv(index=False, header=not n_rows, lineterminator="\n"))
        else:
            rows = (json.dumps(row, allow_nan=False, ensure_ascii=is_ascii) for row in _plain_rows(block))
            write(("[\n" if not n_rows else ",\n") + ",\n".join(rows))
        n_rows += len(block)
    if form == "json":
        write("\n]\n")
    return n_rows


def _plain_rows(block: DataFrame) -> Iterator[dict[str, Any]]:
    """Yield rows as JSON has them; single precision with as many digits as it has."""
    names = list(block.columns)
    columns = [_plain_values(block[name].to_numpy()) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _plain_values(values: Any) -> list[Any]:
    if values.dtype.kind != "f":
        return list(values.tolist())
    plain = values.astype(str).astype(float).tolist()
    return [value if math.isfinite(value) else None for value in plain]
