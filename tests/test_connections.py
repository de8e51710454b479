"""Connections that send too slowly, too much or nothing, and too many of them, on a loopback port."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn
from serving import serving, settings_of, sweep
from uvicorn.server import ServerState
from workspace import wait_until

from dnnsweep.service.connections import MAX_CONNECTIONS, MAX_HEAD_BYTES, Connections, GuardedProtocol, Room
from dnnsweep.stores.local import LocalStore

HALF = b"GET /sweeps HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextmanager
def connected(url: str, *, sent: bytes = b"") -> Iterator[socket.socket]:
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 0), timeout=60) as made:
        made.sendall(sent)
        yield made


def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes the connection."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(HALF, b"HTTP/1.1 408", id="half of a request"),
        pytest.param(WHOLE + HALF, b"HTTP/1.1 200", id="half of a second request"),
        pytest.param(WHOLE + b"\r\n", b"HTTP/1.1 200", id="an empty line after a request"),
    ],
)
def test_a_request_that_does_not_come_in_time_is_given_up(tmp_path: Path, sent: bytes, status: bytes) -> None:
    guard = Connections(10, head_seconds=0.1)
    with (
        serving(settings_of(tmp_path), guard=guard, timeout_keep_alive=1) as url,
        connected(url, sent=sent) as connection,
    ):
        assert read_to_end(connection).startswith(status)


def test_a_request_that_comes_byte_by_byte_is_given_up(tmp_path: Path) -> None:
    guard = Connections(10, head_seconds=0.2)
    with serving(settings_of(tmp_path), guard=guard) as url, connected(url) as connection:
        connection.settimeout(0.01)

        def is_closed() -> bool:
            with suppress(TimeoutError):
                connection.sendall(b"G")
                return not connection.recv(1) or True
            return False

        with suppress(ConnectionResetError, BrokenPipeError):
            assert wait_until(is_closed)
        assert wait_until(lambda: len(guard) == 0)


def test_a_request_that_is_answered_slowly_is_not_given_up(tmp_path: Path) -> None:
    with LocalStore.opened(settings_of(tmp_path), create=True) as home:
        home.submit(sweep())
    guard = Connections(10, head_seconds=0.1)
    with (
        serving(settings_of(tmp_path), guard=guard) as url,
        httpx.stream("GET", f"{url}/sweeps/pretend/events", timeout=60) as following,
    ):
        parts = following.iter_text()
        next(parts)
        with connected(url, sent=HALF) as later:
            read_to_end(later)  # it was given up, although it came later

        assert len(guard) == 1


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HALF + b"x" * 4 * MAX_HEAD_BYTES, id="a long header"),
        pytest.param(b"GET /" + b"x" * 4 * MAX_HEAD_BYTES, id="a long path"),
        pytest.param(WHOLE * 500, id="many requests at once"),
    ],
)
def test_a_client_that_sends_too_much_before_it_is_answered_is_cut_off(tmp_path: Path, sent: bytes) -> None:
    guard = Connections(10)
    with serving(settings_of(tmp_path), guard=guard) as url, connected(url) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)
        assert read_to_end(connection).count(b"HTTP/1.1 200") < 100
        assert wait_until(lambda: len(guard) == 0)


def test_half_sent_requests_keep_nobody_out_and_are_logged_in_few_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalStore.opened(settings_of(tmp_path), create=True) as home:
        home.submit(sweep())
    guard = Connections(n_max=8)
    with (
        serving(settings_of(tmp_path), guard=guard) as url,
        caplog.at_level(logging.WARNING, "dnnsweep"),
        httpx.stream("GET", f"{url}/sweeps/pretend/events", timeout=60) as following,
    ):
        parts = following.iter_text()
        next(parts)
        address = httpx.URL(url)
        held = [socket.create_connection((address.host, address.port or 0), timeout=60) for _ in range(100)]
        for connection in held:
            with suppress(OSError):  # it was closed to let others in
                connection.sendall(HALF)
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        assert httpx.get(f"{url}/sweeps/pretend", timeout=60).status_code == 200
        assert len(guard) <= 8
        with LocalStore.opened(settings_of(tmp_path)) as home:
            home.stop("pretend")
        assert "event: end" in "".join(parts)  # the oldest connection, but the service works for it
        for connection in held:
            connection.close()

    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["closed 1 connections to let others in: there were more than 8"]


@pytest.mark.parametrize(
    ("idle", "dropped"),
    [
        pytest.param([False, True, True], 1, id="the oldest that is idle"),
        pytest.param([False, False, False], 0, id="the oldest of all when none is idle"),
    ],
)
def test_whoever_comes_is_let_in_and_the_oldest_makes_room(idle: list[bool], dropped: int) -> None:
    async def scenario() -> None:
        guard, transports = Connections(n_max=2), [FakeTransport() for _ in idle]
        for is_idle, transport in zip(idle, transports, strict=True):
            guard.add(Served(is_idle=is_idle, transport=transport))  # type: ignore[arg-type]

        assert [transport.ended for transport in transports].index(["abort"]) == dropped
        assert len(guard) == 2

    asyncio.run(scenario())


@dataclass(eq=False)
class Served:
    """Stands in for a connection."""

    is_idle: bool
    transport: FakeTransport


class FakeTransport(asyncio.Transport):
    """Says nothing, and remembers how it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return default

    def is_closing(self) -> bool:
        return bool(self.ended)

    def abort(self) -> None:
        self.ended.append("abort")

    def close(self) -> None:
        self.ended.append("close")


def test_a_client_that_does_not_take_its_answer_is_given_up() -> None:
    async def scenario(*, is_taken: bool) -> list[str]:
        guard = Connections(10, send_seconds=0.01)
        config = uvicorn.Config(lambda: None, interface="asgi3", lifespan="off", ws="none", log_config=None)
        made = GuardedProtocol(guard=guard, config=config, server_state=ServerState(), app_state={})
        transport = FakeTransport()
        made.connection_made(transport)
        made.pause_writing()
        if is_taken:
            made.resume_writing()
        await asyncio.sleep(0.05)
        made.connection_lost(None)
        return transport.ended

    assert asyncio.run(scenario(is_taken=False))[0] == "abort"
    assert "abort" not in asyncio.run(scenario(is_taken=True))


@pytest.mark.parametrize(
    ("n_files", "n_connections", "backlog"),
    [(4096, MAX_CONNECTIONS, 64), (1024, 320, 64), (256, 32, 16), (128, 16, 8), (64, 8, 8)],
)
def test_the_limit_of_open_files_leaves_room(n_files: int, n_connections: int, backlog: int) -> None:
    assert Room.of(n_files) == Room(n_connections, backlog)


@pytest.mark.parametrize(("soft", "hard", "raised"), [(1024, 4096, 3024), (1024, 1024, 1024), (5000, 9000, 5000)])
def test_the_limit_of_open_files_is_raised_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr("resource.getrlimit", lambda _: limits[-1])
    monkeypatch.setattr("resource.setrlimit", lambda _, pair: limits.append(pair))

    assert Room.find() == Room.of(raised)
    assert limits[-1] == (raised, hard)
