"""SQLite files that this process may read but not write: on a medium or mount for reading, or of somebody else.

A file in WAL mode is read with the help of an index beside it, which SQLite creates. Where it cannot, the file is read
as one that nobody changes; if a log lies beside it, whose changes would then be missed, a copy of both is read.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

#: SQLite's errors where a file, or its folder, cannot be written.
REFUSALS: Final = ("SQLITE_READONLY", "SQLITE_CANTOPEN")


def may_be_read_only(error: DBAPIError) -> bool:
    """Return whether a SQLite file could not be opened because it, or its folder, cannot be written."""
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith(REFUSALS)


def is_write_refused(error: SQLAlchemyError) -> bool:
    """Return whether SQLite has refused to write a file that can be read."""
    return str(getattr(getattr(error, "orig", None), "sqlite_errorname", "")).startswith("SQLITE_READONLY")


def connector(file: Path) -> Callable[[], sqlite3.Connection]:
    """Return a function that connects to a file for reading; each connection does so in the same way."""
    log = file.with_name(f"{file.name}-wal")
    address, folder = f"file:{quote(str(file.absolute()))}?mode=ro", None
    if not _is_readable(address):  # nobody has made its index
        if log.exists() and log.stat().st_size > 0:
            folder = tempfile.mkdtemp(prefix="dnnsweep-ledger-")
            address = f"file:{quote(_copy(file, log, Path(folder)))}?mode=ro"
        else:
            address += "&immutable=1"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)

    if folder is not None:
        weakref.finalize(connect, shutil.rmtree, folder, ignore_errors=True)
    return connect


def _copy(file: Path, log: Path, folder: Path) -> str:
    for source in (file, log):
        shutil.copyfile(source, folder / source.name)
    return str(folder / file.name)


def _is_readable(address: str) -> bool:
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        return False
    return True
