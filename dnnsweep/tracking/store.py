"""The embedded tracking store: one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from dnnsweep.settings import sqlite_url


def create(database: Path) -> None:
    """Create MLflow's SQLite file beside its place and move it in, so that a kill leaves no half-made one."""
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=database.parent) as scratch:
        made = Path(scratch) / database.name
        _run_migrations(made)
        with closing(sqlite3.connect(made)) as connection:
            # Readers, the UI for one, then never make a delivery wait.
            connection.execute("PRAGMA journal_mode = WAL")
        _move_in(made, database)


def _move_in(made: Path, database: Path) -> None:
    try:
        os.link(made, database)
    except FileExistsError:  # another process was faster, and has perhaps put runs into it
        return
    except OSError:  # a file system without links
        made.rename(database)


#: Ends when its standard input does: it must not outlive the process that waits for it.
_MIGRATION: Final = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
import mlflow
mlflow.MlflowClient(tracking_uri=sys.argv[1])
"""


def _run_migrations(database: Path) -> None:
    # A process of its own: migrations write log lines, and would hold up the others' threads.
    command = [sys.executable, "-c", _MIGRATION, sqlite_url(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:  # noqa: S603
        output = process.stderr.read() if process.stderr else b""
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines()
        reason = next((line for line in lines if "Error" in line), "no reason was given")
        raise RuntimeError(f"creating the store failed: {reason}")


def analyse(database: Path) -> None:
    """Let SQLite count its tables, without which sorting many runs by a metric takes seconds; best effort."""
    if not database.exists():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=5)) as connection:
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")
        connection.commit()
