"""Trainers and deliveries as children of a process that has their modules loaded, which takes fresh ones seconds each.

All processes that test share one such process. A child of it is a process like any other: it has a session, an
environment, a working directory, output and a connection of its own, and gets signals. `ps` shows it as what it is.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import importlib.util
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Final

from dnnsweep import processes
from dnnsweep.executors.trainer_handle import TRAINER_ENVIRONMENT

#: What trainers and deliveries import, and what these import with their first work.
MODULES: Final = (
    "dnnsweep.executors.trainer_process",
    "dnnsweep.datasets",
    "dnnsweep.trainers.auto",
    "dnnsweep.trainers.fit",
    "dnnsweep.trainers.array",
    "dnnsweep.trainers.compiled",
    "sklearn.datasets",
    "sklearn.impute",
    "sklearn.model_selection",
    "sklearn.preprocessing",
    "dnnsweep.delivery.process",
    "dnnsweep.ledger.migrations",
    "mlflow.store.artifact.local_artifact_repo",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking.client",
)
#: Names the socket of the process that forks, in the environment of whoever uses it.
SOCKET: Final = "DNNSWEEP_TEST_PROCESSES"
#: Room for what a child shows as its command line and its environment, in bytes.
ROOM: Final = 4000
#: What a connection begins with that only asks the process that forks to go on.
LEASE: Final = bytes(8)
#: Time for the process that forks to load its modules on a busy machine.
LOADING_SECONDS: Final = 300.0


class ForkedChild:
    """A child; has what dnnsweep uses of `subprocess.Popen`.

    Args:
        events: Connection to the process that forks, which tells the child's id and, later, its exit code.
    """

    def __init__(self, events: socket.socket) -> None:
        self._events = events
        self._unread = b""
        self.pid = self._read_number(None)
        self.returncode: int | None = None

    def _read_number(self, timeout: float | None) -> int:
        self._events.settimeout(timeout)
        while b"\n" not in self._unread:
            part = self._events.recv(100)
            if not part:
                raise ChildProcessError("the process that forks has died")
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return int(line)

    def poll(self) -> int | None:
        """Return its exit code, minus the signal if it was killed; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code."""
        if self.returncode is None:
            try:
                self.returncode = self._read_number(timeout)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(f"child {self.pid}", timeout or 0) from None
            self._events.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(entry: str, output: IO[Any] | int, environment: Mapping[str, str]) -> tuple[ForkedChild, Connection]:
    """Start a child, as `dnnsweep.processes.start` starts a process."""
    path = os.environ[SOCKET]
    lease(path)
    near, far = Pipe()
    with far, socket.socket(socket.AF_UNIX) as events, Path(os.devnull).open("wb") as nowhere:
        events.connect(path)
        order = {
            "entry": entry,
            "cwd": str(Path.cwd()),
            "env": {**os.environ, **environment},
            "path": [folder or str(Path.cwd()) for folder in sys.path],
        }
        written = nowhere if isinstance(output, int) else output
        text = json.dumps(order).encode()
        socket.send_fds(events, [len(text).to_bytes(len(LEASE), "big")], [far.fileno(), written.fileno()])
        events.sendall(text)
        return ForkedChild(events.dup()), near


def take_place() -> None:
    """Let this process start what it starts as children of the process that forks."""
    processes.start = start  # type: ignore[assignment]


@cache
def lease(path: str) -> socket.socket:
    """Return a connection that lets the process that forks go on; it is started unless it runs.

    Args:
        path: Where it listens.
    """
    made = socket.socket(socket.AF_UNIX)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first one starts it, others wait
        try:
            made.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            Path(path).unlink(missing_ok=True)
            _load(path)
            made.connect(path)
    made.sendall(LEASE)
    atexit.register(made.close)
    return made


def _load(path: str) -> None:
    nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)]
    words = [sys.executable, "-P", __file__, path, "." * ROOM, *MODULES]
    environ = {"ROOM": "." * ROOM, **os.environ, **TRAINER_ENVIRONMENT}
    # Not a child that somebody waits for: it may outlive this process.
    os.posix_spawn(sys.executable, words, environ, file_actions=nothing, setsid=True)
    end = time.monotonic() + LOADING_SECONDS
    while not Path(path).exists():
        assert time.monotonic() < end, "the process that forks has not started"
        time.sleep(0.05)


class Server:
    """Forks a child for each order that comes in, and tells how it has ended.

    Args:
        path: Where it listens.
    """

    def __init__(self, path: Path) -> None:
        part = path.with_suffix(".part")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(part))
        self._listener.listen(100)
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        self._wake = wake
        self._leases: set[socket.socket] = set()
        self._running: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        part.rename(path)

    def serve(self) -> tuple[dict[str, Any], int] | None:
        """Return the order and its connection in a child; return None here when nobody shares this any more."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == self._woken:
                    os.read(self._woken, 4096)
                    self._report_ends()
                elif key.fileobj is self._listener:
                    if order := self._accept():
                        return order
                else:
                    self._end_lease(key.fileobj)
                    if not self._leases:
                        return None

    def _accept(self) -> tuple[dict[str, Any], int] | None:
        client, _ = self._listener.accept()
        head, descriptors, _, _ = socket.recv_fds(client, len(LEASE), 2)
        n_bytes = int.from_bytes(head, "big")
        if not n_bytes:
            self._leases.add(client)
            self._selector.register(client, selectors.EVENT_READ)
            return None
        order = json.loads(_read(client, n_bytes))
        child = os.fork()
        if child == 0:
            client.close()
            self._forget()
            return order, _take_over(order, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self._running[child] = client
        _tell(client, child)
        return None

    def _forget(self) -> None:
        """Close what belongs to the process that forks."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._listener.close()
        for each in (*self._leases, *self._running.values()):
            each.close()
        os.close(self._woken)
        os.close(self._wake)

    def _end_lease(self, lease: Any) -> None:
        self._selector.unregister(lease)
        self._leases.discard(lease)
        lease.close()

    def _report_ends(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                with self._running.pop(pid) as client:
                    _tell(client, os.waitstatus_to_exitcode(status))


def _read(client: socket.socket, n_bytes: int) -> bytes:
    text = b""
    while len(text) < n_bytes:
        text += client.recv(n_bytes - len(text))
    return text


def _tell(client: socket.socket, number: int) -> None:
    with suppress(OSError):  # whoever started the child is gone
        client.sendall(f"{number}\n".encode())


def _take_over(order: Mapping[str, Any], connection: int, output: int) -> int:
    """Make this process the child that was asked for; return the descriptor of its connection."""
    os.setsid()
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.path[:] = order["path"]
    _show(sys.executable, "-P", "-c", order["entry"])
    customize()
    _unload_what_must_not_be_there()
    return connection


def _show(*words: str) -> None:
    """Let `/proc` tell this command line and environment, as `setproctitle` does: they are read from these places."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    arg_start, arg_end, env_start, env_end = (int(fields[number - 3]) for number in range(48, 52))
    _overwrite(arg_start, arg_end, words)
    _overwrite(env_start, env_end, [f"{name}={value}" for name, value in os.environ.items()])


def _overwrite(start: int, end: int, texts: Sequence[str]) -> None:
    """Put texts, each ended by a zero, where the memory of this process begins and ends at these addresses."""
    room = end - start
    ctypes.memmove(start, b"\0".join(map(os.fsencode, texts))[: room - 1].ljust(room, b"\0"), room)


def customize() -> None:
    """Run what an interpreter with this environment runs when it starts, once in a process."""
    folders = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    file = next((file for file in (Path(folder) / "sitecustomize.py" for folder in folders) if file.exists()), None)
    if file is None or getattr(sys.modules.get("sitecustomize"), "__file__", None) == str(file):
        return
    found = importlib.util.spec_from_file_location("sitecustomize", file)
    assert found is not None
    assert found.loader is not None
    sys.modules["sitecustomize"] = module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)


def _unload_what_must_not_be_there() -> None:
    """Forget MLflow, and whoever has imported it, where a folder of the path says that it cannot be imported."""
    if not any((Path(folder) / "mlflow.py").exists() for folder in sys.path):
        return
    for name in list(sys.modules):
        if name.partition(".")[0] == "mlflow" or name.startswith(("dnnsweep.delivery", "dnnsweep.tracking")):
            del sys.modules[name]


def become(order: Mapping[str, Any], descriptor: int) -> None:
    """Run what was asked for in this process, as `dnnsweep.processes` has it."""
    importlib.import_module("dnnsweep.redaction").mask_output()
    module, _, name = order["entry"].partition(":")
    getattr(importlib.import_module(module), name)(descriptor)


if __name__ == "__main__":
    for module_name in sys.argv[3:]:
        importlib.import_module(module_name)
    gc.freeze()
    ordered = Server(Path(sys.argv[1])).serve()
    if ordered is not None:
        become(*ordered)
