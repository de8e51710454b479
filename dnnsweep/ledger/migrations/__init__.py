"""The schema's history, one module a version; Alembic's only door."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from dnnsweep.errors import LedgerVersionError


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "dnnsweep:ledger/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the newest version."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def lock(connection: Connection) -> None:
    """Keep other processes from changing the schema until the caller's transaction ends; SQLite's does so anyway."""
    if connection.dialect.name == "postgresql":  # two processes may come to an empty database at once
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('dnnsweep schema'))"))


def current(connection: Connection) -> str | None:
    """Return the version of a database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, version: str = "head") -> None:
    """Bring a database up to a version, inside the caller's transaction.

    Args:
        connection: In a transaction that writes.
        version: The version's number, or `head` for the newest one.

    Raises:
        LedgerVersionError: The database is of a version that this dnnsweep does not know.
    """
    try:
        command.upgrade(_config(connection), version)
    except CommandError as error:
        raise LedgerVersionError(
            f"the ledger is of another version than this dnnsweep: {error}; upgrade dnnsweep"
        ) from error
