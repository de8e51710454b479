"""A child of the warm process is, for those who start it, the process that a fresh interpreter would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm_processes
from workspace import IS_WARM, is_alive, wait_until

from dnnsweep import processes

ENTRIES = """
import os, sys, time
from multiprocessing.connection import Connection


def describe(descriptor):
    connection = Connection(descriptor)
    connection.send({
        "asked": connection.recv(),
        "cwd": os.getcwd(),
        "path": sys.path,
        "variable": os.environ.get("ONLY_HERE"),
        "leads": os.getsid(0) == os.getpid(),
        "stdin": sys.stdin.read(),
        "open": sorted(os.listdir("/proc/self/fd")).__len__(),
        "mlflow": can_import("mlflow"),
    })


def can_import(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def fail(descriptor):
    print("what is wrong", file=sys.stderr)
    raise RuntimeError("it failed")


def leave(descriptor):
    sys.exit(3)


def wait(descriptor):
    Connection(descriptor).send("ready")
    time.sleep(60)
"""
WAYS = pytest.mark.parametrize(
    "start",
    [
        pytest.param(processes.start, id="fresh"),
        pytest.param(
            warm_processes.start, id="warm", marks=pytest.mark.skipif(not IS_WARM, reason="all processes are fresh")
        ),
    ],
)
Start = Callable[[str, Any, dict[str, str]], tuple[Any, Any]]


@pytest.fixture(autouse=True)
def _entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "entries.py").write_text(ENTRIES)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)


@WAYS
def test_it_has_the_folder_environment_path_and_connection_that_it_is_given(start: Start, tmp_path: Path) -> None:
    process, connection = start("entries:describe", subprocess.DEVNULL, {"ONLY_HERE": "yes"})
    connection.send(21)
    told = connection.recv()

    assert process.wait(60) == process.poll() == 0
    assert told.pop("open") < 30
    assert told == {
        "asked": 21,
        "cwd": str(tmp_path),
        "path": json.loads(json.dumps(sys.path)),
        "variable": "yes",
        "leads": True,
        "stdin": "",
        "mlflow": True,
    }


@WAYS
def test_what_must_not_be_imported_cannot_be(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mlflow.py").write_text("raise ImportError('not in this test')\n")

    process, connection = start("entries:describe", subprocess.DEVNULL, {})
    connection.send(None)

    assert connection.recv()["mlflow"] is False
    assert process.wait(60) == 0


@WAYS
def test_what_python_runs_when_it_starts_is_run_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("with open('runs', 'a') as file:\n    file.write('run ')\n")

    process, _ = start("entries:leave", subprocess.DEVNULL, {"PYTHONPATH": str(tmp_path / "site")})

    assert process.wait(60) == 3
    assert (tmp_path / "runs").read_text() == "run "


@WAYS
@pytest.mark.parametrize(("entry", "code", "last"), [("fail", 1, "RuntimeError: it failed"), ("leave", 3, "")])
def test_its_output_and_its_end_are_told(start: Start, entry: str, code: int, last: str) -> None:
    with tempfile.TemporaryFile() as output:
        process, connection = start(f"entries:{entry}", output, {})
        assert process.wait(60) == code
        output.seek(0)
        assert output.read().decode().strip().endswith(last)
    with pytest.raises(EOFError):
        connection.recv()


@WAYS
def test_it_runs_until_it_is_killed_and_is_known_by_its_command_line_and_environment(start: Start) -> None:
    process, connection = start("entries:wait", subprocess.DEVNULL, {"ONLY_HERE": "yes"})
    assert connection.recv() == "ready"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)

    assert process.poll() is None
    assert b"entries:wait" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert b"ONLY_HERE=yes" in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")

    process.kill()
    process.kill()  # as often as anybody wants

    assert process.wait(60) == process.returncode == -signal.SIGKILL


@pytest.mark.skipif(not IS_WARM, reason="all processes are fresh")
def test_the_process_that_forks_ends_when_nobody_needs_it_any_more(tmp_path: Path) -> None:
    code = (
        "import os, warm_processes; warm_processes.MODULES = ();"
        "os.environ[warm_processes.SOCKET] = 'forks.socket';"
        "process, connection = warm_processes.start('entries:leave', 0, {});"
        "assert process.wait() == 3"
    )
    environ = {**os.environ, "PYTHONPATH": f"{Path(warm_processes.__file__).parent}:{tmp_path}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)

    def servers() -> list[int]:
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
            and is_alive(int(entry.name))
            and b"\0forks.socket\0" in (entry / "cmdline").read_bytes()
        ]

    assert wait_until(lambda: not servers())
