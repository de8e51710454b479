"""The REST API: a translation of what `stores.local` does, for other machines. FastAPI's and uvicorn's only door."""

from __future__ import annotations

import contextlib
import copy
import ipaddress
import sys
from pathlib import Path
from typing import Any, Final

from dnnsweep.errors import SettingsError
from dnnsweep.service.app import create_app
from dnnsweep.service.tokens import tokens
from dnnsweep.settings import find_settings, read_limits

__all__ = ["create_app", "serve"]

#: How long requests may go on once the service is asked to end.
CLOSING_SECONDS: Final = 5
STARTUP_FAILURE: Final = 3


def serve(host: str, port: int, *, home: Path | None = None) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    Args:
        host: Where to listen.
        port: Likewise.
        home: Whose sweeps to serve; None for the environment's.

    Raises:
        SettingsError: The service could be reached from elsewhere without a token, or a setting is wrong.
    """
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    known = tokens()
    if not known and not is_loopback(host):
        raise SettingsError(
            f"--host must be 127.0.0.1 or localhost where there are no tokens, got {host!r}; "
            "set DNNSWEEP_TOKENS=NAME:SECRET:rw"
        )
    app = create_app(find_settings(home), read_limits(), known)
    logging: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    logging["handlers"]["access"]["stream"] = "ext://sys.stderr"  # stdout holds data only
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=logging,
            server_header=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
    )
    app.state.desk.is_closing = lambda: server.should_exit
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
