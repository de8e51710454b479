"""A service in this process, on a loopback port, and a home with sweeps for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workspace import SWEEP, wait_until

from dnnsweep.service import create_app, new_server
from dnnsweep.service.connections import MAX_CONNECTIONS, Connections
from dnnsweep.service.tokens import Token
from dnnsweep.settings import Limits, Settings, find_settings

WRITER = Token("anna", "wr1te-s3cret", may_write=True)
READER = Token("wall", "r3ad-s3cret", may_write=False)


def settings_of(home: Path, url: str | None = None) -> Settings:
    environ = {
        "DNNSWEEP_TRAINER": "scripted_trainer:ScriptedTrainer",
        **({} if url is None else {"DNNSWEEP_DATABASE_URL": url}),
    }
    return find_settings(home, environ)


def sweep(name: str = "pretend", **changes: Any) -> dict[str, Any]:
    return {**SWEEP, "name": name, **changes}


@contextmanager
def serving(
    settings: Settings,
    tokens: Sequence[Token] = (),
    limits: Limits | None = None,
    guard: Connections | None = None,
    **options: Any,
) -> Iterator[str]:
    """Yield the address of a service of these sweeps."""
    app = create_app(settings, limits or Limits(), tokens)
    guard = Connections(MAX_CONNECTIONS) if guard is None else guard
    server = new_server(app, "127.0.0.1", 0, guard, log_config=None, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
