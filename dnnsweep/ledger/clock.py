"""Clocks: the one by which a ledger's times are stored, and this process's own, by which it measures how long."""

from __future__ import annotations

import sys
import time
from typing import Final

from sqlalchemy import Connection, Engine, event, text

_SERVER_TIME: Final = text("SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)")
_KEY: Final = "dnnsweep time"


def now_ms(connection: Connection) -> int:
    """Return the time in milliseconds since 1970 (UTC).

    On PostgreSQL it is the server's, asked for once in a transaction, so that hosts need not agree on the time. SQLite
    has no other time than this host's.
    """
    if connection.dialect.name != "postgresql":
        return time.time_ns() // 1_000_000
    if _KEY not in connection.info:
        connection.info[_KEY] = int(connection.execute(_SERVER_TIME).scalar_one())
    return int(connection.info[_KEY])


def ask_anew(engine: Engine) -> None:
    """Let each transaction of an engine ask for the time itself."""
    event.listen(engine, "begin", lambda connection: connection.info.pop(_KEY, None))


class Moment:
    """A moment in this process, which is stored in a transaction that may come later."""

    def __init__(self) -> None:
        self._at = boot_seconds()

    def ms(self, connection: Connection) -> int:
        """Return the moment by the clock of `now_ms`, whatever this host's clock was set to meanwhile."""
        return now_ms(connection) - round((boot_seconds() - self._at) * 1000)


def boot_seconds() -> float:
    """Return seconds since this machine was started, those in which it slept included, where the system counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()
