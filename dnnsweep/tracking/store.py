"""The embedded tracking store: one SQLite file, copied from one that was migrated once for each version of MLflow."""

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
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from dnnsweep.errors import TrackingError
from dnnsweep.settings import Settings, cache_folder, sqlite_url
from dnnsweep.tracking.store_file import PARTS, set_aside

log: Final = logging.getLogger(__name__)


def create_store(database: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Create MLflow's SQLite file in a folder beside it and move it in, so that a kill leaves no half-made file.

    Returns whether it was created: a file that exists is left alone.

    The file is a copy of an empty store that MLflow's own migrations made earlier, for the same version of MLflow. If
    there is none, or the least doubt about it, the migrations run.

    Args:
        database: The file to create.
        environ: Environment variables that say where the empty store is kept; see `template_path`.
    """
    if database.exists():
        return False
    database.parent.mkdir(parents=True, exist_ok=True)
    if any(database.with_name(database.name + part).exists() for part in PARTS):
        set_aside(database)  # the log of a file that is gone
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=database.parent) as scratch:
        created = Path(scratch) / database.name
        template = template_path(environ)
        if template is None or not _copy(template, created):
            _run_migrations(created)
            _keep(created, template)
        with closing(sqlite3.connect(created)) as connection:
            # So that readers, the UI for example, never make a delivery wait.
            connection.execute("PRAGMA journal_mode = WAL")
        _move_in(created, database)
    return True


@contextmanager
def readable_copy(settings: Settings) -> Iterator[Settings]:
    """Copy the embedded store, if there is one, for reading: MLflow writes when it opens a store.

    Yields:
        The settings, with the address of the copy, which is gone afterwards.

    Raises:
        TrackingError: The store cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="dnnsweep-mlflow-") as folder:
        copy = Path(folder) / settings.tracking_file.name
        try:
            for part in PARTS[:2]:  # SQLite makes the index of the log anew
                source = settings.tracking_file.with_name(settings.tracking_file.name + part)
                if source.exists():
                    shutil.copyfile(source, copy.with_name(copy.name + part))
        except OSError as error:
            rule = f"MLflow's store must be readable, got {settings.tracking_file}: {error.strerror}"
            raise TrackingError(f"{rule}; change its permissions") from error
        create_store(copy)
        yield replace(settings, tracking_uri=sqlite_url(copy))


def template_path(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the empty store of the installed MLflow is kept for copying; None if nothing can be kept.

    The name depends on the version and on all files of migrations, so that another MLflow never takes it.

    Args:
        environ: Environment variables; see `settings.cache_folder`.
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


def _copy(template: Path, created: Path) -> bool:
    """Copy the template; return whether there is one and it is whole."""
    try:
        shutil.copyfile(template, created)
        with closing(sqlite3.connect(created)) as connection:
            is_whole = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
            runs = connection.execute("SELECT count(*) FROM runs").fetchone()
    except (OSError, sqlite3.Error):
        is_whole, revisions, runs = False, [], None
    if is_whole and len(revisions) == 1 and runs == (0,):
        return True
    created.unlink(missing_ok=True)
    return False


def _keep(created: Path, template: Path | None) -> None:
    """Keep a copy of a store just created as the template; best effort.

    The default experiment is left out, because its artifacts lie in the home of this store. MLflow adds it to a store
    that has none.
    """
    if template is None:
        return
    try:
        template.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=template.parent) as scratch:
            copy = Path(shutil.copyfile(created, Path(scratch) / template.name))
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("DELETE FROM experiments")
                connection.commit()
            copy.replace(template)
    except (OSError, sqlite3.Error):
        log.debug("the empty store could not be kept for copying", exc_info=True)


def _move_in(created: Path, database: Path) -> None:
    try:
        os.link(created, database)
    except FileExistsError:  # another process was faster, and has perhaps put runs into it
        return
    except OSError:  # a file system without links
        created.rename(database)


#: The process ends when its standard input does, so that it does not outlive the process that waits for it.
_MIGRATION: Final = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
import mlflow
mlflow.MlflowClient(tracking_uri=sys.argv[1])
"""


def _run_migrations(database: Path) -> None:
    # In a process of its own, because migrations write log lines and would hold up the other threads.
    command = [sys.executable, "-c", _MIGRATION, sqlite_url(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:  # noqa: S603
        output = process.stderr.read() if process.stderr else b""
    if process.returncode:
        lines = output.decode(errors="replace").strip().splitlines()
        reason = next((line for line in lines if "Error" in line), "no reason was given")
        raise RuntimeError(f"creating the store failed: {reason}")


def analyse_store(database: Path) -> None:
    """Let SQLite count its tables; best effort. Without that, sorting many runs by a metric takes seconds."""
    if not database.exists():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=5)) as connection:
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")
        connection.commit()
