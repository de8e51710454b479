"""Connections of the service: how many there are, and how long each may keep it waiting."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

resource: Any = None  # Windows has no such limit
with contextlib.suppress(ImportError):
    import resource

log: Final = logging.getLogger(__name__)
#: The most connections, where the limit of open files allows it.
MAX_CONNECTIONS: Final = 1_000
#: Seconds in which the line and the headers of a request must have come.
HEAD_SECONDS: Final = 10.0
#: Seconds in which a client must take some more of its answer.
SEND_SECONDS: Final = 30.0
#: The most bytes of a request's line and headers.
MAX_HEAD_BYTES: Final = 65_536
#: The most requests that a client may send before it has the answer to the first.
MAX_PIPELINED: Final = 16
#: Seconds after which a warning of the same kind is logged again, with how often it happened meanwhile.
LOG_SECONDS: Final = 10.0
#: The most connections that wait to be accepted.
MAX_BACKLOG: Final = 64
#: The key of a request's scope that says that the service works on it for somebody who may ask.
ADMITTED: Final = "dnnsweep.admitted"
_TIMED_OUT: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Room:
    """What the limit of open files leaves room for.

    Args:
        n_connections: The most connections.
        backlog: The most connections that wait to be accepted.
    """

    n_connections: int
    backlog: int

    @classmethod
    def of(cls, n_files: int) -> Room:
        """Return the room that a limit of open files leaves.

        A connection may need a second file, the model that it is sent. Databases, logs and what else is open need some,
        and connections are accepted several at once before there is time to close others.

        Example:
            >>> Room.of(1024)
            Room(n_connections=320, backlog=64)
        """
        backlog = max(8, min(MAX_BACKLOG, n_files // 16))
        n_free = n_files - min(128, n_files // 2) - 4 * backlog
        return cls(max(backlog, min(MAX_CONNECTIONS, n_free // 2)), backlog)

    @classmethod
    def find(cls) -> Room:
        """Raise the limit of open files as far as it is of use and allowed, and return the room that it leaves."""
        wanted = 2 * MAX_CONNECTIONS + 1_024
        if resource is None:
            return cls.of(wanted)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(
                    resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
                )
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return cls.of(wanted if soft == resource.RLIM_INFINITY else soft)


class Tally:
    """Logs that something happens: at once, and then how often it happened in each `LOG_SECONDS`.

    Args:
        message: Message with one `%d`.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        self._n_times = 0
        self._timer: asyncio.TimerHandle | None = None

    def count(self) -> None:
        """Count one more time."""
        self._n_times += 1
        if self._timer is None:
            self._log()

    def _log(self) -> None:
        self._timer = None
        if self._n_times:
            log.warning(self._message, self._n_times)
            self._n_times = 0
            self._timer = asyncio.get_running_loop().call_later(LOG_SECONDS, self._log)


class Connections:
    """The open connections, oldest first. Whoever comes is let in; when there are too many, another one is closed.

    That is the oldest one on which the service has nothing to do for somebody who may ask: whose request has not come
    yet, is not admitted yet, or whose answer is not taken. So neither half-sent requests nor slow readers keep others
    out.

    Args:
        n_max: The most connections.
        head_seconds: Seconds in which the line and the headers of a request must have come.
        send_seconds: Seconds in which a client must take some more of its answer.
    """

    def __init__(self, n_max: int, head_seconds: float = HEAD_SECONDS, send_seconds: float = SEND_SECONDS) -> None:
        self.n_max = n_max
        self.head_seconds = head_seconds
        self.send_seconds = send_seconds
        self.late = Tally("closed %d connections whose requests did not come, or whose answers were not taken, in time")
        self._dropped = Tally(f"closed %d connections to let others in: there were more than {n_max}")
        self._open: dict[GuardedProtocol, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: GuardedProtocol) -> None:
        """Count a connection, and close another one if there are too many."""
        self._open[connection] = None
        if len(self._open) > self.n_max:
            oldest = next((one for one in self._open if one.is_idle), next(iter(self._open)))
            self.remove(oldest)
            self._dropped.count()
            oldest.transport.abort()

    def remove(self, connection: GuardedProtocol) -> None:
        """Count a connection no longer."""
        self._open.pop(connection, None)


_Protocol: Any = AutoHTTPProtocol  # it depends on what is installed


class GuardedProtocol(_Protocol):  # type: ignore[misc]
    """uvicorn's side of a connection, with limits of time and number.

    uvicorn itself closes a connection on which nothing has come for some seconds after an answer. It waits for ever for
    the first request, for the rest of one, and for a client to take its answer.

    Args:
        guard: The connections that this one belongs to.
        settings: What uvicorn gives to each connection.
    """

    def __init__(self, *, guard: Connections, **settings: Any) -> None:
        super().__init__(**settings)
        self._guard = guard
        self._is_in_head = False
        self._n_head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is done on this connection for somebody who may ask."""
        return self._is_between_requests or self.flow.write_paused or not self.cycle.scope.get(ADMITTED, False)

    @property
    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._start_head_timer()
        self._guard.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._guard.remove(self)
        self._stop_head_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; there is a time for its head from its first byte on."""
        before = self.cycle
        if self._is_between_requests:
            self._start_head_timer()
        super().data_received(data)
        if self.cycle is not before:
            self._stop_head_timer()
        self._n_head_bytes = self._n_head_bytes + len(data) if self._is_in_head else 0
        if self._n_head_bytes > MAX_HEAD_BYTES or len(getattr(self, "pipeline", ())) > MAX_PIPELINED:
            self._close(_TOO_LARGE)

    # httptools calls these two; h11 itself limits the bytes of a head.

    def on_message_begin(self) -> None:
        """Count the bytes of a head from here on."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Count them no longer."""
        self._is_in_head = False
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """Wait for the client to take some of its answer, for which there is a time, too."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._guard.send_seconds, self._abort_late)

    def resume_writing(self) -> None:
        """Stop waiting for that."""
        super().resume_writing()
        self._stop_send_timer()

    def _close_late(self) -> None:
        self._guard.late.count()
        self._close(_TIMED_OUT if self._n_head_bytes else b"")

    def _close(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            if self._is_between_requests:
                self.transport.write(answer)
            self.transport.close()

    def _abort_late(self) -> None:
        self._guard.late.count()
        self.transport.abort()

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._guard.head_seconds, self._close_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None
