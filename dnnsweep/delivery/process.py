"""A process of its own that brings the outbox to MLflow, so that neither sampling nor training waits for it.

MLflow's work in a thread of the controller's would hold its interpreter up; in a process of low priority it takes the
time that trainers leave, and catches up at the end.
"""

from __future__ import annotations

import contextlib
import os
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
#: How often a process that was killed is replaced.
MAX_STARTS: Final = 5
#: Beyond the time that it is given to deliver.
GRACE_SECONDS: Final = 5.0


class ShipperProcess:
    """Delivers in a process of its own until it is closed.

    Args:
        settings: Where ledger, tracking store and models are.
        sweep_id: The sweep that this process runs.
        profile: Told, at the end, how long MLflow took.
    """

    def __init__(self, settings: Settings, sweep_id: str, profile: Profile) -> None:
        self._settings = settings
        self._sweep_id = sweep_id
        self._profile = profile
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._watch = threading.Thread(target=self._replace_dead, name="dnnsweep-shipping", daemon=True)
        self._is_closing = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to deliver."""
        self._start()
        self._watch.start()

    def _start(self) -> None:
        self._process, self._connection = processes.start("dnnsweep.delivery.process:main", subprocess.DEVNULL, {})
        with contextlib.suppress(OSError):  # it is gone already
            self._connection.send((self._settings, self._sweep_id))

    def _replace_dead(self) -> None:
        """Start another one in the place of one that was killed; what it had claimed is due again at once."""
        for _ in range(MAX_STARTS - 1):
            assert self._process is not None  # noqa: S101  started before
            self._process.wait()
            with self._lock:
                if self._is_closing.is_set():
                    return
                self._start()

    def close(self, seconds: float) -> None:
        """Deliver what is left and end; gives up early when MLflow was away several times in a row.

        Args:
            seconds: How long it may take.
        """
        with self._lock:
            self._is_closing.set()
        if self._process is None or self._connection is None:
            return
        try:
            self._connection.send(seconds)
            if self._connection.poll(seconds + GRACE_SECONDS):
                self._profile.parts["mlflow"], self._profile.calls["mlflow"] = self._connection.recv()
        except (EOFError, OSError):  # it was killed: the outbox keeps what is left
            pass
        finally:
            self._process.kill()
            self._process.wait()
            self._connection.close()


def main(descriptor: int) -> None:
    """Serve one controller until it is gone.

    Args:
        descriptor: This end of the connection to it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the controller decides what Ctrl-C means
    os.nice(NICENESS)
    connection, profile = Connection(descriptor), Profile()
    settings, sweep_id = connection.recv()
    closed: list[float] = []
    is_closed = threading.Event()
    threading.Thread(target=_listen, args=(connection, closed, is_closed), daemon=True).start()
    with closing(Ledger.open(settings.database_url)) as ledger:
        shipper = Shipper(ledger, profile.time_methods("mlflow", Tracker(settings), "put"), settings, sweep_id)
        shipper.start()
        is_closed.wait()
        shipper.close(closed[0])
    connection.send((profile.parts.get("mlflow", 0.0), profile.calls.get("mlflow", 0)))
    time.sleep(GRACE_SECONDS)  # killed before


def _listen(connection: Connection, closed: list[float], is_closed: threading.Event) -> None:
    """Wait for the word to end; when the controller is gone, so is this process, whatever it is doing."""
    try:
        while True:
            closed.append(connection.recv())
            is_closed.set()
    except (EOFError, OSError):
        os._exit(0)
