"""The embedded tracking store: one SQLite file, migrated once for each version of MLflow and copied since."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from dnnsweep.settings import cache_folder, sqlite_url

log: Final = logging.getLogger(__name__)


def create_store(database: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Create MLflow's SQLite file beside its place and move it in, so that a kill leaves no half-made one.

    It is a copy of an empty store that MLflow's own migrations made before, for the same version of MLflow; where there
    is none, or the least doubt about it, the migrations run.

    Args:
        database: Where to; a file that exists is left alone.
        environ: As `template` reads it.
    """
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=database.parent) as scratch:
        made = Path(scratch) / database.name
        kept = template(environ)
        if kept is None or not _copy(kept, made):
            _run_migrations(made)
            _keep(made, kept)
        with closing(sqlite3.connect(made)) as connection:
            # Readers, the UI for one, then never make a delivery wait.
            connection.execute("PRAGMA journal_mode = WAL")
        _move_in(made, database)


def template(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the empty store of the installed MLflow is kept for copying; None if nothing can be kept.

    Its name tells the version and all files of migrations, so that another MLflow never takes it.

    Args:
        environ: As `settings.cache_folder` reads it.
    """
    folder = cache_folder(environ)
    with suppress(OSError, ImportError):
        return folder and folder / f"mlflow-{version('mlflow')}-{_migrations():08x}.db"
    return None


def _migrations() -> int:
    """Return a checksum of the migrations' names and contents, without importing MLflow."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or spec.origin is None:
        raise ImportError("mlflow is not installed")
    folder = Path(spec.origin).parent / "store" / "db_migrations" / "versions"
    files = sorted(folder.glob("*.py"))
    if not files:
        raise FileNotFoundError(folder)
    checksum = 0
    for file in files:
        checksum = zlib.crc32(file.read_bytes(), zlib.crc32(file.name.encode(), checksum))
    return checksum


def _copy(kept: Path, made: Path) -> bool:
    """Copy a template; return whether there is one and it is whole."""
    try:
        shutil.copyfile(kept, made)
        with closing(sqlite3.connect(made)) as connection:
            is_whole = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            runs = connection.execute("SELECT count(*) FROM runs").fetchone()
    except (OSError, sqlite3.Error):
        is_whole, revisions, runs = False, [], None
    if is_whole and len(revisions) == 1 and runs == (0,):
        return True
    made.unlink(missing_ok=True)
    return False


def _keep(made: Path, kept: Path | None) -> None:
    """Keep a copy of a store just made as the template; best effort.

    The default experiment stays out of it, since its artifacts' place is the caller's: MLflow adds it to a store that
    has none when it opens it.
    """
    if kept is None:
        return
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=kept.parent) as scratch:
            copy = Path(shutil.copyfile(made, Path(scratch) / kept.name))
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("DELETE FROM experiments")
                connection.commit()
            copy.replace(kept)
    except (OSError, sqlite3.Error):
        log.debug("the empty store could not be kept for copying", exc_info=True)


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


def analyse_store(database: Path) -> None:
    """Let SQLite count its tables, without which sorting many runs by a metric takes seconds; best effort."""
    if not database.exists():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=5)) as connection:
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")
        connection.commit()
