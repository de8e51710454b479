"""Bounds on the data of a sweep that came over the network: checked before rows are read, while, and afterwards."""

from __future__ import annotations

import io
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from dnnsweep.datasets.data_errors import data_error
from dnnsweep.settings import Limits

#: Bytes of a value in a table of numbers, and of a network's input.
TABLE_BYTES: Final = 8
INPUT_BYTES: Final = 4
#: Bytes that are read and counted at once.
BLOCK_BYTES: Final = 1 << 18
_STATUS: Final = Path("/proc/self/status")


def check_bound(got: int, maximum: int, unit: str, *, is_all: bool = True) -> None:
    """Check a number against the most that the operator allows.

    Args:
        got: Number of rows, columns or bytes.
        maximum: The most, inclusive.
        unit: What is counted, in the plural.
        is_all: Whether everything was counted; if not, `got` is what was counted so far.

    Raises:
        DataError: There are more.
    """
    if got > maximum:
        rule, remedy = f"must be at most {maximum} {unit} on this service", "use less, or ask the operator for more"
        raise data_error("dataset.source", rule, f"{got} {unit}" if is_all else "more", remedy)


def check_shape(
    n_rows: int, n_columns: int, limits: Limits, value_bytes: int = TABLE_BYTES, *, is_all: bool = True
) -> None:
    """Check how large a table is.

    Args:
        n_rows: Number of rows.
        n_columns: Number of columns.
        limits: What the operator allows.
        value_bytes: Bytes of each value.
        is_all: Whether all rows were counted.

    Raises:
        DataError: There are too many rows or columns, or the table takes too many bytes.
    """
    check_bound(n_rows, limits.max_rows, "rows", is_all=is_all)
    check_bound(n_columns, limits.max_columns, "columns")
    n_bytes, unit = n_rows * n_columns * value_bytes, f"bytes as {8 * value_bytes}-bit numbers"
    check_bound(n_bytes, limits.max_bytes, unit, is_all=is_all)


class BoundedStream(io.RawIOBase):
    """Reads on from a file, and counts bytes and ends of lines before it passes them on.

    Ends of lines within quotes are counted as well: what is a quote depends on the reader, and too few lines must not
    be counted.

    Args:
        source: File to read from its present position.
        check: Called after each block with the bytes and the ends of lines so far; raises where there are too many.
    """

    def __init__(self, source: BinaryIO, check: Callable[[int, int], None]) -> None:
        super().__init__()
        self._source = source
        self._check = check
        self._n_bytes = 0
        self._n_lines = 0
        self._is_after_return = False

    @classmethod
    def buffered(cls, source: BinaryIO, check: Callable[[int, int], None]) -> io.BufferedReader:
        """Return a stream that reads large blocks."""
        return io.BufferedReader(cls(source, check), BLOCK_BYTES)

    def readable(self) -> bool:
        """Return that this is a stream to read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next block.

        Raises:
            DataError: There is more than may be.
        """
        block = self._source.read(len(buffer))
        buffer[: len(block)] = block
        self._n_bytes += len(block)
        self._n_lines += self._count_lines(block)
        self._check(self._n_bytes, self._n_lines)
        return len(block)

    def _count_lines(self, block: bytes) -> int:
        """Count the ends of lines: a line feed, a carriage return, or both of them."""
        is_split = self._is_after_return and block.startswith(b"\n")  # counted with the block before
        self._is_after_return = block.endswith(b"\r")
        return block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n") - is_split


@contextmanager
def bounded_memory(limits: Limits | None) -> Iterator[None]:
    """Bound the memory that a block takes, on Linux; a header that lies is found out by this at the latest.

    Args:
        limits: What the operator allows; None bounds nothing.

    Raises:
        DataError: It takes more, or more than there is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = None if limits is None else _used_bytes(limits.max_memory)
    known = [each for each in (bound, soft, hard) if each not in (None, resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(known, default=soft), hard))
    try:
        yield
    except MemoryError as error:
        got = "more than there is" if limits is None else f"more than {limits.max_memory} bytes"
        raise data_error("dataset.source", "must fit in memory while it is loaded", got, "use less data") from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _used_bytes(more: int) -> int | None:
    """Return the memory that this process takes, and some more; None where the system does not tell."""
    try:
        words = _STATUS.read_text(encoding="ascii").split()
        return int(words[words.index("VmData:") + 1]) * 1024 + more
    except (OSError, ValueError):
        return None
