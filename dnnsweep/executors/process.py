"""The far side of a local executor: one trainer in a process of its own."""

from __future__ import annotations

import os
import queue
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

from dnnsweep.errors import DnnsweepError
from dnnsweep.executors import create_trainer
from dnnsweep.records import Suggestion


def main(descriptor: int) -> None:
    """Serve one controller until it is gone.

    Args:
        descriptor: This end of the connection to it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller decides what Ctrl-C means
    connection = Connection(descriptor)
    trainer_path, job = connection.recv()
    suggestions: queue.SimpleQueue[Suggestion] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, suggestions), daemon=True).start()
    trainer = create_trainer(trainer_path, job)
    try:
        summary = trainer.open()
    except DnnsweepError as error:
        _send(connection, error)
        return
    _send(connection, summary)
    while True:
        try:
            result = trainer.train(suggestions.get(), lambda report: _send(connection, report))
        except DnnsweepError as error:
            _send(connection, error)
            return
        _send(connection, result)


def _listen(connection: Connection, suggestions: queue.SimpleQueue[Suggestion]) -> None:
    """Take suggestions in; when the controller is gone, so is this process, whatever it is doing."""
    try:
        while True:
            suggestions.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def _send(connection: Connection, message: Any) -> None:
    try:
        connection.send(message)
    except OSError:
        os._exit(0)
