"""Deadlines for statements on PostgreSQL, kept even if the server has stopped answering."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from psycopg import Connection

#: How much longer than the server itself to wait for it to say that it has cancelled a statement.
ANSWER_SECONDS: Final = 1.0


def limit_statements(engine: Engine, seconds: float) -> None:
    """Let each later statement on PostgreSQL take at most some seconds; SQLite has no server that could be waited for.

    The server cancels a statement that takes longer. If it says nothing at all, because its machine or its processes
    hang, the connection is given up a moment later. TCP does not notice that: the kernel still confirms what is sent.

    Args:
        engine: Engine of the database; its open connections are closed.
        seconds: How long a statement may take.
    """
    if engine.dialect.driver != "psycopg":
        return
    connection_class = _bounded_connection(seconds + ANSWER_SECONDS)

    def connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> Any:
        connection = connection_class.connect(*arguments, **{**named, "autocommit": True})
        connection.execute(f"SET statement_timeout = {round(seconds * 1000)}")  # in a transaction, a rollback undoes it
        connection.autocommit = False
        return connection

    event.listen(engine, "do_connect", connect)
    engine.dispose()


def _bounded_connection(seconds: float) -> type[Connection[Any]]:
    """Return a class of connections that are closed when the server does not answer for some seconds."""
    import psycopg

    class BoundedConnection(psycopg.Connection[Any]):
        def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
            def give_up() -> None:
                self.pgconn.finish()
                raise psycopg.OperationalError(f"the database has not answered for {seconds:g} seconds")

            return super().wait(_until(gen, time.monotonic() + seconds, give_up), *arguments, **named)

    return BoundedConnection


def _until(gen: Generator[Any, Any, Any], deadline: float, give_up: Callable[[], None]) -> Generator[Any, Any, Any]:
    """Yield and return what a generator does; psycopg resumes it several times a second, even if nothing has come."""
    ready = None
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
        ready = yield wanted
        if not ready and time.monotonic() > deadline:
            give_up()
