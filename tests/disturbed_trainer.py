"""Real trainers that tell when they train, or that run out of memory."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

from dnnsweep.records import AttemptStarted, EpochReport, TrialResult
from dnnsweep.trainers import Emit
from dnnsweep.trainers.auto import AutoTrainer

#: Names a folder with a file for each process that has begun to train; nothing is disturbed if it is not set.
FOLDER = "CHAOS_TRAINERS"
#: Every so many trials the trainer finds no more memory, in their first attempt.
STARVED_EVERY = 5
_USED: list[bytes] = []


class WatchedTrainer(AutoTrainer):
    """Leaves a file named by its process as soon as it has reported an epoch."""

    def step(self, emit: Emit) -> None:
        folder = os.environ.get(FOLDER)

        def watched(message: AttemptStarted | EpochReport | TrialResult) -> None:
            if folder is not None:
                self._note(message, Path(folder))
            emit(message)

        super().step(watched)

    def _note(self, message: AttemptStarted | EpochReport | TrialResult, folder: Path) -> None:
        if isinstance(message, EpochReport | TrialResult):
            (folder / str(os.getpid())).touch()


class StarvedTrainer(WatchedTrainer):
    """Once it has started certain trials, each for the first time, its process has used up all memory that it gets."""

    def _note(self, message: AttemptStarted | EpochReport | TrialResult, folder: Path) -> None:
        if not isinstance(message, AttemptStarted) or message.number % STARVED_EVERY != STARVED_EVERY - 1:
            return
        mark = folder / f"starved-{message.number}"
        if not mark.exists():
            mark.write_text(str(os.getpid()))
            resource.setrlimit(resource.RLIMIT_AS, (_size(), resource.RLIM_INFINITY))
            _use_up()


def _use_up() -> None:
    """Take all memory that is left, in pieces that become smaller."""
    for size in (1 << 20, 1 << 16, 1 << 12, 1 << 9):
        with suppress(MemoryError):
            while True:
                _USED.append(bytes(size))


def _size() -> int:
    """Return the address space of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
