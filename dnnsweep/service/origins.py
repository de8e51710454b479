"""Requests that a web page makes a browser send: a page of another origin changes nothing here."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from dnnsweep.addresses import is_loopback
from dnnsweep.service.problems import RefusalError, answer

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
#: What a browser says of a request that its user, or a page of this very origin, has made.
_OWN_SITES: Final = ("same-origin", "none")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class OriginGuard:
    """Refuses what a page of another origin makes a browser send.

    A page may send simple requests to any address, and a browser adds a password that its user has typed before. So
    what changes something must come from no page at all, or from one of the service's own origin. Without tokens a page
    might also give its own name the address 127.0.0.1, so the service must be called by a loopback name then.

    Args:
        app: Application that answers requests that are let through.
        is_open: Whether the service accepts everybody.
    """

    def __init__(self, app: ASGIApp, *, is_open: bool) -> None:
        self._app = app
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let it through."""
        if scope["type"] == "http":
            refusal = _refusal_of(scope, is_open=self._is_open)
            if refusal is not None:
                await answer(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal_of(scope: Scope, *, is_open: bool) -> RefusalError | None:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get(b"host", "")
    if is_open and not _is_local(f"//{host}"):
        return RefusalError(
            403, f"without tokens the service answers to 127.0.0.1 and localhost only, got {host[:100]!r}"
        )
    if scope["method"] in _SAFE:
        return None
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", "none")
    if origin is not None and not _is_own(origin, host):
        return RefusalError(403, f"no page of another origin may change anything, got {origin[:100]!r}")
    if site not in _OWN_SITES:
        return RefusalError(403, f"no page of another origin may change anything, got Sec-Fetch-Site {site[:100]!r}")
    return None


def _is_own(origin: str, host: str) -> bool:
    """Return whether an origin has the name and the port by which the service was called.

    A proxy may have taken TLS off, so the scheme is not compared, and the usual port of either may be left out.
    """
    try:
        page = urlsplit(origin)
        usual = _DEFAULT_PORTS[page.scheme]
        called = urlsplit(f"{page.scheme}://{host}")
        ends = [(address.hostname, address.port or usual) for address in (page, called)]
    except (KeyError, ValueError):
        return False
    return page.hostname is not None and ends[0] == ends[1]


def _is_local(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
