"""Brings the schema of an older database up to date, after a copy was kept; refuses a newer one."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from dnnsweep.errors import LedgerError, LedgerVersionError
from dnnsweep.ledger.tables import HEAD

log: Final = logging.getLogger(__name__)
#: How many digits the number of a version has; MLflow's tables, which name theirs in the same place, have other names.
N_DIGITS: Final = len(HEAD)


def read_version(engine: Engine) -> str | None:
    """Return the version of a database's schema; None for an empty database."""
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except (OperationalError, ProgrammingError) as error:
        if "alembic_version" in str(error.orig):
            return None
        raise


def check_version(version: str | None, address: str) -> None:
    """Check that this program may open a database.

    Args:
        version: The version of its schema; None for an empty database.
        address: Where it is, without its password.

    Raises:
        LedgerVersionError: It is of a newer version, or belongs to another program.
    """
    if version is None:
        return
    if len(version) != N_DIGITS or not version.isdigit():
        raise LedgerVersionError(
            f"the database at {address} is no ledger: its tables are of version {version}, which dnnsweep never had; "
            "check DNNSWEEP_DATABASE_URL"
        )
    if version > HEAD:
        raise LedgerVersionError(
            f"the ledger at {address} was made by a newer dnnsweep: its schema has version {version}, this dnnsweep "
            f"({_own_version()}) knows versions up to {HEAD}; upgrade dnnsweep, or use another home"
        )


def upgrade(connection: Connection, address: str) -> None:
    """Bring a database up to the newest version in a transaction that holds the write lock.

    A process that waited for the lock finds the work done. A database that holds something is copied first.

    Args:
        connection: In a transaction that writes; whoever opened it commits, or undoes it after an error.
        address: Where the database is, without its password.

    Raises:
        LedgerVersionError: It is of a version that this program does not know.
        LedgerError: It cannot be copied or upgraded.
    """
    from dnnsweep.ledger import migrations

    migrations.lock(connection)
    version = migrations.current(connection)
    check_version(version, address)
    if version == HEAD:
        return
    copy = None if version is None else keep_copy(connection)
    try:
        migrations.upgrade(connection)
    except SQLAlchemyError as error:
        if copy is not None:
            copy.unlink(missing_ok=True)  # the transaction is undone; whoever tries again makes another copy
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise LedgerError(
            f"the ledger at {address} cannot be upgraded from schema version {version} to {HEAD}: {reason}; it was "
            "left as it was"
        ) from error
    if version is not None:
        kept = "" if copy is None else f"; {copy} holds it as it was"
        log.warning("the ledger was upgraded from schema version %s to %s%s", version, HEAD, kept)


def keep_copy(connection: Connection) -> Path | None:
    """Copy a SQLite database to a file beside it, without a moment at which the file is there but not whole.

    Args:
        connection: Holds the database's write lock and has written nothing yet.

    Returns:
        The copy; None for a server's database, or for one in memory.

    Raises:
        LedgerError: The copy cannot be written.
    """
    file = _file_of(connection)
    if file is None:
        return None
    partial = file.with_name(f"{file.name}.copying")
    try:
        _copy(file, partial)
        copy = _free_name(file)
        partial.rename(copy)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise LedgerError(
            f"before its schema is upgraded, the ledger {file} must be copied, which failed: {error}; "
            "make room beside it, or make its folder writable"
        ) from error
    return copy


def _file_of(connection: Connection) -> Path | None:
    if connection.dialect.name != "sqlite":
        return None
    name = connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar()
    return Path(name) if name else None


def _copy(file: Path, partial: Path) -> None:
    partial.unlink(missing_ok=True)  # of a process that was killed while it copied
    partial.touch(mode=0o600)
    source = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
    with closing(source), closing(sqlite3.connect(partial)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # all of it in one file
    shutil.copymode(file, partial)


def _free_name(file: Path) -> Path:
    """Return a name that no file has; only the holder of the write lock asks."""
    today = datetime.now(tz=UTC).date().isoformat()
    stem = f"{file.name}.before-v{HEAD}-{today}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(path for name in names if not (path := file.with_name(name)).exists())


def _own_version() -> str:
    from importlib.metadata import version

    return version("dnnsweep")
