"""A service in this process, on a loopback port, and a home with sweeps for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from workspace import SWEEP, wait_until

from dnnsweep.service.app import create_app
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
def serving(settings: Settings, tokens: Sequence[Token] = (), limits: Limits | None = None) -> Iterator[str]:
    """Yield the address of a service of these sweeps."""
    app = create_app(settings, limits or Limits(), tokens)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
