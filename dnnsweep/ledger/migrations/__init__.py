"""The schema's history, one module a version; Alembic's only door."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from dnnsweep.errors import LedgerError


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "dnnsweep:ledger/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the newest version."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def upgrade(connection: Connection) -> None:
    """Bring a database up to the newest version, inside the caller's transaction.

    Raises:
        LedgerError: The database is of a version that this dnnsweep does not know.
    """
    if connection.dialect.name == "postgresql":  # two processes may come to an empty database at once
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('dnnsweep schema'))"))
    try:
        command.upgrade(_config(connection), "head")
    except CommandError as error:
        raise LedgerError(f"the ledger is of another version than this dnnsweep: {error}; upgrade dnnsweep") from error
