"""Whether this process has memory left: without it, numbers may be wrong and no error says so."""

from __future__ import annotations

import mmap
from typing import Final

#: Memory that must be left, in bytes; what a call of a program takes for a moment is less.
SPARE_BYTES: Final = 64 * 2**20


def require_memory() -> None:
    """Check that memory is left, which takes some microseconds.

    A program of XLA that finds no memory in a process at its limit may return wrong numbers: a trial of digits was seen
    to end with an accuracy of 0.13 instead of 0.92. So nothing that was measured is believed before this check, and the
    trainer ends where it fails. Its trials are trained again by another one.

    Raises:
        MemoryError: None is left.
    """
    try:
        mmap.mmap(-1, SPARE_BYTES).close()
    except OSError as error:
        raise MemoryError(f"the trainer must have {SPARE_BYTES // 2**20} MiB of memory left, but has not") from error
