"""The REST API: what `stores.local` does, for other machines. The only package that imports FastAPI and uvicorn."""

from __future__ import annotations

import contextlib
import copy
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from dnnsweep.addresses import is_loopback
from dnnsweep.errors import SettingsError
from dnnsweep.service.app import create_app
from dnnsweep.service.connections import Connections, GuardedProtocol, Room
from dnnsweep.service.quotas import MAX_STREAMS
from dnnsweep.service.token_list import TokenList
from dnnsweep.settings import find_settings, read_limits

__all__ = ["create_app", "new_server", "serve"]

#: Seconds that requests may still take once the service is asked to end.
CLOSING_SECONDS: Final = 5
STARTUP_FAILURE: Final = 3
#: How long a thread may compute before another one has its turn: a tenth of Python's usual time, so that a read that
#: takes long holds up short ones less, which change threads several times.
SWITCH_SECONDS: Final = 0.0005


def serve(host: str, port: int, *, home: Path | None = None) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    Args:
        host: Address to bind; other than localhost only if tokens are set.
        port: Port to listen on.
        home: Home whose sweeps are served; None for the one that the environment names.

    Raises:
        SettingsError: Other machines could reach the service without a token, or a setting is wrong.
        LedgerVersionError: The ledger was written by a newer version of dnnsweep, or by another program.
    """
    accepted = TokenList.of()
    if accepted.is_open and not is_loopback(host):
        raise SettingsError(
            f"the host must be 127.0.0.1 or localhost unless tokens are set, got {host!r}; "
            "set DNNSWEEP_TOKENS=NAME:SECRET:rw, or DNNSWEEP_TOKENS_FILE"
        )
    app = create_app(find_settings(home), read_limits(), accepted)
    app.state.service.check_ledger()
    sys.setswitchinterval(SWITCH_SECONDS)
    room = Room.find()
    logging: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    logging["loggers"]["dnnsweep"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    options = {"backlog": room.backlog, "log_config": logging, "access_log": False}  # `RequestLog` names tokens as well
    server = new_server(app, host, port, Connections(room.n_connections), **options)
    app.state.service.is_closing = lambda: server.should_exit
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def new_server(app: FastAPI, host: str, port: int, guard: Connections, **options: Any) -> uvicorn.Server:
    """Return a server whose connections are limited.

    Args:
        app: The service.
        host: Address to bind.
        port: Port to listen on; 0 for any.
        guard: Limits of the connections. Half of them may follow events.
        options: Other options of uvicorn.
    """
    app.state.service.quotas.max_streams = min(MAX_STREAMS, guard.n_max // 2)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=cast("Any", partial(GuardedProtocol, guard=guard)),  # it is called like a class
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        **options,
    )
    return uvicorn.Server(config)
