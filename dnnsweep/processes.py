"""Processes that dnnsweep starts: they talk over a connection and import what this process imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Final

#: Not multiprocessing's spawn, which would run a caller's script again, or fail in a notebook.
_COMMAND: Final = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "importlib.import_module('dnnsweep.redaction').mask_output(); "
    "module, _, name = sys.argv[1].partition(':'); "
    "getattr(importlib.import_module(module), name)(int(sys.argv[2]))"
)


def start(
    entry: str, output: IO[Any] | int, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process and return it with this end of a connection to it.

    Args:
        entry: Function to call as `module:function`; it receives the file descriptor of its end of the connection.
        output: File that receives whatever the process prints.
        environment: Environment variables to set beside those of this process.
    """
    near, far = Pipe()
    with far:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and our own code
            [sys.executable, "-P", "-c", _COMMAND, entry, str(far.fileno()), json.dumps(_import_path())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[far.fileno()],
            env={**os.environ, **environment},
            start_new_session=True,  # a Ctrl-C in the terminal is the controller's to handle
        )
    return process, near


@contextmanager
def silence_stderr(*, is_needed: bool = True) -> Iterator[None]:
    """Keep what C++ libraries print to stderr off the terminal while the block runs.

    Args:
        is_needed: Whether to silence anything at all.
    """
    saved = _copy_stderr() if is_needed else None
    if saved is None:
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        _flush_stderr()
        os.dup2(saved, 2)
        os.close(saved)


def _copy_stderr() -> int | None:
    """Return another file descriptor of stderr; None in a process that was started without it."""
    _flush_stderr()
    try:
        return os.dup(2)
    except OSError:
        return None


def _flush_stderr() -> None:
    with suppress(OSError, ValueError):  # full, or closed
        if sys.stderr is not None:
            sys.stderr.flush()


def _import_path() -> list[str]:
    """Return where this process imports from."""
    return [entry or str(Path.cwd()) for entry in sys.path]
