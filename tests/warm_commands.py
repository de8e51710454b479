"""`dnnsweep` commands run by children of a process that has its modules loaded, which takes a fresh process a second.

A child is a process like any other: it has a session, an environment, a working directory and files of its own, and
gets signals. What it starts, trainers and delivery, are children of such a process too (`warm_processes.py`).
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from warm_processes import ForkedChild

#: What the commands import before they do anything; neither MLflow nor TensorFlow is among it.
MODULES: Final = (
    "warm_processes",
    "dnnsweep.cli",
    "dnnsweep.cli.progress_display",
    "dnnsweep.client.operations",
    "dnnsweep.client.reads",
    "dnnsweep.client.runs",
    "dnnsweep.ledger.migrations",
    "dnnsweep.runner.run",
    "dnnsweep.runner.worker",
    "dnnsweep.spec.documents",
    "dnnsweep.stores.local",
)


class ForkedProcess:
    """A command that runs; has what tests use of `subprocess.Popen`.

    Args:
        pid: Id of its process, which leads a session.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._has_ended = threading.Event()

    def end(self, code: int) -> None:
        """Note how it ended; called by who reads the reports."""
        self.returncode = code
        self._has_ended.set()

    def poll(self) -> int | None:
        """Return its exit code, minus the signal if it was killed; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code."""
        if not self._has_ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"dnnsweep, process {self.pid}", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class WarmCommands:
    """A process that forks a child for each command."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self._running: dict[int, ForkedProcess] = {}
        self._answers: list[ForkedProcess] = []
        self._is_answered = threading.Semaphore(0)
        threading.Thread(target=self._read, args=(self._server.stdout,), daemon=True).start()

    def start(self, words: Sequence[str], *, cwd: Path, out: Path, err: Path, env: Mapping[str, str]) -> ForkedProcess:
        """Start a command as `subprocess.Popen` does, in a session of its own.

        Args:
            words: Words after `dnnsweep`.
            cwd: Folder to run it in.
            out: File for what it prints.
            err: File for what it prints to stderr.
            env: Its whole environment.
        """
        order = {"words": list(words), "cwd": str(cwd), "out": str(out), "err": str(err), "env": dict(env)}
        with self._lock:
            assert self._server.stdin is not None
            print(json.dumps(order), file=self._server.stdin, flush=True)
            self._is_answered.acquire()
            assert self._answers, "the process that forks has died"
            return self._answers.pop()

    def _read(self, reports: IO[str]) -> None:
        for line in reports:
            pid, code = json.loads(line)
            if code is None:
                self._running[pid] = ForkedProcess(pid)
                self._answers.append(self._running[pid])
                self._is_answered.release()
            else:
                self._running.pop(pid).end(code)
        self._is_answered.release()

    def close(self) -> None:
        self._server.communicate()


@cache
def warm_commands() -> WarmCommands:
    """Return the one of this process, which lives as long."""
    made = WarmCommands()
    atexit.register(made.close)
    return made


def start_beside_trainers(
    words: Sequence[str], *, cwd: Path, out: Path, err: Path, env: Mapping[str, str]
) -> ForkedChild:
    """Start a command, as `WarmCommands.start` does, where trainers and deliveries start: MLflow is loaded there."""
    import warm_processes  # where this module is run, it is not on the path yet

    # The path is only followed where the command runs, as is its folder.
    child, connection = warm_processes.start("warm_commands:run", subprocess.DEVNULL, {**env, "PYTHONPATH": ""})
    with connection:
        connection.send({"words": list(words), "cwd": str(cwd), "out": str(out), "err": str(err), "env": dict(env)})
    return child


def run(descriptor: int) -> None:
    """Run the command that comes over a connection."""
    with Connection(descriptor) as connection:
        order = connection.recv()
    become(order)


def serve() -> dict[str, Any] | None:
    """Fork a child for each order that comes in; return the order in the child, and None when no more come."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    unread = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            report_ends()
        if 0 not in ready:
            continue
        part = os.read(0, 65536)
        if not part:
            return None
        *lines, unread = (unread + part).split(b"\n")
        for line in lines:
            if fork():
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(woken)
                os.close(wake)
                return json.loads(line)  # type: ignore[no-any-return]


def report_ends() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        report(pid, os.waitstatus_to_exitcode(status))


def report(pid: int, code: int | None) -> None:
    os.write(1, json.dumps([pid, code]).encode() + b"\n")


def fork() -> bool:
    """Fork a child that leads a session, tell its id, and return whether this is it."""
    leading, led = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(leading)
        os.setsid()
        os.close(led)
        return True
    os.close(led)
    os.read(leading, 1)  # until it is closed
    os.close(leading)
    report(child, None)
    return False


def become(order: Mapping[str, Any]) -> None:
    """Run a command in this process."""
    for number, name in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        file = os.open(name, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["dnnsweep", *order["words"]]
    sys.path[:0] = [order["cwd"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    warm_processes = importlib.import_module("warm_processes")
    warm_processes.customize()
    if warm_processes.SOCKET in os.environ:
        warm_processes.take_place()
    runpy.run_module("dnnsweep", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))
    for module in MODULES:
        importlib.import_module(module)
    sys.path.pop()
    gc.freeze()
    chosen = serve()
    if chosen is not None:
        become(chosen)
