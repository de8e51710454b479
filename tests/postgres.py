"""A throw-away PostgreSQL on a loopback port, made by the system's own programs."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

#: Set where a test that finds no PostgreSQL is to fail, and not to be skipped.
REQUIRED: Final = "DNNSWEEP_TESTS_REQUIRE_POSTGRES"
#: PostgreSQL refuses to be run by root; files that need not survive a power cut need not be waited for.
OTHER_USERS = ("postgres", "nobody")
FAST = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"


def programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`; None if there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    folders += [Path(found).parent] if found else []
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running server.

    Args:
        folder: Of its files.
        port: Its own.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port

    def database(self) -> str:
        """Create an empty database; return its URL."""
        name = f"d{uuid.uuid4().hex}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", "dnnsweep", name)
        return f"postgresql+psycopg://dnnsweep@127.0.0.1:{self._port}/{name}"

    def start(self) -> None:
        options = f"-p {self._port} -k '' -h 127.0.0.1 {FAST}"
        log = self._folder / "log"
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-l", str(log), "-o", options, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", mode, "-w", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let none of the server's processes run meanwhile, so that it accepts connections and never answers."""
        main = int((self._folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="utf-8")
        pids = [main, *map(int, children.split())]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _run(self, program: str, *words: str) -> None:
        folder = programs()
        assert folder is not None
        path = folder / program if (folder / program).exists() else Path(shutil.which(program) or program)
        subprocess.run([*_as_other_user(), str(path), *words], check=True, capture_output=True, cwd="/")


def _as_other_user() -> list[str]:
    return [] if getpass.getuser() != "root" else ["runuser", "-u", _other_user(), "--"]


def _other_user() -> str:
    known = Path("/etc/passwd").read_text(encoding="utf-8")
    return next(user for user in OTHER_USERS if f"\n{user}:" in known)


def need() -> None:
    """Skip the test where there is no PostgreSQL, or fail it where there has to be one."""
    if programs() is not None:
        return
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, and there is no PostgreSQL: neither in /usr/lib/postgresql nor on PATH")
    pytest.skip("there is no PostgreSQL here")


@contextmanager
def running() -> Iterator[Server]:
    """Make and start a server for a test that needs one; end and remove it afterwards."""
    need()
    with tempfile.TemporaryDirectory(prefix="dnnsweep-postgres-") as name:  # not pytest's, which is for one user alone
        folder = Path(name)
        if os.getuid() == 0:
            shutil.chown(folder, _other_user())
        server = Server(folder, free_port())
        server._run("initdb", "-D", str(folder / "data"), "-U", "dnnsweep", "-A", "trust", "-E", "UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.stop()
