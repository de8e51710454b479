"""The far side of a local executor: one trainer in a process of its own."""

from __future__ import annotations

import math
import os
import queue
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from dnnsweep.errors import DnnsweepError
from dnnsweep.executors import DropTrial, TrialDropped, create_trainer, run_trainer
from dnnsweep.records import AttemptStarted, EpochReport, Suggestion, TrialResult
from dnnsweep.trainers import Emit, Trainer, TrainerUsage, TrialDroppedError

#: Time between two signs of life of a trainer.
HEARTBEAT_SECONDS: Final = 2.0
#: Held while a message is written: two threads send.
_SENDING: Final = threading.Lock()


def main(descriptor: int) -> None:
    """Serve one controller until it is gone.

    Args:
        descriptor: File descriptor of this end of the connection to the controller.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller decides what Ctrl-C means
    connection = Connection(descriptor)
    trainer_path, job = connection.recv()
    suggestions: queue.SimpleQueue[Suggestion | None] = queue.SimpleQueue()
    dropped: set[int] = set()
    threading.Thread(target=_listen, args=(connection, suggestions, dropped), daemon=True).start()
    trainer = create_trainer(trainer_path, job)
    threading.Thread(target=_beat, args=(connection,), daemon=True).start()
    try:
        _send(connection, trainer.open())
        trainer.warm_up()
        run_trainer(trainer, suggestions, _sender(connection, trainer, dropped))
    except DnnsweepError as error:
        _send(connection, error)


def _sender(connection: Connection, trainer: Trainer, dropped: set[int]) -> Emit:
    """Return a function that sends messages, and after each result what the trainer has used by then."""
    n_trials = 0

    def send(message: AttemptStarted | EpochReport | TrialResult) -> None:
        nonlocal n_trials
        _send(connection, message)
        if isinstance(message, TrialResult):
            n_trials += 1
            _send(connection, TrainerUsage(n_trials, *trainer.slot_epochs, _memory_mb()))
        if message.number in dropped and isinstance(message, EpochReport):
            dropped.discard(message.number)
            _send(connection, TrialDropped(message.number))
            raise TrialDroppedError

    return send


def _memory_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return math.nan
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def _listen(connection: Connection, suggestions: queue.SimpleQueue[Suggestion | None], dropped: set[int]) -> None:
    """Receive suggestions and the numbers of dropped trials; end this process at once when the controller is gone."""
    try:
        while True:
            message = connection.recv()
            if isinstance(message, DropTrial):
                dropped.add(message.number)
            else:
                suggestions.put(message)
    except (EOFError, OSError):
        os._exit(0)


def _beat(connection: Connection) -> None:
    """Send a sign of life at regular intervals, for ever."""
    while True:
        _send(connection, None)
        time.sleep(HEARTBEAT_SECONDS)


def _send(connection: Connection, message: Any) -> None:
    try:
        with _SENDING:
            connection.send(message)
    except OSError:
        os._exit(0)
