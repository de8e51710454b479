"""The ledger's database: how it is opened, its transactions, its schema's version."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError as UrlError
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dnnsweep.errors import LedgerAwayError, LedgerError, SweepNotFoundError
from dnnsweep.ledger import clock, read_only, upgrades
from dnnsweep.ledger.tables import HEAD, LedgerRow

T = TypeVar("T")
log: Final = logging.getLogger(__name__)
#: How long a SQLite transaction waits for another one's lock.
BUSY_SECONDS: Final = 30


#: Notices within seconds that a server is cut off; values in the ledger's address override these.
LIBPQ: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
#: How long to wait before the first and before each later try while the database is away.
FIRST_WAIT_SECONDS: Final = 0.1
MAX_WAIT_SECONDS: Final = 5.0
#: How often to create a sweep that others create and delete at the same time.
CREATE_TRIES: Final = 20
#: Errors of SQLite that may pass by themselves.
PASSING: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL")
#: What to do about an address that its parser understands otherwise than it was meant.
_ENCODE: Final = "write special characters of a password as %XX in DNNSWEEP_DATABASE_URL"
#: SQLite's journal modes other than WAL that a file may be in; an in-memory database has another one.
_ROLLBACK_MODES: Final = ("delete", "truncate", "persist", "off")


class Database:
    """A database at the newest version of the schema.

    Args:
        engine: SQLAlchemy's engine.
        ledger_id: Identifies the ledger among all ledgers.
        patience: Seconds for which `retry_while_away` tries again while the database is away.
        is_read_only: Whether nothing can be written.
    """

    def __init__(self, engine: Engine, ledger_id: str, patience: float = 0.0, *, is_read_only: bool = False) -> None:
        self.engine = engine
        self.is_read_only = is_read_only
        self.ledger_id = ledger_id
        self.patience = patience

    def retry_while_away(self, work: Callable[[], T], *, is_patient: bool = True) -> T:
        """Do work, and try again while the database is away, locked or full.

        Args:
            work: Function that runs whole transactions. It must find out whether one that was cut off was stored.
            is_patient: Whether to try again at all.

        Raises:
            LedgerError: The database was away for longer than `patience`, or something else is wrong.
        """
        until = time.monotonic() + (self.patience if is_patient else 0)
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                return work()
            except LedgerAwayError as error:
                if time.monotonic() + wait > until:
                    raise
                if wait == FIRST_WAIT_SECONDS:
                    log.warning("%s (trying again for %g seconds)", error, self.patience)
            time.sleep(wait)
            wait = min(2 * wait, MAX_WAIT_SECONDS)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database and writes nothing."""
        with _translate_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that may read first: on SQLite it takes the write lock at once."""
        with _translate_errors(), writing(self.engine) as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def retry_on_race(name: str, work: Callable[[], T]) -> T:
    """Do work that may create a sweep, and try again if another process creates or deletes it at the same moment.

    Args:
        name: Name of the sweep.
        work: Function that runs whole transactions.

    Raises:
        LedgerAwayError: Other processes created or deleted it each time.
    """
    for _ in range(CREATE_TRIES):
        try:
            return work()
        except IntegrityError:
            log.debug("sweep %s was created by another process at the same moment", name)
    raise LedgerAwayError(f"sweep {name} keeps being created and deleted by other processes; run the command again")


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:  # a row that exists already is the caller's business
        raise
    except SQLAlchemyError as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        if read_only.is_write_refused(error):
            remedy = "change the permissions, or copy the home to a place that can be written"
            raise LedgerError(f"the ledger can only be read here, not written: {reason}; {remedy}") from error
        kind = LedgerAwayError if _is_away(error) else LedgerError
        raise kind(f"the ledger cannot be read or written now: {reason}; run the command again") from error


def _is_away(error: SQLAlchemyError) -> bool:
    """Return whether a database is away, locked or full, which may pass, and not wrong."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).startswith(PASSING)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that holds the write lock from its begin (SQLite: BEGIN IMMEDIATE)."""
    with engine.connect() as plain:
        connection = plain.execution_options(is_writing=True)
        with connection.begin():
            yield connection


def open_database(url: str, *, create: bool, patience: float = 0.0, may_only_read: bool = False) -> Database:
    """Open the ledger's database and bring its schema up to date.

    Args:
        url: Address of the database, in SQLAlchemy's form.
        create: Whether to create what does not exist.
        patience: Seconds for which a controller's writes are tried again while the database is away.
        may_only_read: Whether to open a SQLite file for reading if it cannot be written.

    Raises:
        SweepNotFoundError: There is no ledger and `create` is false.
        LedgerError: The database cannot be opened, or is of a newer version.
    """
    try:
        engine = _create_engine(url, create=create)
    except (UrlError, NoSuchModuleError) as error:
        raise LedgerError(
            f"the ledger's address must be a database URL: {error}; check DNNSWEEP_DATABASE_URL"
        ) from error
    except ValueError:  # what is no port may be a part of the password, which the cause would show
        raise LedgerError(f"the ledger's address must be a database URL whose port is a number; {_ENCODE}") from None
    except ModuleNotFoundError as error:
        raise LedgerError(f"the ledger's database needs {error.name}; install dnnsweep[postgres]") from error
    try:
        return _open_engine(engine, create=create, patience=patience)
    except DatabaseError as error:
        engine.dispose()
        if may_only_read and read_only.may_be_read_only(error):
            return _open_for_reading(engine, error)
        raise _refusal(engine, error) from error
    except BaseException:
        engine.dispose()
        raise


def _open_for_reading(engine: Engine, refusal: DatabaseError) -> Database:
    """Open a SQLite file that cannot be written, or whose folder cannot.

    Raises:
        LedgerError: It cannot be read either, or its schema would have to be brought up to date first.
    """
    address = _show_address(engine)
    try:
        connect = read_only.connector(Path(address))
    except (sqlite3.Error, OSError):
        raise _refusal(engine, refusal) from refusal
    reader = create_engine(engine.url, creator=connect)
    event.listen(reader, "begin", _begin_sqlite)
    try:
        version = upgrades.read_version(reader)
        upgrades.check_version(version, address)
        _check_head(version, address)
        return Database(reader, _read_ledger_id(reader), is_read_only=True)
    except DatabaseError:
        reader.dispose()
        raise _refusal(engine, refusal) from refusal
    except BaseException:
        reader.dispose()
        raise


def _check_head(version: str | None, address: str) -> None:
    if version is None:
        raise SweepNotFoundError(f"there is no sweep yet in {address}")
    if version != HEAD:
        raise LedgerError(
            f"the ledger {address} must be brought up to date, from schema version {version} to {HEAD}, but cannot be "
            "written; copy the home to a place that can"
        )


def _refusal(engine: Engine, error: DatabaseError) -> LedgerError:
    address = _show_address(engine)
    remedy = f"check {address}"
    if read_only.may_be_read_only(error):
        remedy += ", which must be writable, like its folder, for all that does not only read"
    return LedgerError(f"the ledger cannot be opened: {error.orig}; {remedy}")


def _open_engine(engine: Engine, *, create: bool, patience: float) -> Database:
    version = upgrades.read_version(engine)
    upgrades.check_version(version, _show_address(engine))
    if version is None and not create:
        raise SweepNotFoundError(f"there is no sweep yet in {_show_address(engine)}")
    if version != HEAD:
        _migrate(engine)
    return Database(engine, _read_ledger_id(engine), patience)


def _show_address(engine: Engine) -> str:
    """Return a file's path, or an address without its password and its query, which may hold another one."""
    if engine.url.get_backend_name() == "sqlite" and engine.url.database:
        return engine.url.database
    return engine.url.set(query={}).render_as_string()


def _create_engine(url: str, *, create: bool) -> Engine:
    address = make_url(url)
    if "@" in (address.host or ""):  # its parser takes what follows the first @ for the host
        raise LedgerError(f"the ledger's address must hold one @, before its host; {_ENCODE}")
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    is_sqlite = address.get_backend_name() == "sqlite"
    if is_sqlite and address.database:
        _check_file(Path(address.database), create=create)
    engine = create_engine(
        address,
        json_serializer=partial(json.dumps, separators=(",", ":"), allow_nan=False),
        connect_args=_connect_args(address),
        pool_pre_ping=not is_sqlite,  # a server may have been restarted since
    )
    clock.ask_anew(engine)
    if is_sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_args(address: URL) -> dict[str, Any]:
    if address.get_backend_name() == "sqlite":
        return {"timeout": BUSY_SECONDS}
    if address.get_driver_name() == "psycopg":
        return {name: value for name, value in LIBPQ.items() if name not in address.query}
    return {}


def _check_file(path: Path, *, create: bool) -> None:
    if create:
        _make_folder(path.parent)
    elif not path.exists():
        raise SweepNotFoundError(f"there is no sweep yet in {path.parent}; start one with `dnnsweep run FILE`")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "choose another home with --home"
        raise LedgerError(
            f"the home must be a folder that can be made, got {path}: {error.strerror}; {remedy}"
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver shall not begin transactions on its own
    _use_write_ahead_log(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL mode; SQLite does not wait by itself when others are about to do the same."""
    until = time.monotonic() + BUSY_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] in _ROLLBACK_MODES:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if time.monotonic() > until or error.sqlite_errorname.startswith(read_only.REFUSALS):
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    is_writing = connection.get_execution_options().get("is_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _migrate(engine: Engine) -> None:
    with writing(engine) as connection:
        upgrades.upgrade(connection, _show_address(engine))
        if connection.execute(select(LedgerRow.id)).first() is None:
            connection.execute(insert(LedgerRow).values(id=uuid.uuid4().hex, created_at=clock.now_ms(connection)))


def _read_ledger_id(engine: Engine) -> str:
    with engine.connect() as connection:
        return connection.execute(select(LedgerRow.id)).scalar_one()
