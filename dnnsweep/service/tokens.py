"""Tokens: who may read and who may write."""

from __future__ import annotations

import hmac
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from dnnsweep.errors import SettingsError
from dnnsweep.service.problems import RefusalError, answer
from dnnsweep.settings import is_sendable

READ: Final = "ro"
WRITE: Final = "rw"
_FORM: Final = "DNNSWEEP_TOKENS must be a list NAME:SECRET:rw,NAME:SECRET:ro with secrets of visible ASCII characters"
_BEARER: Final = HTTPBearer(auto_error=False, description="A token of `DNNSWEEP_TOKENS`.")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the service accepts.

    Args:
        name: Name of its owner.
        secret: Secret that requests send.
        may_write: Whether its owner may change anything.
    """

    name: str
    secret: str = field(repr=False)
    may_write: bool


def tokens(environ: Mapping[str, str] = os.environ) -> tuple[Token, ...]:
    """Read the accepted tokens; none if the variable is not set.

    Args:
        environ: Environment variables; `DNNSWEEP_TOKENS` holds `NAME:SECRET:rw` or `NAME:SECRET:ro`, separated by
            commas.

    Raises:
        SettingsError: The variable is empty or malformed. The message reveals no secret.

    Example:
        >>> tokens({"DNNSWEEP_TOKENS": "anna:s3cret:rw,wall:sh0wn:ro"})
        (Token(name='anna', may_write=True), Token(name='wall', may_write=False))
    """
    text = environ.get("DNNSWEEP_TOKENS")
    if text is None:
        return ()
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:  # somebody meant to keep others out
        raise SettingsError(f"{_FORM}, got none; unset it to accept everybody on this machine")
    return tuple(_parse_token(entry, position) for position, entry in enumerate(entries, 1))


def _parse_token(entry: str, position: int) -> Token:
    name, _, rest = entry.partition(":")
    secret, _, access = rest.rpartition(":")
    if not name or not secret or access not in (READ, WRITE) or not is_sendable(secret):
        raise SettingsError(f"{_FORM}, got another form in entry {position}")
    return Token(name, secret, access == WRITE)


def find_token(accepted: Sequence[Token], secret: str) -> Token | None:
    """Return the token that has a secret; all are compared, each in constant time."""
    sent, match = secret.encode(errors="surrogateescape"), None
    for token in accepted:
        if hmac.compare_digest(token.secret.encode(), sent):
            match = token
    return match


async def require_reader(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Token | None:
    """Return the token of a request that may read; None if the service accepts everybody.

    Raises:
        RefusalError: The request has no accepted token.
    """
    accepted: Sequence[Token] = request.app.state.service.tokens
    if not accepted:
        return None
    token = None if credentials is None else find_token(accepted, credentials.credentials)
    if token is None:
        got = "another one" if "authorization" in request.headers else "none"
        raise RefusalError(401, f"an accepted token must be sent, got {got}; set DNNSWEEP_TOKEN")
    return token


async def require_writer(request: Request, token: Annotated[Token | None, Depends(require_reader)]) -> None:
    """Check that a request may change something.

    Raises:
        RefusalError: The token of the request may only read.
    """
    if token is not None and not token.may_write:
        raise RefusalError(403, f"the token of {token.name} may only read; {request.method} needs one of kind {WRITE}")


class LocalOnly:
    """Refuses, where there are no tokens, what a web page makes a browser on this machine send.

    A page may send simple requests to any address, and may give its own name the address 127.0.0.1. So the service must
    be called by a loopback name, and what changes something must not come from another origin.

    Args:
        app: Application that answers requests that are let through.
        is_open: Whether the service accepts everybody.
    """

    def __init__(self, app: ASGIApp, *, is_open: bool) -> None:
        self._app = app
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or let it through."""
        if scope["type"] == "http" and self._is_open:
            refusal = _refusal_of(scope)
            if refusal is not None:
                await answer(refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal_of(scope: Scope) -> RefusalError | None:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    host, origin = headers.get(b"host", b"").decode("latin-1"), headers.get(b"origin", b"").decode("latin-1")
    if not _is_local(f"//{host}"):
        return RefusalError(
            403, f"without tokens the service answers to 127.0.0.1 and localhost only, got {host[:100]!r}"
        )
    if origin and scope["method"] not in _SAFE and not _is_local(origin):
        return RefusalError(403, f"without tokens no other site may change anything, got {origin[:100]!r}")
    return None


def _is_local(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
