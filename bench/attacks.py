"""Attacks on the service, and what they cost those who only read: `python -m bench.attacks NAME PORT SECONDS`."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import quote

from bench import numbers
from bench.numbers import spread, verdict
from bench.report import table

N_READERS: Final = 8
READERS: Final = [f"reader-{number}-s3cret" for number in range(N_READERS)]
ATTACKER: Final = "attacker-s3cret"
WRITER: Final = "attacking-writer-s3cret"
TOKENS: Final = ",".join(
    [f"eve:{ATTACKER}:ro", f"mallory:{WRITER}:rw", *(f"reader-{n}:{secret}:ro" for n, secret in enumerate(READERS))]
)
#: A sweep that waits, because there is no worker.
SWEEP: Final = "/sweeps/sweep-0"
N_HALF_SENT: Final = 3_000
N_STREAMS: Final = 200
N_CLIENTS: Final = 16
PAUSE_SECONDS: Final = 0.1
#: How much longer the median read may take under attack.
GOAL: Final = 2.0
#: Clients who ask while the database does not answer.
N_FROZEN: Final = 12
#: Conditions as long and as costly as the service takes.
TEXTS: Final = "optimizer in [{}]".format(", ".join(["'adam'"] * 200))
NUMBERS: Final = " or ".join(
    f"number in [{', '.join(str(7 * part + item) for item in range(6))}]" for part in range(49)
)
COMPARED: Final = " or ".join(f"l2 == 0.00{part}" for part in range(50))

Attack = Callable[[int, float], None]


class Found(NamedTuple):
    """What readers and a health check saw.

    Args:
        reads: Milliseconds of each read.
        health: Milliseconds of each answer of `/healthz`.
        n_failures: How many reads and health checks failed.
    """

    reads: list[float]
    health: list[float]
    n_failures: int


class Measured(NamedTuple):
    """What readers saw without and with an attack, in turns."""

    quiet: list[Found]
    under: list[Found]

    @staticmethod
    def medians(found: Sequence[Found]) -> list[float]:
        """Return the median read of each turn."""
        return [statistics.median(one.reads) for one in found]

    @property
    def ratios(self) -> list[float]:
        """Return how much longer the median read took under attack, turn by turn."""
        return numbers.ratios(self.medians(self.under), self.medians(self.quiet))

    @property
    def health(self) -> list[float]:
        """Return the milliseconds of each answer of `/healthz` under attack."""
        return [one for found in self.under for one in found.health]

    @property
    def n_failures(self) -> int:
        """Return how many reads and health checks failed under attack."""
        return sum(found.n_failures for found in self.under)


def _ask(port: int, token: str, path: str, body: bytes | None = None, *, timeout: float = 60) -> int:
    """Get what is at a path, or send a body there; return the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/yaml"}
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def _repeat(ask: Callable[[int], object], n_clients: int = N_CLIENTS) -> Attack:
    """Return an attack of clients who ask again as soon as they have an answer."""

    def attack(port: int, seconds: float) -> None:
        until = time.monotonic() + seconds

        def client() -> None:
            while time.monotonic() < until:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    ask(port)

        _in_threads([client] * n_clients)

    return attack


def _in_threads(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send_halves(port: int, seconds: float) -> None:
    """Keep so many half-sent requests open, as far as the service allows."""
    until = time.monotonic() + seconds
    held: list[socket.socket] = []
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", port), timeout=5))
            held[-1].sendall(b"GET /sweeps HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ")
        if len(held) >= N_HALF_SENT:
            for old in held[:100]:
                old.close()
            del held[:100]
            time.sleep(0.1)


def _follow_idly(port: int, seconds: float) -> None:
    """Ask for the events of a sweep that nothing happens to, again and again, and keep what is answered open."""
    until = time.monotonic() + seconds
    lines = f"GET {SWEEP}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {ATTACKER}\r\n\r\n"
    held = []
    for _ in range(N_STREAMS):
        held.append(socket.create_connection(("127.0.0.1", port), timeout=5))
        held[-1].sendall(lines.encode())
    time.sleep(max(0.0, until - time.monotonic()))


def _trials(where: str) -> str:
    return f"{SWEEP}/trials?limit=1&where={quote(where)}"


ATTACKS: Final[dict[str, tuple[str, Attack]]] = {
    "halves": (f"{N_HALF_SENT:,} half-sent requests without a token, kept up", _send_halves),
    "texts": (
        f"{N_CLIENTS} clients with a `where` of 200 texts in a list",
        _repeat(lambda port: _ask(port, ATTACKER, _trials(TEXTS))),
    ),
    "numbers": (
        f"{N_CLIENTS} clients with a `where` of 49 lists of numbers",
        _repeat(lambda port: _ask(port, ATTACKER, _trials(NUMBERS))),
    ),
    "changing": (
        f"{N_CLIENTS} clients with 50 comparisons of a hyperparameter, another `where` each time",
        _repeat(lambda port: _ask(port, ATTACKER, _trials(f"{COMPARED}{random.randrange(10**9)}"))),  # noqa: S311
    ),
    "streams": (f"{N_STREAMS} idle streams of one queued sweep", _follow_idly),
    "pages": (
        f"{N_CLIENTS} clients with pages of 1,000 trials",
        _repeat(lambda port: _ask(port, ATTACKER, f"{SWEEP}/trials?limit=1000")),
    ),
    "guesses": (f"{N_CLIENTS} clients with wrong tokens", _repeat(lambda port: _ask(port, "wrong", "/sweeps"))),
    "bodies": (
        f"{N_CLIENTS} clients that submit 190,000 bytes of YAML that is no sweep file",
        _repeat(lambda port: _ask(port, WRITER, "/sweeps", b"- [a, b]\n" * 21_000)),
    ),
}


def measure(name: str, port: int, paths: list[str], n_pairs: int, seconds: float) -> Measured:
    """Let readers ask, in turns without and with an attack, so that other work on the machine meets both alike."""
    quiet, under = [], []
    for _ in range(n_pairs):
        quiet.append(read(port, paths, seconds))
        with _attacked(name, port, seconds):
            under.append(read(port, paths, seconds))
    return Measured(quiet, under)


@contextlib.contextmanager
def _attacked(name: str, port: int, seconds: float) -> Iterator[None]:
    """Attack from another session, with which Linux shares the processors as with another machine."""
    begin_seconds = 1.0
    command = [sys.executable, "-m", "bench.attacks", name, str(port), str(seconds + begin_seconds)]
    with subprocess.Popen(command, start_new_session=True) as process:
        time.sleep(begin_seconds)
        yield
        process.wait()


def ask_at_once(port: int, path: str = SWEEP) -> list[tuple[float, int]]:
    """Let several clients of one token ask at once; return the seconds and the status of each answer."""
    found = []

    def client() -> None:
        began = time.perf_counter()
        status = _ask(port, READERS[0], path, timeout=120)
        found.append((time.perf_counter() - began, status))

    _in_threads([client] * N_FROZEN)
    return found


def table_of(found: Mapping[str, Measured]) -> str:
    """Return what the attacks cost as a table."""
    rows = [
        [
            ATTACKS[name][0],
            spread(measured.medians(measured.quiet)),
            spread(measured.medians(measured.under)),
            spread(measured.ratios),
            f"{max(measured.health):.3g}",
            str(measured.n_failures),
        ]
        for name, measured in found.items()
    ]
    head = ["attack", "median read, ms", "under attack", "ratio", "slowest `/healthz`, ms", "failed"]
    worst = max(statistics.median(measured.ratios) for measured in found.values())
    goal = ["goal", "", "", verdict([worst], GOAL, is_limit=True), "", ""]
    return table(head, [*rows, goal])


def read(port: int, paths: list[str], seconds: float) -> Found:
    """Let readers ask, each with a token and pauses of its own; a health check looks ten times a second."""
    found, failures = Found([], [], 0), list[object]()
    until = time.monotonic() + seconds

    def ask(secret: str, choices: list[str], milliseconds: list[float]) -> None:
        chance = random.Random(secret)  # noqa: S311  likewise
        while time.monotonic() < until:
            time.sleep(chance.uniform(0, 2 * PAUSE_SECONDS))
            began = time.perf_counter()
            try:
                status = _ask(port, secret, chance.choice(choices), timeout=20)
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)
            else:
                milliseconds.append((time.perf_counter() - began) * 1000)
                failures.extend([status] if status != 200 else [])

    readers = [partial(ask, secret, paths, found.reads) for secret in READERS]
    _in_threads([partial(ask, "nobody", ["/healthz"], found.health), *readers])
    return found._replace(n_failures=len(failures))


if __name__ == "__main__":
    ATTACKS[sys.argv[1]][1](int(sys.argv[2]), float(sys.argv[3]))
    os._exit(0)  # sockets that are still open need no farewell
