"""The embedded store's file: which one it is, whether it is whole, and how one that is not is moved aside."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

from dnnsweep.settings import Settings, sqlite_url

#: A SQLite file, its write-ahead log and the log's index: a log that meets another file would destroy it.
PARTS: Final = ("", "-wal", "-shm")
#: What is wrong with a file of no bytes.
EMPTY: Final = "the file is empty"
#: SQLite's errors that say something about the file itself, and not about a lock or a disk.
_FLAWS: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")
Identity = tuple[int, int]
# MLflow keeps the connections to an address as long as the process lives, also when another file has taken the place.
_opened: Final[dict[Path, list[Identity]]] = {}


def identify(database: Path) -> Identity | None:
    """Return what tells a file from another one that takes its place; None if there is no file."""
    try:
        status = database.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def fresh_url(database: Path, identity: Identity | None) -> str:
    """Return an address of a file that MLflow has used for no other file of the same name in this process."""
    seen = _opened.setdefault(database, [])
    if identity is not None and identity not in seen:
        seen.append(identity)
    n_before = 0 if identity is None else seen.index(identity)
    # Not by `Path`, which would leave the dots out.
    return (
        sqlite_url(database)
        if n_before == 0
        else sqlite_url(database).replace(f"/{database.name}", f"{'/.' * n_before}/{database.name}")
    )


def describe_flaw(database: Path, seconds: float = 5.0) -> str | None:
    """Return what is wrong with a file that should be a store; None if it is whole, locked, or not there.

    Args:
        database: The file.
        seconds: How long to wait for whoever has locked it.
    """
    if not database.exists():
        return None
    if database.stat().st_size == 0:
        return EMPTY
    try:
        with closing(sqlite3.connect(database, timeout=seconds)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            for table in ("alembic_version", "experiments", "runs"):
                connection.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608  a constant
    except sqlite3.DatabaseError as error:
        return str(error) if error.sqlite_errorname.startswith(_FLAWS) else None
    return None if found == "ok" else " ".join(str(found).split())


def find_loss(settings: Settings) -> str | None:
    """Return why the embedded store lacks what was put into it; None if nothing is wrong, or if it is not embedded."""
    if not settings.is_tracking_embedded:
        return None
    if not settings.tracking_file.exists():
        return f"MLflow's store {settings.tracking_file} is not there"
    flaw = describe_flaw(settings.tracking_file)
    return None if flaw is None else f"MLflow's store {settings.tracking_file} is corrupt: {flaw}"


def set_aside(database: Path) -> Path:
    """Move a file, with what belongs to it, to a name that no other has; return the name."""
    aside = _free_name(database)
    for part in PARTS:
        source = database.with_name(database.name + part)
        if source.exists():
            source.rename(aside.with_name(aside.name + part))
    return aside


def _free_name(database: Path) -> Path:
    stem = f"{database.name}.aside-{datetime.now(tz=UTC).date().isoformat()}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(
        path
        for name in names
        if not any((path := database.with_name(name)).with_name(name + part).exists() for part in PARTS)
    )


def is_writable(database: Path) -> bool:
    """Return whether SQLite can write a file, or create it, for which it needs the folder as well."""
    return os.access(database.parent, os.W_OK) and (os.access(database, os.W_OK) or not database.exists())
