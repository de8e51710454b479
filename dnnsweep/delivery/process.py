"""A shipper in a process of its own, so that neither sampling nor training waits for MLflow.

In a thread, MLflow's client would hold up the controller's interpreter. A process of low priority takes the time that
trainers leave, and catches up at the end.
"""

from __future__ import annotations

import contextlib
import logging
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

log: Final = logging.getLogger(__name__)
#: Added to the priority of whoever starts it; higher numbers wait for lower ones.
NICENESS: Final = 10
#: How many processes are started, one after the other, if they are killed.
MAX_STARTS: Final = 5
#: How long the process may take to answer when its time to deliver is over.
ANSWER_SECONDS: Final = 5.0
#: How many warnings a process sends.
MAX_WARNINGS: Final = 100


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
        self._watcher = threading.Thread(target=self._watch, name="dnnsweep-shipping", daemon=True)
        self._ended: queue.SimpleQueue[tuple[float, int] | None] = queue.SimpleQueue()
        self._is_closing = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to deliver."""
        self._start_process()
        self._watcher.start()

    @property
    def is_alive(self) -> bool:
        """Return whether it delivers; it does not any more if its process was killed too often."""
        return self._watcher.is_alive()

    def serve(self, sweep_id: str) -> None:
        """From now on deliver what this process runs: another sweep, or none."""
        with self._lock, contextlib.suppress(OSError):  # whoever replaces it is told
            self._sweep_id = sweep_id
            if self._connection is not None:
                self._connection.send(sweep_id)

    def _start_process(self) -> None:
        self._process, self._connection = processes.start("dnnsweep.delivery.process:main", subprocess.DEVNULL, {})
        with contextlib.suppress(OSError):  # it is gone already
            self._connection.send((self._settings, self._sweep_id))

    def _watch(self) -> None:
        """Log what the process has to say; replace it if it was killed: what it had claimed is due again at once."""
        for n_starts in range(1, MAX_STARTS + 1):
            assert self._process is not None  # noqa: S101  started before
            self._listen()
            with self._lock:
                if self._is_closing.is_set() or n_starts == MAX_STARTS:
                    break
                self._process.wait()
                self._start_process()
        self._ended.put(None)

    def _listen(self) -> None:
        """Log the warnings of the process until its answer has come, or it is gone."""
        assert self._connection is not None  # noqa: S101  started before
        with contextlib.suppress(EOFError, OSError):
            while True:
                message = self._connection.recv()
                if not isinstance(message, str):
                    self._ended.put(message)
                    return
                log.warning("%s", message)

    def close(self, seconds: float, first_seconds: float = 0.0) -> None:
        """Deliver what is left and end; gives up early when MLflow was away several times in a row.

        Args:
            seconds: How long the delivery may take.
            first_seconds: How long the first delivery may take, MLflow's import included, if there was none yet.
        """
        with self._lock:
            self._is_closing.set()
        if self._process is None or self._connection is None:
            return
        try:
            self._connection.send((seconds, first_seconds))
            longest = max(seconds, first_seconds)
            answer = self._ended.get(timeout=longest + min(ANSWER_SECONDS, longest + 1.0))
            if answer is not None:
                self._profile.parts["mlflow"], self._profile.calls["mlflow"] = answer
        except (queue.Empty, OSError):  # it was killed, or is busy: the outbox keeps what is left
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._watcher.join()
            self._connection.close()


class _Forwarding(logging.Handler):
    """Sends warnings to the process that waits for this one, which has a user.

    Args:
        connection: The connection to that process.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection
        self._n_left = MAX_WARNINGS

    def emit(self, record: logging.LogRecord) -> None:
        """Send one warning; nobody reads the hundredth."""
        self._n_left -= 1
        if self._n_left >= 0:
            with contextlib.suppress(OSError):
                self._connection.send(record.getMessage())


def main(descriptor: int) -> None:
    """Be the process: deliver for one controller until it says how long the rest may take, or is gone.

    Args:
        descriptor: File descriptor of this end of the connection to the controller.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller decides what Ctrl-C means
    os.nice(NICENESS)
    connection, profile = Connection(descriptor), Profile()
    forwarding = _Forwarding(connection)
    logging.getLogger("dnnsweep").addHandler(forwarding)
    settings, sweep_id = connection.recv()
    with closing(Ledger.open(settings.database_url)) as ledger:
        shipper = Shipper(ledger, profile.time_methods("mlflow", Tracker(settings), "put"), settings, sweep_id)
        limits: queue.SimpleQueue[tuple[float, float]] = queue.SimpleQueue()
        threading.Thread(target=_obey, args=(connection, shipper, limits), daemon=True).start()
        shipper.start()
        shipper.close(*limits.get())
    forwarding.acquire()  # a shipper whose time was over may still have something to say
    connection.send((profile.parts.get("mlflow", 0.0), profile.calls.get("mlflow", 0)))
    time.sleep(ANSWER_SECONDS)  # until the near side has read the answer and kills this process


def _obey(connection: Connection, shipper: Shipper, limits: queue.SimpleQueue[tuple[float, float]]) -> None:
    """Take in which sweep runs now, and how long the rest may take.

    When the controller is gone, so is this process, whatever it is doing.
    """
    try:
        while True:
            message = connection.recv()
            if isinstance(message, str):
                shipper.serve(message)
            else:
                limits.put(message)
    except (EOFError, OSError):
        os._exit(0)
