"""A shipper in a process of its own, so that neither sampling nor training waits for MLflow.

In a thread, MLflow's client would hold up the controller's interpreter. A process of low priority takes the time that
trainers leave, and catches up at the end.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Final

from dnnsweep import processes
from dnnsweep.delivery.shipper import Shipper
from dnnsweep.ledger import Ledger
from dnnsweep.profiling import Profile
from dnnsweep.settings import Settings
from dnnsweep.tracking import Tracker

#: Added to the priority of whoever starts it; higher numbers wait for lower ones.
NICENESS: Final = 10
#: How many processes are started, one after the other, if they are killed.
MAX_STARTS: Final = 5
#: How long the process may take to answer when its time to deliver is over.
ANSWER_SECONDS: Final = 5.0


class ShipperProcess:
    """Runs a `Shipper` in a process of its own until it is closed.

    Args:
        settings: Where ledger, tracking store and models are.
        sweep_id: The sweep that this process runs.
        profile: Told how long MLflow took when the shipper is closed.
    """

    def __init__(self, settings: Settings, sweep_id: str, profile: Profile) -> None:
        self._settings = settings
        self._sweep_id = sweep_id
        self._profile = profile
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._watcher = threading.Thread(target=self._replace_killed, name="dnnsweep-shipping", daemon=True)
        self._is_closing = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to deliver."""
        self._start_process()
        self._watcher.start()

    def _start_process(self) -> None:
        self._process, self._connection = processes.start("dnnsweep.delivery.process:main", subprocess.DEVNULL, {})
        with contextlib.suppress(OSError):  # it is gone already
            self._connection.send((self._settings, self._sweep_id))

    def _replace_killed(self) -> None:
        """Start another process if one was killed; what that one had claimed is due again at once."""
        for _ in range(MAX_STARTS - 1):
            assert self._process is not None  # noqa: S101  started before
            self._process.wait()
            with self._lock:
                if self._is_closing.is_set():
                    return
                self._start_process()

    def close(self, seconds: float) -> None:
        """Deliver what is left and end; gives up early when MLflow was away several times in a row.

        Args:
            seconds: How long the delivery may take.
        """
        with self._lock:
            self._is_closing.set()
        if self._process is None or self._connection is None:
            return
        try:
            self._connection.send(seconds)
            if self._connection.poll(seconds + ANSWER_SECONDS):
                self._profile.parts["mlflow"], self._profile.calls["mlflow"] = self._connection.recv()
        except (EOFError, OSError):  # it was killed: the outbox keeps what is left
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._connection.close()


def main(descriptor: int) -> None:
    """Be the process: deliver for one controller until it says how long the rest may take, or is gone.

    Args:
        descriptor: File descriptor of this end of the connection to the controller.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller decides what Ctrl-C means
    os.nice(NICENESS)
    connection, profile = Connection(descriptor), Profile()
    settings, sweep_id = connection.recv()
    seconds_left: queue.SimpleQueue[float] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, seconds_left), daemon=True).start()
    with closing(Ledger.open(settings.database_url)) as ledger:
        shipper = Shipper(ledger, profile.time_methods("mlflow", Tracker(settings), "put"), settings, sweep_id)
        shipper.start()
        shipper.close(seconds_left.get())
    connection.send((profile.parts.get("mlflow", 0.0), profile.calls.get("mlflow", 0)))
    time.sleep(ANSWER_SECONDS)  # until the near side has read the answer and kills this process


def _listen(connection: Connection, seconds_left: queue.SimpleQueue[float]) -> None:
    """Take in how long the rest may take; when the controller is gone, so is this process, whatever it is doing."""
    try:
        while True:
            seconds_left.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)
