"""Who sends a request, and whether the request may be sent: what routes depend on."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dnnsweep.service.problems import RefusalError
from dnnsweep.service.state import ServiceState
from dnnsweep.service.tokens import WRITE, Token

_BEARER: Final = HTTPBearer(auto_error=False, description="A token of the service's operator.")
#: Lets a browser ask for a name and a password; any name will do, the password is the token's secret.
_BASIC: Final = 'Basic realm="dnnsweep, any name and the secret of a token", charset="UTF-8"'


async def require_reader(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> Token | None:
    """Return the token of a request that may read; None if the service accepts everybody.

    Raises:
        RefusalError: The request has no accepted token.
    """
    return _check(request, None if credentials is None else credentials.credentials)


async def require_writer(request: Request, token: Annotated[Token | None, Depends(require_reader)]) -> str | None:
    """Return the name of the token of a request that may change something; None if the service accepts everybody.

    Raises:
        RefusalError: The token of the request may only read.
    """
    if token is None:
        return None
    if not token.may_write:
        raise RefusalError(403, f"the token of {token.name} may only read; {request.method} needs one of kind {WRITE}")
    return token.name


async def require_document_reader(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> None:
    """Check that a request may read the description of the API: a browser sends the secret as a password.

    Raises:
        RefusalError: The request has no accepted token, and the operator has not opened the description to all.
    """
    service: ServiceState = request.app.state.service
    if not service.are_docs_public:
        secret = _password(request) if credentials is None else credentials.credentials
        _check(request, secret, challenge=_BASIC)


def _check(request: Request, secret: str | None, challenge: str = "Bearer") -> Token | None:
    """Return the accepted token that has a secret, and leave its name behind for the log."""
    service: ServiceState = request.app.state.service
    accepted = service.tokens
    if accepted.is_open:
        return None
    how = {"WWW-Authenticate": challenge}
    token = None if secret is None else accepted.find(secret)
    if token is None:
        got = "another one" if "authorization" in request.headers else "none"
        raise RefusalError(401, f"an accepted token must be sent, got {got}; set DNNSWEEP_TOKEN", how)
    request.state.token_name = token.name
    if accepted.has_expired(token):
        rule = (
            f"an accepted token must be sent, but that of {token.name} ended at {token.expires_at:%Y-%m-%d %H:%M} UTC"
        )
        raise RefusalError(401, f"{rule}; ask the operator for another one", how)
    return token


def _password(request: Request) -> str | None:
    """Return the password of HTTP's basic scheme; None if none was sent."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None


#: Name of the token that asks for a change.
Requester = Annotated[str | None, Depends(require_writer)]
