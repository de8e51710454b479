"""A time of day for commands that is wrong, and that can be set while they run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: Python runs a module of this name when it starts.
_SITE: Final = """
import time
from pathlib import Path

right, file = time.time, Path(__file__).with_name("ahead")
time.time = lambda: right() + float(file.read_text())
time.time_ns = lambda: int(time.time() * 1e9)
"""


class SetClock:
    """The time of day of every process that is started with its environment.

    Args:
        folder: A folder of its own.
        ahead: How many seconds the clock is ahead at first.
    """

    def __init__(self, folder: Path, ahead: float) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SITE)
        self._folder = folder
        self.set_ahead(ahead)

    def set_ahead(self, seconds: float) -> None:
        """Set the clock, in all running processes at once."""
        partial = self._folder / "partial"
        partial.write_text(str(seconds))
        partial.rename(self._folder / "ahead")

    def environ(self, path: str) -> Mapping[str, str]:
        """Return the environment of a command, given its PYTHONPATH."""
        return {"PYTHONPATH": os.pathsep.join([str(self._folder), path])}
