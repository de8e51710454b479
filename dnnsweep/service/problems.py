"""Errors as problem documents (RFC 9457), with the messages of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from dnnsweep.errors import (
    DnnsweepError,
    ExportError,
    LedgerError,
    Mistake,
    QueryError,
    SpecError,
    SweepConflictError,
    SweepHeldError,
    SweepNotFoundError,
)
from dnnsweep.redaction import redact
from dnnsweep.stores.http import problem_name

MEDIA_TYPE: Final = "application/problem+json"
_STATUS: Final[Sequence[tuple[type[DnnsweepError], int]]] = (
    (SpecError, 422),
    (QueryError, 422),
    (SweepNotFoundError, 404),
    (ExportError, 404),
    (SweepConflictError, 409),
    (SweepHeldError, 409),
    (LedgerError, 503),
)
#: The most mistakes, and differences, in one answer.
MAX_MISTAKES: Final = 50
#: The most characters of each part of a mistake.
MAX_PART: Final = 500
#: JSON Schema of a problem document.
SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:dnnsweep:problem:NAME, or about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "rule, value and remedy, as on the command line"},
        "instance": {"type": "string"},
        "mistakes": {
            "type": "array",
            "description": f"mistakes in a sweep file: at most {MAX_MISTAKES}, then how many more there are",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("path", "rule", "got", "remedy")},
            },
        },
        "difference": {
            "type": "array",
            "items": {"type": "string"},
            "description": "what differs from the sweep that has the name",
        },
    },
}
EXAMPLE: Final = {
    "type": "urn:dnnsweep:problem:spec",
    "title": "The sweep file is wrong.",
    "status": 422,
    "detail": "space.dropout: low must not exceed high, got low=0.9 and high=0.1; exchange them",
    "instance": "/sweeps",
    "mistakes": [
        {
            "path": "space.dropout",
            "rule": "low must not exceed high",
            "got": "low=0.9 and high=0.1",
            "remedy": "exchange them",
        }
    ],
}


class RefusalError(Exception):
    """A request is refused, or cannot be read.

    Args:
        status: HTTP status of the answer.
        detail: Message with rule, value and remedy.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.status = status
        self.detail = detail
        self.headers = headers
        super().__init__(detail)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says about a route's error responses; one that needs a token may ask for too much."""
    statuses = (*statuses, *({429, 503} - {*statuses} if 401 in statuses else ()))
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": EXAMPLE}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def document(status: int, detail: str, kind: str = "about:blank", title: str | None = None, **more: Any) -> Any:
    """Return a problem document."""
    return {
        "type": kind,
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": redact(detail),
        **more,
    }


def answer(refusal: RefusalError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the response to a request that is refused."""
    challenge = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    content = document(refusal.status, refusal.detail)
    return JSONResponse(content, refusal.status, {**challenge, **refusal.headers, **(headers or {})}, MEDIA_TYPE)


def status_of(error: DnnsweepError) -> int:
    """Return the HTTP status for an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def install(app: FastAPI) -> None:
    """Register handlers, so that an application answers every error with a problem document."""
    app.add_exception_handler(DnnsweepError, _answer_error)
    app.add_exception_handler(RefusalError, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DnnsweepError)  # noqa: S101  see install
    more: dict[str, Any] = {"instance": request.url.path}
    detail = str(error)
    if isinstance(error, SpecError):
        mistakes = _shorten(error.mistakes)
        detail = "\n".join(map(str, mistakes))
        more["mistakes"] = [asdict(mistake) for mistake in mistakes]
    if isinstance(error, SweepConflictError):
        more["difference"] = list(error.difference[:MAX_MISTAKES])
    title = " ".join((type(error).__doc__ or "").split())
    status = status_of(error)
    content = document(status, detail, problem_name(type(error)), title, **more)
    return JSONResponse(content, status, media_type=MEDIA_TYPE)


def _shorten(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Return the mistakes that fit into an answer; a small file may have very many, with long names."""
    shown = [
        Mistake(*(part if len(part) <= MAX_PART else f"{part[:MAX_PART]}..." for part in astuple(mistake)))
        for mistake in mistakes[:MAX_MISTAKES]
    ]
    n_more = len(mistakes) - len(shown)
    return [*shown, Mistake("sweep file", f"has {n_more} more mistakes")] if n_more else shown


async def _answer_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusalError)  # noqa: S101  see install
    if error.status == 401:
        try:
            await request.app.state.service.quotas.check_failures(request.client.host if request.client else "")
        except RefusalError as other:
            return answer(other)
    return answer(error)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  see install
    mistakes = [
        Mistake(str(detail["loc"][-1]), _rule(str(detail["msg"])), str(detail.get("input", ""))[:100])
        for detail in error.errors()
    ]
    kind, title = problem_name(QueryError), " ".join((QueryError.__doc__ or "").split())
    more = {"instance": request.url.path, "mistakes": [asdict(mistake) for mistake in mistakes]}
    content = document(422, "\n".join(map(str, mistakes)), kind, title, **more)
    return JSONResponse(content, 422, media_type=MEDIA_TYPE)


def _rule(message: str) -> str:
    """Return a message of pydantic as a rule."""
    text = message.removeprefix("Input ").removeprefix("should ")
    return f"must {text}" if text != message else message[:1].lower() + message[1:]


async def _answer_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  see install
    return answer(RefusalError(error.status_code, str(error.detail)), error.headers)


async def _answer_unexpected(_: Request, __: Exception) -> JSONResponse:
    """Answer an error that nobody foresaw; the log has the details, the answer reveals none."""
    return answer(RefusalError(500, "the service failed; see its log for the reason"))
