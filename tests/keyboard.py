"""Lines typed as a page shows them. What reads or trains is run in this process, what serves in one of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from warm_python import WarmPython
from workspace import Command, environment_of_a_user, started

from dnnsweep.cli import main

#: Commands that have read what they need in a moment, once Python and the libraries are loaded.
READING = ("best", "doctor", "export", "list", "show", "trials", "validate")
#: What a program has in it whose libraries take seconds to load.
LOADING = re.compile("^import (keras|dnnsweep)", re.MULTILINE)
#: Words with which a line is more than one command and its arguments.
OPERATORS = {"|", "&", ";", ">", ">>", "<", "&&", "||"}


class Keyboard:
    """Types lines in the current folder.

    Args:
        warm_python: Runs programs that load Keras.
        capsys: Reads what commands print in this process.
    """

    def __init__(self, warm_python: WarmPython, capsys: pytest.CaptureFixture[str]) -> None:
        self._warm_python = warm_python
        self._capsys = capsys

    def type(self, line: str, *, is_alone: bool = False) -> str:
        """Type a line, which must do what it says; return what it prints.

        Args:
            line: Line, as a shell takes it.
            is_alone: Whether it must run in processes of its own, whatever it does.
        """
        done = self._start(line) if is_alone else self._run(line)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line, comments=True)
        match words:
            case ["dnnsweep", name, *rest] if name in READING and not OPERATORS & set(rest):
                return call(self._capsys, name, *rest)
            case ["dnnsweep", "run", *rest] if not OPERATORS & set(rest):
                # Trainers and delivery in processes of their own would each load TensorFlow or MLflow anew; what they
                # do is the same, and tests/acceptance has them as they are.
                return call(self._capsys, "run", *rest, "--executor", "inprocess")
            case ["python", program] if re.search(
                "^import (keras|dnnsweep)", Path(program).read_text("utf-8"), re.MULTILINE
            ):
                return self._warm_python.run(program)
        return self._start(line)

    def _start(self, line: str) -> subprocess.CompletedProcess[str]:
        command, *words = shlex.split(line, comments=True)
        if command == "dnnsweep" and not OPERATORS & set(words):
            typed = start(words)
            return subprocess.CompletedProcess(words, typed.code, typed.out, typed.err)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environ = {**environment_of_a_user(), "PATH": path}
        return subprocess.run(["/bin/sh", "-c", line], env=environ, capture_output=True, text=True, check=False)


def start(words: Sequence[str]) -> Command:
    """Start a command in the current folder, in a process of its own; its output goes to files elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="dnnsweep-typed-"))
    out, err = folder / "out", folder / "err"
    for file in (out, err):
        file.touch()
    return Command(started(words, cwd=Path.cwd(), out=out, err=err, env=environment_of_a_user()), folder)


def call(capsys: pytest.CaptureFixture[str], *words: str) -> subprocess.CompletedProcess[str]:
    """Call, in this process, what the `dnnsweep` script calls for these words."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch, _same_signals():
        patch.setattr(sys, "argv", ["dnnsweep", *words])
        with pytest.raises(SystemExit) as end:
            main()
    out, err = capsys.readouterr()
    return subprocess.CompletedProcess(words, int(end.value.code or 0), out, err)


@contextmanager
def _same_signals() -> Iterator[None]:
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
