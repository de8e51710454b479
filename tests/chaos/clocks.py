"""Clocks of commands that are set while they run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from set_clock import SetClock

#: From Debian's package `faketime`; the variant for programs with threads.
LIBRARY = "faketime/libfaketimeMT.so.1"


class Clock(Protocol):
    """The time of day of every process that is started with its environment."""

    def set_ahead(self, seconds: float) -> None:
        """Set the clock, in all running processes at once."""

    def environ(self, path: str) -> Mapping[str, str]:
        """Return the environment of a command, given its PYTHONPATH."""


def library() -> Path | None:
    """Return libfaketime; None if it is not installed, or if Python cannot sleep with it, as with version 0.9.10."""
    found = next(iter(sorted(Path("/usr/lib").glob(f"*/{LIBRARY}"))), None)
    if found is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        environ = {**os.environ, **FakedClock(Path(name) / "clock", found).environ("")}
        words = [sys.executable, "-c", "import time; time.sleep(0.01)"]
        done = subprocess.run(words, env=environ, capture_output=True, check=False)
    return found if done.returncode == 0 else None


def clock(folder: Path) -> Clock:
    """Return a clock that is right at first: libfaketime's for all code, or else one for Python's code alone."""
    found = library()
    return SetClock(folder, 0) if found is None else FakedClock(folder, found)


class FakedClock:
    """A clock by libfaketime, which changes what the system's C library says.

    Args:
        folder: A folder of its own, to be made.
        path: The library.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        folder.mkdir()
        self._file = folder / "ahead"
        self._path = path
        self.set_ahead(0)

    def set_ahead(self, seconds: float) -> None:
        """Set the clock, in all running processes at once."""
        partial = self._file.with_name("partial")
        partial.write_text(f"{seconds:+g}\n")
        partial.rename(self._file)

    def environ(self, path: str) -> Mapping[str, str]:
        """Return the environment of a command: monotonic clocks and times of files stay right."""
        return {
            "PYTHONPATH": path,
            "LD_PRELOAD": os.pathsep.join(filter(None, [str(self._path), os.environ.get("LD_PRELOAD")])),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
