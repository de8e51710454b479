"""What holds for every answer: headers for browsers, and a line in the log."""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dnnsweep.redaction import redact

log: Final = logging.getLogger(__name__)
#: What a browser may do with an answer: show it, and nothing else. A route may say otherwise.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class BrowserHeaders:
    """Adds the headers by which browsers protect their user, unless a route has set its own.

    Args:
        app: Application that answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class RequestLog:
    """Logs each answer with the name of the token that asked for it, never with its secret.

    Args:
        app: Application that answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            scope.setdefault("state", {})  # where `credentials` leaves the name

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                log.info("%s", _line(scope, message["status"]))
            await send(message)

        await self._app(scope, receive, send_and_log)


def _line(scope: Scope, status: int) -> str:
    host, port = scope.get("client") or ("-", 0)
    name = scope["state"].get("token_name", "-")
    query = scope["query_string"].decode("latin-1")
    path = quote(scope["path"]) + (f"?{query}" if query else "")
    return redact(f'{host}:{port} {name} "{scope["method"]} {path} HTTP/{scope.get("http_version", "1.1")}" {status}')
